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

COMPRESS_LEVEL = 1
"""zlib level. Level 6 saves about a sixth of the bytes of a rendered view and takes twice the time of a whole write."""

MAX_PIXELS = 1 << 26
"""Largest H * W that is decoded; a header that claims more is damage or an attack, not a view."""

_MODES: dict[tuple[str, int], str] = {
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 0): "I;16",
}
"""(dtype, channels) to Pillow's mode; 0 channels stands for a plain (H, W) array."""

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
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG", compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


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
