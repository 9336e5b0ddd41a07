"""PNG bytes to arrays and back, and nothing else: the one place to make faster when decoding limits the reader.

Only the four pixel layouts of the sample contract exist here; a palette or another file format is refused.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.errors import ShardError

COMPRESS_LEVEL = 3
"""zlib level. Of rendered views level 1 makes 7 % more bytes in the same time, level 6 a fifth less in twice the time."""

MAX_PIXELS = 1 << 26
"""Largest H * W that is decoded; a header that claims more is damage or an attack, not a view."""

_MODES: dict[tuple[str, int], str] = {
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 0): "I;16",
}
"""(dtype, channels) to Pillow's mode; 0 channels stands for a plain (H, W) array."""

_AS_IT_IS, _UP = 0, 2  # numbers of row filters: bytes as they are, or less those of the row above

_LAYOUTS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "LA": (4, 8, (_AS_IT_IS,)),
    "RGB": (2, 8, (_UP,)),
    "RGBA": (6, 8, (_AS_IT_IS, _UP)),
    "I;16": (0, 16, (_UP,)),
}
"""Colour type, bits, and the filters worth trying, by mode.

Views in flat greys are runs of equal bytes: as they are they become smaller than with any filter, and are written in a third
and read in half of the time that a PNG with Pillow's choice of filters takes. Normals and depth are smooth, so differences
suit them. Pictures in colour may be either.
"""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# What Pillow's PNG reader is known to raise on damaged bytes; anything else is a bug and must surface.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def encode_png(image: NDArray[Any]) -> bytes:
    """PNG bytes of one image.

    Args:
        image: (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA, all uint8; or (H, W) uint16 grey.

    Returns:
        A complete PNG file. The same pixels give the same bytes (with the same zlib).

    Raises:
        ShardError: another shape or dtype, or no pixel at all.
    """
    num_channels = image.shape[2] if image.ndim == 3 else 0
    mode = _MODES.get((image.dtype.name, num_channels))
    if mode is None or image.ndim not in (2, 3) or image.size == 0:
        raise ShardError(
            f"image of shape {image.shape} {image.dtype.name}: a PNG here is (H,W,2|3|4) uint8 or (H,W) uint16"
        )
    kind, bits, filters = _LAYOUTS[mode]
    pixels = image.astype(">u2").view(np.uint8) if bits == 16 else np.ascontiguousarray(image)
    rows = pixels.reshape(len(image), -1)
    data = min((_compressed(rows, number) for number in filters), key=len)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], bits, kind, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _compressed(rows: NDArray[np.uint8], number: int) -> bytes:
    """The (H, B) uint8 rows of an image, filtered and compressed. Source: PNG specification, sections 9 and 10."""
    lines = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    lines[:, 0] = number
    lines[:, 1:] = rows
    if number == _UP:
        lines[1:, 1:] -= rows[:-1]
    return zlib.compress(lines.data, COMPRESS_LEVEL)


def _chunk(name: bytes, data: bytes) -> bytes:
    """Length, name, data and CRC-32 of name and data. Source: PNG specification, section 5.3."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def decode_png(data: bytes) -> NDArray[Any]:
    """Pixels of one PNG file.

    Args:
        data: a complete PNG file.

    Returns:
        (H, W, 2|3|4) uint8 or (H, W) uint16, as written, never converted.

    Raises:
        ShardError: the bytes are not a PNG of these layouts, are cut short, or claim more than MAX_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ShardError(f"PNG claims {width}x{height} pixels, more than {MAX_PIXELS}")
            if picture.mode not in _MODES.values():
                raise ShardError(f"PNG has mode {picture.mode}, expected one of {', '.join(_MODES.values())}")
            picture.load()
            image = np.array(picture)
    except _DAMAGE as error:
        raise ShardError(f"not a whole PNG file: {error}") from error
    expected = np.uint16 if image.ndim == 2 else np.uint8
    if image.dtype != expected:
        raise ShardError(f"PNG decodes to {image.dtype.name}, expected {np.dtype(expected).name}")
    return image
