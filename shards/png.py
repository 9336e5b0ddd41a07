"""PNG bytes to arrays and back, and nothing else: the one place to make faster when decoding limits the reader.

Inflating grows with the bytes before compression, so views are written with few of them: a grey view with a hard mask is
plain grey whose background's value is marked as transparent (colour type 0 and tRNS), a view of at most 256 colours is a
palette (type 3 and tRNS), and rows stand as they are or less the row above. Such files, one byte a pixel, are decoded here;
any other PNG of a layout of the sample contract is decoded by Pillow. `benchmarks/bench_encoding.py` tells what else was
tried.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.errors import ShardError
from shards.png_chunks import AS_IT_IS, UP, PngFile, filter_rows, inflate, pack_chunks, read_chunks, unfilter_rows

COMPRESS_LEVEL = 3
"""zlib level. Of rendered views level 1 makes 6 % more bytes in the same time, level 6 a fifth less in twice the time, and
these inflate more slowly: fewer bytes in shorter matches."""

MAX_PIXELS = 1 << 26
"""Largest H * W that is decoded; a header that claims more is damage or an attack, not a view."""

_MODES: dict[tuple[str, int], str] = {
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 0): "I;16",
}
"""(dtype, channels) to Pillow's mode; 0 channels stands for a plain (H, W) array."""

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
_OPAQUE = 0xFF00  # alpha of a (grey, alpha) pair that is read as one little-endian word

_FIRST_LOOK = 2048
"""Pixels that are looked at first: most views of many colours show it there."""

_LAYOUTS = {2: (_GREY_ALPHA, 8), 3: (_RGB, 8), 4: (_RGB_ALPHA, 8), 0: (_GREY, 16)}
"""Channels, as in _MODES, to colour type and bits of the file that holds every such image."""

_BYTES_A_PIXEL = {
    (_GREY, 16, False): 2,
    (_GREY, 8, True): 1,
    (_RGB, 8, False): 3,
    (_PALETTE, 8, True): 1,
    (_GREY_ALPHA, 8, False): 2,
    (_RGB_ALPHA, 8, False): 4,
}
"""What is decoded here: colour type, bits and whether there is a tRNS, to the bytes of a pixel."""

_WITH_ALPHA = {_GREY: "LA", _RGB: "RGBA", _PALETTE: "RGBA"}
"""Colour type to the mode that it is given if there is a tRNS."""

# What Pillow's PNG reader is known to raise on damaged bytes; anything else is a bug and must surface.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def encode_png(image: NDArray[Any]) -> bytes:
    """PNG bytes of one image.

    Args:
        image: (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA, all uint8; or (H, W) uint16 grey.

    Returns:
        A complete PNG file, from which `decode_png` gives the same array; a reader that knows nothing of us finds the
        same colours and alpha once it has converted to RGBA. The same pixels give the same bytes (with the same zlib).

    Raises:
        ShardError: another shape or dtype, or no pixel at all.
    """
    num_channels = image.shape[2] if image.ndim == 3 else 0
    if (image.dtype.name, num_channels) not in _MODES or image.ndim not in (2, 3) or image.size == 0:
        raise ShardError(f"image of shape {image.shape} {image.dtype}: a PNG here is (H,W,2|3|4) uint8 or (H,W) uint16")
    pixels = image.astype(">u2").view(np.uint8) if num_channels == 0 else np.ascontiguousarray(image)
    small = _SMALLER[num_channels](pixels) if num_channels in _SMALLER else None
    return small or _plain(pixels.reshape(len(image), -1), image.shape[1], num_channels)


def _clear_grey(pixels: NDArray[np.uint8]) -> bytes | None:
    """A file of one byte a pixel that holds a (H, W, 2) image, the background's grey marked as transparent.

    None where that would not give back every pixel: alpha must be 0 or 255, transparent pixels must share one grey value,
    and no opaque one may have it.
    """
    words = pixels.view("<u2")[..., 0]
    least = int(words.min())
    clear = least if least <= 255 else 255  # nothing is transparent: any value that no pixel has
    num_opaque = np.count_nonzero(words >= _OPAQUE) - np.count_nonzero(words == _OPAQUE + clear)
    if num_opaque + np.count_nonzero(words == clear) < words.size:
        return None
    lines = filter_rows(words.astype(np.uint8), AS_IT_IS)  # the lower bytes
    return _packed(words.shape[1], 8, _GREY, lines, clear=bytes((0, clear)))


def _palette(pixels: NDArray[np.uint8]) -> bytes | None:
    """A file of one byte a pixel that holds a (H, W, 4) image; None if that has more than 256 colours.

    Only where a pixel differs from the one before it can a new colour be: few places in rendered views.
    """
    words = pixels.view("<u4").reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(words[1:] != words[:-1]) + 1))
    values = words[starts]
    if len(np.unique(values[:_FIRST_LOOK])) > 256 or len(unique := np.unique(values)) > 256:
        return None
    numbers = np.repeat(np.searchsorted(unique, values).astype(np.uint8), np.diff(starts, append=words.size))
    colors = unique.view(np.uint8).reshape(-1, 4)
    # In the order of little-endian words what is not opaque comes first. Only that needs an entry, but a view without
    # must have one too: a palette without tRNS is RGB.
    alpha = colors[: max(1, np.count_nonzero(colors[:, 3] < 255)), 3]
    height, width = pixels.shape[:2]
    lines = filter_rows(numbers.reshape(height, width), AS_IT_IS)
    return _packed(width, 8, _PALETTE, lines, colors[:, :3].tobytes(), alpha.tobytes())


_SMALLER: dict[int, Callable[[NDArray[np.uint8]], bytes | None]] = {2: _clear_grey, 4: _palette}
"""Channels to the file to try before `_plain`."""


