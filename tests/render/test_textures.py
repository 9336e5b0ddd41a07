"""Pictures of all modes and formats become red, green and blue bytes; what is damaged or too large does not."""

import io

import numpy as np
import pytest
from PIL import Image

from render.errors import RenderError
from render.reading.textures import decode_picture
from tests.render.files import BOTTOM_RIGHT, TOP_LEFT, picture


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TGA", "BMP", "WEBP", "TIFF"])
def test_formats(kind: str) -> None:
    pixels = decode_picture(picture(kind, 32))
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[4, 4].astype(int), TOP_LEFT, atol=12)
    np.testing.assert_allclose(pixels[28, 28].astype(int), BOTTOM_RIGHT, atol=12)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_modes_with_color(mode: str) -> None:
    np.testing.assert_array_equal(decode_picture(picture(mode=mode)), decode_picture(picture()))


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_modes_without_color(mode: str) -> None:
    image = Image.new(mode, (3, 2), {"L": 128, "LA": (128, 0), "1": 1}[mode])  # type: ignore[arg-type]
    assert (decode_picture(encoded(image)) == (255 if mode == "1" else 128)).all()


def test_deep_grey_keeps_its_high_byte() -> None:
    deep = Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16))
    assert decode_picture(encoded(deep))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_floating_point_is_refused() -> None:
    with pytest.raises(RenderError, match="floating-point"):
        decode_picture(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"))


def test_a_large_picture_is_reduced_by_averages() -> None:
    wide = np.zeros((4, 4096, 3), np.uint8)
    wide[:, ::2] = 200
    pixels = decode_picture(encoded(Image.fromarray(wide)))
    assert pixels.shape == (2, 2048, 3)
    assert (pixels == 100).all()


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    content = encoded(Image.new("1", (9000, 9000)))
    assert len(content) < 20_000
    with pytest.raises(RenderError, match="9000 x 9000 pixels, more than"):
        decode_picture(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TGA", "BMP", "WEBP", "TIFF"])
def test_what_is_cut_short_is_refused(kind: str) -> None:
    content = picture(kind, 64)
    for size in (0, 10, len(content) // 2):
        with pytest.raises(RenderError, match="cannot decode"):
            decode_picture(content[:size])


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(50), b"%!PS-Adobe", b"text"])
def test_other_formats_are_refused(content: bytes) -> None:
    with pytest.raises(RenderError, match="cannot decode"):
        decode_picture(content)


def test_a_picture_is_decoded_once_and_cannot_be_changed() -> None:
    first = decode_picture(picture())
    assert decode_picture(picture()) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0
