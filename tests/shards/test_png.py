import io
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from shards.errors import ShardError
from shards.png import decode_png, encode_png
from shards.png_chunks import PngFile, pack_chunks, read_chunks

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def random_image(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def view(num_channels: int, clear: int = 255, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A view as `render` draws it: a disc in a few flat colours before one clear value."""
    image = np.full((24, 20, num_channels), clear, np.uint8)
    image[..., -1] = 0
    y, x = np.mgrid[:24, :20]
    disc = (y - 12) ** 2 + (x - 9) ** 2 < 60
    colors = np.random.default_rng(seed).integers(1, 255, (6, num_channels), dtype=np.uint8)
    colors[:, -1] = 255
    image[disc] = colors[(x // 3 + y // 8)[disc] % 6]
    return image


def many_colors(num_channels: int) -> npt.NDArray[np.uint8]:
    """Steep and smooth at once: rows are worth filtering, and no palette holds the colours."""
    y, x = np.mgrid[:40, :30]
    image = np.stack([y * 5 + x * 7 + 3 * channel for channel in range(num_channels)], axis=-1)
    if num_channels == 4:
        image[..., 1] = x * 8
        image[..., 3] = np.where(y > 3, 255, 0)
    return image.astype(np.uint8)


def packed(width: int, height: int, bits: int, kind: int, pixels: bytes, *others: bytes | None) -> bytes:
    palette, clear = others or (None, None)
    return pack_chunks(PngFile(width, height, bits, kind, False, palette, clear, [pixels]))


IMAGES = {
    "grey view": view(2),
    "grey view, other background": view(2, clear=0),
    "nothing but background": np.full((5, 4, 2), (255, 0), np.uint8),
    "no background": np.full((5, 4, 2), (7, 255), np.uint8),
    "no background, white": np.full((5, 4, 2), 255, np.uint8),
    "soft mask": random_image((5, 7, 2)),
    "view of few colours": view(4),
    "view without background": np.full((5, 4, 4), (1, 2, 3, 255), np.uint8),
    "view with soft mask": random_image((5, 7, 4)),
    "view of 256 colours": np.stack([np.arange(256)] * 3 + [np.full(256, 255)], -1).astype(np.uint8).reshape(16, 16, 4),
    "view of many colours": random_image((40, 40, 4)),
    "smooth view": many_colors(4),
    "normals": view(3),
    "smooth normals": many_colors(3),
    "depth": (np.mgrid[:40, :30].sum(0) * 331).astype(np.uint16),
    "parts": np.repeat(np.arange(6, dtype=np.uint16), 5)[None].repeat(9, axis=0),
    "noise of 16 bits": random_image((5, 7), "uint16"),
    "one pixel": np.array([[[3, 4]]], np.uint8),
    "one pixel of 16 bits": np.array([[300]], np.uint16),
    "one column": random_image((17, 1, 3)),
    "one row": random_image((1, 17, 4)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_round_trip(name: str) -> None:
    image = IMAGES[name]
    data = encode_png(image)
    decoded = decode_png(data)
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)
    assert encode_png(decoded) == data
    assert decoded.flags.writeable
    assert decoded.flags.owndata
    assert decoded.flags.c_contiguous


@pytest.mark.parametrize("name", IMAGES)
def test_other_readers_see_the_same(name: str) -> None:
    image = IMAGES[name]
    with Image.open(io.BytesIO(encode_png(image)), formats=("PNG",)) as picture:
        if image.ndim == 3 and image.shape[2] == 2:
            np.testing.assert_array_equal(np.array(picture.convert("LA")), image)
        if image.ndim == 3 and image.shape[2] in (2, 4):
            rgba = np.array(picture.convert("RGBA"))
            expected = image if image.shape[2] == 4 else image[..., [0, 0, 0, 1]]
            np.testing.assert_array_equal(rgba, expected)
        else:
            np.testing.assert_array_equal(np.array(picture), image)


@pytest.mark.parametrize("axes", [(1, 0, 2), (0, 1, 2)])
def test_any_memory_order(axes: tuple[int, ...]) -> None:
    image = view(2).transpose(axes)[::-1, ::2]
    np.testing.assert_array_equal(decode_png(encode_png(image)), image)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("grey view", GREY),
        ("grey view, other background", GREY),
        ("no background", GREY),
        ("no background, white", GREY_ALPHA),
        ("soft mask", GREY_ALPHA),
        ("view of few colours", PALETTE),
        ("view without background", PALETTE),
        ("view of 256 colours", PALETTE),
        ("view of many colours", RGBA),
        ("normals", RGB),
    ],
)
def test_what_becomes_which_file(name: str, kind: int) -> None:
    assert read_chunks(encode_png(IMAGES[name])).kind == kind


def test_one_pixel_that_breaks_the_rule_is_kept() -> None:
    for change in [(255, 255), (254, 0), (9, 128), (255, 1), (9, 254), (0, 0)]:
        image = view(2)
        image[0, 0] = change
        data = encode_png(image)
        assert read_chunks(data).kind == GREY_ALPHA
        np.testing.assert_array_equal(decode_png(data), image)


def filter_of(image: npt.NDArray[Any]) -> int:
    return zlib.decompress(b"".join(read_chunks(encode_png(image)).parts))[0]


def test_filter_follows_the_picture() -> None:
    assert {filter_of(IMAGES[name]) for name in ("smooth view", "smooth normals", "depth")} == {2}
    assert {filter_of(IMAGES[name]) for name in ("grey view", "soft mask", "view of few colours")} == {0}
    even_columns = random_image((30, 3))[None].repeat(20, axis=0)
    assert filter_of(even_columns) == 2
    assert filter_of(even_columns.transpose(1, 0, 2)) == 0


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 7), "uint8"), ((5, 7, 2), "float32"), ((0, 7, 2), "uint8"), ((4,), "uint8")]
)
def test_refuses_other_arrays(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ShardError, match="image of shape"):
        encode_png(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("mode", "image"),
    [
        ("LA", random_image((33, 31, 2))),
        ("RGB", many_colors(3)),
        ("RGBA", many_colors(4)),
        ("I;16", IMAGES["depth"]),
    ],
)
def test_files_that_pillow_wrote(mode: str, image: npt.NDArray[Any]) -> None:
    picture = Image.fromarray(image)
    assert picture.mode == mode
    for options in ({}, {"optimize": True}, {"compress_level": 0}):
        stream = io.BytesIO()
        picture.save(stream, "PNG", **options)
        np.testing.assert_array_equal(decode_png(stream.getvalue()), image)


def test_transparent_values_that_pillow_wrote() -> None:
    grey, color, clear = view(2)[..., 0], many_colors(3), (5, 17, 26)
    color[2, 3] = clear
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG", transparency=255)
    np.testing.assert_array_equal(decode_png(stream.getvalue()), view(2))
    stream = io.BytesIO()
    Image.fromarray(color).save(stream, "PNG", transparency=clear)
    expected = np.dstack([color, np.where((color == clear).all(-1), 0, 255).astype(np.uint8)])
    np.testing.assert_array_equal(decode_png(stream.getvalue()), expected)
    assert (expected[..., 3] == 0).any()


@pytest.mark.parametrize("num_colors", [2, 4, 16, 200])
def test_palettes_that_pillow_wrote(num_colors: int) -> None:
    numbers = random_image((9, 11)) % num_colors
    colors = random_image((num_colors, 3), seed=1)
    picture = Image.fromarray(numbers, "L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette(colors.tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=bytes([0, 128]))
    expected = np.dstack([colors[numbers], np.array([0, 128] + [255] * num_colors, np.uint8)[numbers]])
    np.testing.assert_array_equal(decode_png(stream.getvalue()), expected)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    with pytest.raises(ShardError, match="mode P"):
        decode_png(stream.getvalue())


def test_files_of_the_first_schema() -> None:
    image = view(2)
    lines = np.zeros((24, 41), np.uint8)
    lines[:, 1:] = image.reshape(24, 40)
    np.testing.assert_array_equal(decode_png(packed(20, 24, 8, GREY_ALPHA, zlib.compress(lines.data, 3))), image)


def test_16_bits_of_colour_keep_their_upper_8() -> None:
    pixels = zlib.compress(b"\0" + bytes([1, 200, 2, 200, 3, 200, 255, 200]))
    np.testing.assert_array_equal(decode_png(packed(1, 1, 16, RGBA, pixels)), [[[1, 2, 3, 255]]])


def test_interlaced() -> None:
    a, b, c, d = b"abc", b"def", b"ghi", b"jkl"
    passes = (
        b"\0" + a + b"\0" + b + b"\0" + c + d
    )  # of 2x2 pixels the first pass has one, the sixth one, the seventh two
    data = pack_chunks(PngFile(2, 2, 8, RGB, True, None, None, [zlib.compress(passes)]))
    assert decode_png(data).tobytes() == a + b + c + d
    with pytest.raises(ShardError, match="PNG"):
        decode_png(pack_chunks(PngFile(2, 2, 8, RGB, True, None, None, [zlib.compress(passes)[:-8]])))


def test_forged_chunks_give_an_image_or_an_error() -> None:
    rng = np.random.default_rng(0)
    names = ("grey view", "view of few colours", "normals", "depth")
    originals = [IMAGES[name] for name in names]
    files = [read_chunks(encode_png(image)) for image in originals]
    results = set()
    for _ in range(1000):
        number = rng.integers(len(files))
        file = files[number]
        field = PngFile._fields[rng.integers(len(file))]
        value: Any = int(rng.choice([0, 1, 2, 3, 4, 5, 6, 8, 16, 255, 1 << 31]))
        if field in ("palette", "clear"):
            value = rng.bytes(value % 20)
        if field == "parts":
            stream = bytearray(file.parts[0])
            stream[rng.integers(len(stream))] ^= 1 << rng.integers(8)
            value = [bytes(stream[:9]), bytes(stream[9:])]
        if field in ("bits", "kind", "is_interlaced"):
            value %= 256
        try:
            image = decode_png(pack_chunks(file._replace(**{field: value})))
        except ShardError:
            results.add((field, "error"))
        else:
            results.add((field, "image"))
            assert image.size
            assert image.dtype == (np.uint8 if image.ndim == 3 else np.uint16)
            if field == "parts":  # a bit that fills up the last byte
                np.testing.assert_array_equal(image, originals[number])
    assert {field for field, _ in results} == set(PngFile._fields)


@pytest.mark.parametrize(
    ("kind", "bits", "palette", "clear", "message"),
    [
        (GREY, 8, None, None, "mode L"),
        (GREY, 1, None, None, "mode 1"),
        (GREY, 4, None, b"\0\1", "transparent value in colour type 0 of 4 bits"),
        (GREY, 16, None, b"\0\1", "transparent value in colour type 0 of 16 bits"),
        (RGB, 16, None, bytes(6), "transparent value in colour type 2 of 16 bits"),
        (RGBA, 8, None, bytes(6), "transparent value in colour type 6"),
        (GREY, 8, None, b"\1\0", "no transparent grey"),
        (GREY, 8, None, b"\1", "no transparent grey"),
        (PALETTE, 8, None, b"\0", "0 colours"),
        (PALETTE, 8, b"", b"", "0 colours"),
        (PALETTE, 8, b"abcd", b"\0", "1 colours"),
        (PALETTE, 8, b"abc", b"\0\0", "2 of them transparent"),
        (PALETTE, 8, bytes(257 * 3), b"\0", "257 colours"),
        (5, 8, None, None, "not a whole PNG"),
    ],
)
def test_refuses_other_layouts(kind: int, bits: int, palette: bytes | None, clear: bytes | None, message: str) -> None:
    num_bytes = {GREY: 1, RGB: 3, PALETTE: 1, RGBA: 4, 5: 1}[kind] * bits // 8 or 1
    data = packed(1, 1, bits, kind, zlib.compress(bytes(1 + num_bytes)), palette, clear)
    with pytest.raises(ShardError, match=message):
        decode_png(data)


def test_number_beyond_the_palette() -> None:
    palette = b"abcdef"
    for number, is_there in ((1, True), (2, False)):
        data = packed(1, 1, 8, PALETTE, zlib.compress(bytes([0, number])), palette, b"\0")
        if is_there:
            assert decode_png(data).tobytes() == b"def\xff"
        else:
            with pytest.raises(ShardError, match="pixels beyond"):
                decode_png(data)


def test_refuses_other_files() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG")
    with pytest.raises(ShardError, match="not a PNG"):
        decode_png(stream.getvalue())


DAMAGED = ("grey view", "soft mask", "view of few colours", "view of many colours", "normals", "depth")


@pytest.mark.parametrize("name", DAMAGED)
def test_every_cut_is_an_error(name: str) -> None:
    data = encode_png(IMAGES[name])
    for length in range(len(data)):
        with pytest.raises(ShardError):
            decode_png(data[:length])


@pytest.mark.parametrize("name", DAMAGED)
def test_every_flipped_bit_is_an_error(name: str) -> None:
    data = encode_png(IMAGES[name])
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(ShardError):
                decode_png(bytes(damaged))


def test_flipped_bits_of_a_file_that_pillow_wrote_never_give_other_pixels() -> None:
    image, stream = many_colors(3)[:9, :9], io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    for position in range(len(stream.getvalue())):
        damaged = bytearray(stream.getvalue())
        damaged[position] ^= 0x41
        with pytest.raises(ShardError):
            decode_png(bytes(damaged))


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.png.MAX_PIXELS", 10)
    with pytest.raises(ShardError, match="more than 10"):
        decode_png(encode_png(np.zeros((4, 4, 2), np.uint8)))