def _plain(rows: NDArray[np.uint8], width: int, num_channels: int) -> bytes:
    """The file that holds every image of so many channels.

    Rows are filtered where that leaves fewer changes from pixel to pixel, which tells it in a tenth of the time of
    compressing twice. Grey views never are: runs of equal bytes.
    """
    lines, step = filter_rows(rows, AS_IT_IS), num_channels or 2
    if num_channels != 2:
        smooth = filter_rows(rows, UP)
        if _num_changes(smooth, step) < _num_changes(lines, step):
            lines = smooth
    kind, bits = _LAYOUTS[num_channels]
    return _packed(width, bits, kind, lines)


def _num_changes(lines: NDArray[np.uint8], step: int) -> int:
    """How many bytes differ from that of the pixel before: what deflate pays for in pictures of even areas."""
    return int(np.count_nonzero(lines[:, 1 + step :] != lines[:, 1:-step]))


def _packed(
    width: int, bits: int, kind: int, lines: NDArray[np.uint8], palette: bytes | None = None, clear: bytes | None = None
) -> bytes:
    """A whole file with one IDAT, on which `inflate` is fastest."""
    data = zlib.compress(lines.data, COMPRESS_LEVEL)
    return pack_chunks(PngFile(width, len(lines), bits, kind, False, palette, clear, [data]))


def decode_png(data: bytes) -> NDArray[Any]:
    """Pixels of one PNG file.

    Args:
        data: a complete PNG file.

    Returns:
        (H, W, 2|3|4) uint8 or (H, W) uint16 that owns its memory, with straight colour. Transparent values and palettes
        come as alpha. 16-bit colour, which `encode_png` never writes, comes with its upper 8 bits.

    Raises:
        ShardError: the bytes are not a PNG of these layouts, are cut short or damaged, or claim more than MAX_PIXELS.
    """
    file = read_chunks(data)
    if file.width * file.height > MAX_PIXELS:
        raise ShardError(f"PNG claims {file.width}x{file.height} pixels, more than {MAX_PIXELS}")
    num_bytes = _BYTES_A_PIXEL.get((file.kind, file.bits, file.clear is not None))
    if num_bytes and not file.is_interlaced:
        raw = inflate(file.parts, file.height * (1 + file.width * num_bytes))
        rows = unfilter_rows(np.frombuffer(raw, np.uint8).reshape(file.height, -1))
        if rows is not None:
            return _image(file, rows, num_bytes)
    return _by_pillow(file)


def _image(file: PngFile, rows: NDArray[np.uint8], num_bytes: int) -> NDArray[Any]:
    """The image of unfiltered rows (H, B); `rows` is not kept."""
    if file.bits == 16:
        return rows.view(">u2").astype(np.uint16)
    if file.clear is None:
        image = np.empty((file.height, file.width, num_bytes), np.uint8)
        image.reshape(file.height, -1)[...] = rows
        return image
    if file.kind == _GREY:
        return _with_alpha(rows, file.clear)
    return _with_colors(rows, file.palette, file.clear)


def _with_alpha(grey: NDArray[np.uint8], clear: bytes) -> NDArray[np.uint8]:
    """(H, W, 2) grey and alpha: 0 where a pixel has the value of tRNS, else 255."""
    if len(clear) != 2 or clear[0]:
        raise ShardError(f"damaged PNG: {clear.hex()} is no transparent grey of 8 bits")
    image = np.empty((*grey.shape, 2), np.uint8)
    words = image.view("<u2")[..., 0]
    words[...] = grey
    alpha = words ^ clear[1]  # 0 where transparent, else 1 to 255, and the upper byte of its negative is 255
    np.negative(alpha, out=alpha)
    alpha &= _OPAQUE
    words |= alpha
    return image


def _with_colors(numbers: NDArray[np.uint8], palette: bytes | None, clear: bytes) -> NDArray[np.uint8]:
    """(H, W, 4) RGBA of palette entries; entries beyond those of tRNS are opaque."""
    count, rest = divmod(len(palette or b""), 3)
    if palette is None or rest or not len(clear) <= count <= 256 or numbers.max() >= count:
        raise ShardError(f"damaged PNG: {count} colours, {len(clear)} of them transparent, and pixels beyond them")
    colors = np.full((count, 4), 255, np.uint8)
    colors[:, :3] = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    colors[: len(clear), 3] = np.frombuffer(clear, np.uint8)
    image = np.empty((*numbers.shape, 4), np.uint8)
    # "clip" writes straight into the image; numbers were compared with the count above.
    np.take(colors.view("<u4")[:, 0], numbers, out=image.view("<u4")[..., 0], mode="clip")
    return image


def _by_pillow(file: PngFile) -> NDArray[Any]:
    """The image of a PNG that others wrote: interlaced, with other row filters, or with another number of bits.

    Pillow is given the chunks that hold pixels and no others: texts, profiles and animations have no business here.
    """
    mode = None
    if file.clear is not None:
        mode = _WITH_ALPHA.get(file.kind) if file.kind == _PALETTE or file.bits == 8 else None
        if mode is None:
            raise ShardError(f"PNG has a transparent value in colour type {file.kind} of {file.bits} bits")
    try:
        with Image.open(io.BytesIO(pack_chunks(file)), formats=("PNG",)) as picture:
            picture.load()
            image: Image.Image = picture.convert(mode) if mode else picture
            if image.mode not in _MODES.values():
                raise ShardError(f"PNG has mode {image.mode}, expected one of {', '.join(_MODES.values())}")
            return np.array(image)
    except _DAMAGE as error:
        raise ShardError(f"not a whole PNG file: {error}") from error
