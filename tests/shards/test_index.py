import zlib

import pytest

from shards.errors import ShardError
from shards.index import IndexBuilder, SampleIndex, Span, decode_index, encode_index

SAMPLES = [
    SampleIndex("a", {"json": Span(512, 3, 0x0123ABCD), "view00.png": Span(1536, 700, 0)}),
    SampleIndex("b", {"json": Span(3072, 0, 0xFFFFFFFF)}),
]


def test_text() -> None:
    lines = encode_index(SAMPLES).decode().splitlines()
    assert lines[0].startswith("tap-index 1 2 3 ")
    assert lines[1:] == ["512 3 0123abcd a.json", "1536 700 00000000 a.view00.png", "3072 0 ffffffff b.json"]


@pytest.mark.parametrize("samples", [SAMPLES, []])
def test_round_trip(samples: list[SampleIndex]) -> None:
    assert decode_index(encode_index(samples), "x") == samples


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    data = encode_index(SAMPLES)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(ShardError, match=r"x\.idx: "):
                decode_index(bytes(damaged), "x.idx")
    for length in range(len(data)):
        with pytest.raises(ShardError, match=r"x\.idx: "):
            decode_index(data[:length], "x.idx")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["a.json", "a.json"], "a.json occurs twice"),
        (["a.json", "b.json", "a.points.npy"], r"a\.points\.npy is apart"),
        (["../a.json"], "no member of a sample"),
    ],
)
def test_members_that_make_no_samples(members: list[str], message: str) -> None:
    builder = IndexBuilder("x.tar")
    with pytest.raises(ShardError, match=message):  # noqa: PT012  the last one is at fault
        for member in members:
            builder.add(member, Span(0, 0))


@pytest.mark.parametrize(
    "line",
    [b"-512 3 000000ab a.json", b"512 3 a.json", b"x 3 000000ab a.json", b"512 3 000000ab \xe9.json", b"", b"9" * 5000],
)
def test_lines_that_nobody_writes_although_the_checksum_fits(line: bytes) -> None:
    body = line + b"\n"
    with pytest.raises(ShardError, match=r"x\.idx: .* is no line of an index"):
        decode_index(f"tap-index 1 1 1 {zlib.crc32(body):08x}\n".encode() + body, "x.idx")
