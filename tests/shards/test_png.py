import io

import numpy as np
import pytest
from PIL import Image

from shards.errors import ShardError
from shards.png import decode_png, encode_png


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 7, 2), "uint8"), ((5, 7, 3), "uint8"), ((5, 7, 4), "uint8"), ((5, 7), "uint16")]
)
def test_round_trip(shape: tuple[int, ...], dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    data = encode_png(image)
    decoded = decode_png(data)
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)
    assert encode_png(decoded) == data
    assert decoded.flags.writeable


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 7), "uint8"), ((5, 7, 2), "float32"), ((0, 7, 2), "uint8"), ((4,), "uint8")]
)
def test_refuses_other_arrays(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ShardError, match="image of shape"):
        encode_png(np.zeros(shape, dtype))


def test_refuses_other_files() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG")
    with pytest.raises(ShardError, match="PNG"):
        decode_png(stream.getvalue())
    stream = io.BytesIO()
    Image.new("P", (4, 4)).save(stream, "PNG")
    with pytest.raises(ShardError, match="mode P"):
        decode_png(stream.getvalue())


def test_every_cut_is_an_error() -> None:
    data = encode_png(np.random.default_rng(0).integers(0, 256, (9, 9, 2), dtype=np.uint8))
    end_chunk = 12  # IEND holds no pixels, so a cut inside it loses nothing
    for length in range(len(data) - end_chunk - 8):
        with pytest.raises(ShardError):
            decode_png(data[:length])


def test_no_foreign_exception_on_flipped_bytes() -> None:
    data = encode_png(np.random.default_rng(0).integers(0, 256, (9, 9, 2), dtype=np.uint8))
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x41
        try:
            decode_png(bytes(damaged))
        except ShardError:
            continue


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.png.MAX_PIXELS", 10)
    with pytest.raises(ShardError, match="more than 10"):
        decode_png(encode_png(np.zeros((4, 4, 2), np.uint8)))
