import struct
import zlib

import numpy as np
import pytest

from shards.errors import ShardError
from shards.png_chunks import AS_IT_IS, UP, PngFile, filter_rows, inflate, pack_chunks, read_chunks, unfilter_rows

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(
    width: int = 2, height: int = 3, bits: int = 8, kind: int = 0, rest: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, *rest))


ROWS = bytes([0, 1, 2, 0, 3, 4, 0, 5, 6])
PIXELS = chunk(b"IDAT", zlib.compress(ROWS))
END = chunk(b"IEND")


def test_pack_and_read() -> None:
    data = pack_chunks(PngFile(2, 3, 8, 3, True, b"palette", b"clear", [b"pix", b"els"]))
    chunks = [(b"PLTE", b"palette"), (b"tRNS", b"clear"), (b"IDAT", b"pix"), (b"IDAT", b"els"), (b"IEND", b"")]
    expected = SIGNATURE + header(kind=3, rest=(0, 0, 1)) + b"".join(chunk(*pair) for pair in chunks)
    assert data == expected
    file = read_chunks(data)
    assert file[:7] == (2, 3, 8, 3, True, b"palette", b"clear")
    assert [bytes(part) for part in file.parts] == [b"pix", b"els"]


def test_other_chunks_are_passed_over() -> None:
    file = read_chunks(
        SIGNATURE + header(rest=(0, 0, 1)) + chunk(b"tEXt", b"a\0b") + PIXELS + chunk(b"eXIf", b"") + END
    )
    assert file.is_interlaced
    assert file.palette is file.clear is None
    assert inflate(file.parts, len(ROWS)) == ROWS


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (header() + PIXELS, "cut short"),
        (header() + END, "b'IEND' .* out of place"),
        (PIXELS + END, "b'IDAT' .* out of place"),
        (chunk(b"tEXt") + header() + PIXELS + END, "b'tEXt' .* out of place"),
        (chunk(b"PLTE") + header() + PIXELS + END, "b'PLTE' .* out of place"),
        (header() + header() + PIXELS + END, "b'IHDR' .* doubled"),
        (header() + chunk(b"tRNS") + chunk(b"PLTE") + PIXELS + END, "b'PLTE' .* out of place"),
        (header() + chunk(b"tRNS") + chunk(b"tRNS") + PIXELS + END, "b'tRNS' .* doubled"),
        (header() + PIXELS + chunk(b"tRNS") + END, "b'tRNS' .* out of place"),
        (header() + PIXELS + chunk(b"tEXt") + PIXELS + END, "b'IDAT' .* out of place"),
        (header() + chunk(b"CgBI") + PIXELS + END, "b'CgBI' .* unknown"),
        (header() + PIXELS + END + b"\n", "1 bytes at or after its end"),
        (header() + PIXELS + chunk(b"IEND", b"ab"), "2 bytes at or after its end"),
        (header() + PIXELS[:-1] + b"?" + END, "b'IDAT' at byte 33 differs from its checksum"),
        (header() + b"\xff\xff\xff\xff" + PIXELS[4:] + END, "b'IDAT' is cut short"),
        (chunk(b"IHDR", bytes(12)) + PIXELS + END, "header of 12 bytes"),
        (header(width=0) + PIXELS + END, "0x3 pixels"),
        (header(height=0) + PIXELS + END, "2x0 pixels"),
        (header(rest=(1, 0, 0)) + PIXELS + END, "methods 1, 0, 0"),
        (header(rest=(0, 1, 0)) + PIXELS + END, "methods 0, 1, 0"),
        (header(rest=(0, 0, 2)) + PIXELS + END, "methods 0, 0, 2"),
    ],
)
def test_refuses_what_is_no_png(chunks: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        read_chunks(SIGNATURE + chunks)


def test_inflate_joins_parts() -> None:
    stream = zlib.compress(ROWS)
    for cut in range(len(stream)):
        assert inflate([stream[:cut], stream[cut:]], len(ROWS)) == ROWS


def test_parts_that_changed_places_are_found() -> None:
    stream = zlib.compress(np.arange(200, dtype=np.uint8).tobytes(), 0)  # stored: any order of inner bytes inflates
    first, second = stream[10:60], stream[60:110]
    assert inflate([stream[:10], first, second, stream[110:]], 200)[:3] == b"\0\1\2"
    with pytest.raises(ShardError, match="differ from their checksum"):
        inflate([stream[:10], second, first, stream[110:]], 200)


@pytest.mark.parametrize("num_bytes", [len(ROWS) - 1, len(ROWS) + 1, 1])
def test_inflate_takes_no_other_size(num_bytes: int) -> None:
    with pytest.raises(ShardError, match=f"not the {num_bytes} bytes"):
        inflate([zlib.compress(ROWS)], num_bytes)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "cannot hold"),
        (b"\x78", "not a zlib stream"),
        (b"\x78\x9d" + zlib.compress(ROWS)[2:], "not a zlib stream"),  # header checksum
        (b"\x79\x9b" + zlib.compress(ROWS)[2:], "not a zlib stream"),  # method 9
        (b"\x88\x1c" + zlib.compress(ROWS)[2:], "not a zlib stream"),  # window of 64 KB
        (b"\x78\xbb" + zlib.compress(ROWS)[2:], "not a zlib stream"),  # needs a dictionary
        (b"\x78\x9c\xff\xff\xff\xff\xff", "damaged PNG: Error -3"),
        (zlib.compress(ROWS)[:-1], "not the 9 bytes"),
        (zlib.compress(ROWS) + b"\0", "not the 9 bytes"),
        (zlib.compress(ROWS)[:-6], "not the 9 bytes"),
        (zlib.compress(ROWS) + bytes(1 << 17), "for the 9"),
    ],
)
def test_inflate_refuses_other_streams(stream: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        inflate([stream], len(ROWS))


def test_a_bomb_is_stopped_at_the_claimed_size() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    with pytest.raises(ShardError, match="not the 50000 bytes"):
        inflate([bomb], 50_000)
    with pytest.raises(ShardError, match="cannot hold"):
        inflate([zlib.compress(bytes(100))], 1 << 28)


def test_the_densest_stream_is_not_refused() -> None:
    dense = zlib.compress(bytes(1 << 22), 9)
    assert (1 << 22) / len(dense) > 1025
    assert inflate([dense], 1 << 22) == bytes(1 << 22)


def test_filters() -> None:
    rows = np.array([[1, 2], [3, 2], [0, 255]], np.uint8)
    np.testing.assert_array_equal(filter_rows(rows, AS_IT_IS), [[0, 1, 2], [0, 3, 2], [0, 0, 255]])
    np.testing.assert_array_equal(filter_rows(rows, UP), [[2, 1, 2], [2, 2, 0], [2, 253, 253]])


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 16, 17, 24, 35, 48])
@pytest.mark.parametrize("number", [AS_IT_IS, UP])
def test_unfilter_inverts(height: int, number: int) -> None:
    rows = np.random.default_rng(height).integers(0, 256, (height, 7), dtype=np.uint8)
    lines = filter_rows(rows, number)
    before = lines.copy()
    found = unfilter_rows(lines)
    assert found is not None
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_array_equal(lines, before)


@pytest.mark.parametrize("numbers", [(1, 1), (0, 2), (2, 0), (4, 4), (0, 1), (9, 9)])
def test_other_filters_are_left_to_others(numbers: tuple[int, int]) -> None:
    lines = np.zeros((2, 3), np.uint8)
    lines[:, 0] = numbers
    assert unfilter_rows(lines) is None
