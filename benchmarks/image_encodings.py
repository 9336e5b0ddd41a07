"""The ways to write and read an image that `bench_encoding.py` compares."""

import importlib
import importlib.util
import io
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from shards.png import COMPRESS_LEVEL, decode_png, encode_png
from shards.png_chunks import AS_IT_IS, UP, PngFile, filter_rows, inflate, pack_chunks

Array = npt.NDArray[Any]
SUB = 1
GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6
KINDS = {2: (GREY_ALPHA, "LA"), 3: (RGB, "RGB"), 4: (RGBA, "RGBA"), 0: (GREY, "I;16")}


class Way(NamedTuple):
    """One way to write and read an image."""

    encode: Callable[[Array], bytes]
    decode: Callable[[bytes], Array]


def by_pillow(data: bytes, mode: str) -> Array:
    """What everyone does."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture if picture.mode == mode else picture.convert(mode))


def save(image: Array, form: str, **options: Any) -> bytes:
    """Pillow's own writer."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, form, **options)
    return stream.getvalue()


def deflate(lines: Array, level: int = COMPRESS_LEVEL, strategy: int = 0, window: int = 15) -> bytes:
    """All that zlib lets one choose."""
    packer = zlib.compressobj(level, zlib.DEFLATED, window, 8, strategy)
    return packer.compress(lines.data) + packer.flush()


def rows_of(image: Array) -> Array:
    """(H, B) uint8, as PNG orders the bytes."""
    pixels = image.astype(">u2").view(np.uint8) if image.dtype == np.uint16 else np.ascontiguousarray(image)
    return pixels.reshape(len(image), -1)


def plain(image: Array, *filters: int) -> bytes:
    """PNG of the layout that holds every such image, with the filter that makes it smallest."""
    kind, bits = KINDS[image.shape[2] if image.ndim == 3 else 0][0], 8 * image.itemsize
    data = min((deflate(filter_rows(rows_of(image), number)) for number in filters), key=len)
    return pack_chunks(PngFile(image.shape[1], len(image), bits, kind, False, None, None, [data]))


def clear_grey(image: Array, number: int = AS_IT_IS, **options: int) -> bytes:
    """Grey with a transparent value, 255."""
    grey = np.ascontiguousarray(image[..., 0])
    lines = filter_rows(grey, UP if number == UP else AS_IT_IS)
    if number == SUB:
        lines[:, 0] = SUB
        lines[:, 2:] -= grey[:, :-1]
    data = deflate(lines, **options)
    return pack_chunks(PngFile(image.shape[1], len(image), 8, GREY, False, None, b"\0\xff", [data]))


def clear_rgb(image: Array) -> bytes:
    """RGB with a transparent value, white."""
    data = deflate(filter_rows(rows_of(image[..., :3]), AS_IT_IS))
    return pack_chunks(PngFile(image.shape[1], len(image), 8, RGB, False, None, b"\0\xff" * 3, [data]))


def palette(image: Array) -> bytes:
    """A grey view as a palette of its (grey, alpha) pairs."""
    return encode_png(image[..., [0, 0, 0, 1]])


def libraries() -> dict[str, Callable[[int, bytes], Any]]:
    """Inflating libraries that are installed."""
    found: dict[str, Callable[[int, bytes], Any]] = {
        "zlib": lambda size, data: zlib.decompress(data, bufsize=size),
        "zlib, no adler32": lambda size, data: inflate([data], size),
    }
    if importlib.util.find_spec("isal"):
        isal: Any = importlib.import_module("isal.isal_zlib")
        found["isal"] = lambda size, data: isal.decompress(data, bufsize=size)
    if importlib.util.find_spec("zlib_ng"):
        zlib_ng: Any = importlib.import_module("zlib_ng.zlib_ng")
        found["zlib-ng"] = lambda size, data: zlib_ng.decompress(data, bufsize=size)
    if importlib.util.find_spec("deflate"):
        libdeflate: Any = importlib.import_module("deflate")
        found["libdeflate"] = lambda size, data: libdeflate.zlib_decompress(data, size)
    return found


def ways(num_channels: int) -> dict[str, Way]:
    """Name to way; the first is the baseline, the second what `shards` does."""
    pillow = partial(by_pillow, mode=KINDS[num_channels][1])
    first = {2: (AS_IT_IS,), 3: (UP,), 4: (AS_IT_IS, UP), 0: (UP,)}[num_channels]
    table = {
        "as of schema 1.1, Pillow": Way(lambda image: plain(image, *first), pillow),
        "chosen": Way(encode_png, decode_png),
        "as of schema 1.1, our decoder": Way(lambda image: plain(image, *first), decode_png),
        "chosen, Pillow": Way(encode_png, pillow),
        "Pillow's PNG, Pillow": Way(lambda image: save(image, "PNG"), pillow),
    }
    if num_channels == 2:
        table |= {f"chosen, zlib {level}": Way(partial(clear_grey, level=level), decode_png) for level in (1, 2, 6, 9)}
        names = {
            "rle": zlib.Z_RLE,
            "huffman only": zlib.Z_HUFFMAN_ONLY,
            "fixed": zlib.Z_FIXED,
            "filtered": zlib.Z_FILTERED,
        }
        table |= {
            f"chosen, {name}": Way(partial(clear_grey, strategy=code), decode_png) for name, code in names.items()
        }
        table["chosen, window of 4 KB"] = Way(partial(clear_grey, window=12), decode_png)
        table["chosen, rows less the one above"] = Way(partial(clear_grey, number=UP), decode_png)
        table["chosen, rows less the pixel before"] = Way(partial(clear_grey, number=SUB), decode_png)
        table["palette"] = Way(palette, lambda data: decode_png(data)[..., ::3])
    if num_channels == 4:
        table["no palette, our decoder"] = Way(lambda image: plain(image, AS_IT_IS), decode_png)
        table["RGB and tRNS"] = Way(clear_rgb, decode_png)
    if num_channels in (0, 3):
        table["rows as they are, our decoder"] = Way(lambda image: plain(image, AS_IT_IS), decode_png)
    if features.check("webp") and num_channels:
        table["WebP lossless"] = Way(lambda image: save(image, "WEBP", lossless=True, exact=True, method=0), pillow)
    table["TIFF deflate"] = Way(lambda image: save(image, "TIFF", compression="tiff_deflate"), pillow)
    if num_channels:
        table["TIFF LZW"] = Way(lambda image: save(image, "TIFF", compression="tiff_lzw"), pillow)
    if num_channels == 4 and "QOI" in Image.SAVE:
        table["QOI"] = Way(lambda image: save(image, "QOI"), pillow)
    if features.check("jpg_2000") and num_channels in (2, 4):
        table["JPEG 2000 lossless"] = Way(lambda image: save(image, "JPEG2000", irreversible=False), pillow)
    return table


def read_right(data: bytes, image: Array) -> list[str]:
    """Other programs that give the same colours and alpha; "(colours)" where only those."""
    num_channels = image.shape[2] if image.ndim == 3 else 0
    expected = image[..., [0, 0, 0, 1]] if num_channels == 2 else image
    found = {"Pillow": by_pillow(data, "RGBA" if num_channels == 2 else KINDS[num_channels][1])}
    if importlib.util.find_spec("cv2"):
        cv2: Any = importlib.import_module("cv2")
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is not None:
            found["OpenCV"] = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 else pixels
    right = []
    for name, pixels in found.items():
        colors = pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]
        if np.array_equal(pixels, expected):
            right.append(name)
        elif expected.ndim == 3 and not np.any(colors != expected[..., :3]):
            right.append(f"{name} (colours)")
    return right
