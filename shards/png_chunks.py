"""A PNG file as chunks and filtered rows: checksums compared, pixels inflated to the size that is claimed and never beyond.

Knows the container, not what the bytes of a row mean; that is the business of `png.py`.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MIN_CHUNK = 12  # length, name and checksum
AS_IT_IS, UP = 0, 2  # row filters: bytes as they are, or less those of the row above
_SINGLE = (b"IHDR", b"PLTE", b"tRNS", b"IEND")

_MAX_EXPANSION = 1032
"""Bytes that one byte of a deflate stream can stand for, at most: 258 for each 2 bits."""

_SPARE_BYTES = 1 << 16
"""What a stream may have beyond twice its content; a wasteful encoder adds a few bytes a row."""


class PngFile(NamedTuple):
    """What a PNG file says before its pixels are inflated.

    Attributes:
        width: pixels, at least 1.
        height: pixels, at least 1.
        bits: of one sample of a pixel.
        kind: colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        is_interlaced: whether the rows come in seven passes.
        palette: RGB bytes of PLTE; None without.
        clear: bytes of tRNS; None without.
        parts: contents of the IDAT chunks, in order, at least one.
    """

    width: int
    height: int
    bits: int
    kind: int
    is_interlaced: bool
    palette: bytes | None
    clear: bytes | None
    parts: Sequence[bytes | memoryview]


def pack_chunks(file: PngFile) -> bytes:
    """The bytes of a PNG file with those chunks and no others."""
    header = struct.pack(">IIBBBBB", *file[:4], 0, 0, file.is_interlaced)
    single = [(b"IHDR", header), (b"PLTE", file.palette), (b"tRNS", file.clear)]
    chunks = [_chunk(name, content) for name, content in single if content is not None]
    return b"".join([_SIGNATURE, *chunks, *(_chunk(b"IDAT", part) for part in file.parts), _chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes | memoryview) -> bytes:
    """Length, name, data and CRC-32 of name and data. Source: PNG specification, section 5.3."""
    head, tail = struct.pack(">I4s", len(data), name), struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
    return b"".join((head, data, tail))


def read_chunks(data: bytes) -> PngFile:
    """The chunks of a whole PNG file.

    Raises:
        ShardError: no PNG file, one that is cut short or goes on after its end, a chunk that differs from its checksum, is
            critical and unknown, comes twice or in the wrong place, or a header that PNG does not have.
    """
    if not data.startswith(_SIGNATURE):
        raise ShardError("not a PNG file: it does not begin as one")
    view, place, name = memoryview(data), len(_SIGNATURE), b""
    single: dict[bytes, bytes] = {}
    parts: list[memoryview] = []
    while name != b"IEND":
        if place + _MIN_CHUNK > len(data):
            raise ShardError("not a whole PNG file: it is cut short")
        before, (length, name) = name, struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            raise ShardError(f"not a whole PNG file: chunk {name!r} is cut short")
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise ShardError(f"damaged PNG: chunk {name!r} at byte {place} differs from its checksum")
        if name == b"IDAT":
            is_misplaced = not single or (bool(parts) and before != name)
            parts.append(view[place + 8 : end])
        elif name in _SINGLE:
            is_misplaced = name in single or (name == b"IHDR") == bool(single) or bool(parts) != (name == b"IEND")
            is_misplaced |= name == b"PLTE" and b"tRNS" in single
            single[name] = data[place + 8 : end]
        else:
            is_misplaced = not single or not name[0] & 0x20  # a capital: who does not know it cannot read the file
        if is_misplaced:
            raise ShardError(f"damaged PNG: chunk {name!r} at byte {place} is unknown, doubled or out of place")
        place = end + 4
    if place != len(data) or single[b"IEND"]:
        raise ShardError(f"damaged PNG: {len(data) - place + len(single[b'IEND'])} bytes at or after its end")
    return _described(single, parts)


def _described(single: dict[bytes, bytes], parts: Sequence[memoryview]) -> PngFile:
    """The header's fields, compared with what PNG has. Source: PNG specification, section 11.2.1."""
    header = single[b"IHDR"]
    if len(header) != 13:
        raise ShardError(f"damaged PNG: a header of {len(header)} bytes, expected 13")
    width, height, bits, kind, method, filters, interlace = struct.unpack(">IIBBBBB", header)
    if not width or not height or method or filters or interlace > 1:
        raise ShardError(f"damaged PNG: {width}x{height} pixels, methods {method}, {filters}, {interlace}")
    palette = single.get(b"PLTE")
    return PngFile(width, height, bits, kind, bool(interlace), palette, single.get(b"tRNS"), parts)


def inflate(parts: Sequence[bytes | memoryview], num_bytes: int) -> bytes:
    """The bytes that IDAT chunks hold.

    Args:
        parts: their contents, in order, compared with their checksums.
        num_bytes: how many bytes must come out; at most one more is made.

    Raises:
        ShardError: another number comes out, or no whole zlib stream went in.
    """
    stream = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
    if len(stream) * _MAX_EXPANSION < num_bytes:
        raise ShardError(f"damaged PNG: {len(stream)} bytes cannot hold the {num_bytes} that its header claims")
    if len(stream) > 2 * num_bytes + _SPARE_BYTES:
        raise ShardError(f"damaged PNG: {len(stream)} bytes for the {num_bytes} that its header claims")
    if (
        len(stream) < 6
        or stream[0] & 15 != 8
        or stream[0] > 0x7F
        or stream[1] & 0x20
        or int.from_bytes(stream[:2]) % 31
    ):
        raise ShardError("damaged PNG: its pixels are not a zlib stream")
    # Without zlib's own checksum, which costs a third of inflating: the chunk's has covered the same bytes before. Only if
    # there are several chunks, which could have changed places, there is something left for it to find.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = inflater.decompress(stream[2:], num_bytes + 1)
    except zlib.error as error:
        raise ShardError(f"damaged PNG: {error}") from error
    checksum = inflater.unused_data
    if len(raw) != num_bytes or not inflater.eof or len(checksum) != 4:
        raise ShardError(f"damaged PNG: its pixels are not the {num_bytes} bytes that its header claims")
    if len(parts) > 1 and zlib.adler32(raw) != int.from_bytes(checksum):
        raise ShardError("damaged PNG: its pixels differ from their checksum")
    return raw


def filter_rows(rows: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The rows (H, B) of an image as PNG compresses them: (H, 1 + B) uint8, the filter's number before each.

    Args:
        rows: (H, B) uint8.
        number: AS_IT_IS or UP.
    Source: PNG specification, section 9.
    """
    lines = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    lines[:, 0] = number
    lines[:, 1:] = rows
    if number == UP:
        lines[1:, 1:] -= rows[:-1]
    return lines


def unfilter_rows(lines: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The inverse of `filter_rows`, which may share memory with `lines`; None if other filters are among them."""
    number = int(lines[0, 0])
    if number not in (AS_IT_IS, UP) or (lines[:, 0] != number).any():
        return None
    return lines[:, 1:] if number == AS_IT_IS else _summed(lines[:, 1:].copy())


def _summed(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, B) differences added up along H, in place; in blocks, because a call of numpy costs more than a row."""
    step = math.isqrt(len(rows))
    blocks = rows[: step * (len(rows) // step)].reshape(-1, step, rows.shape[1])
    for row in range(1, step):
        blocks[:, row] += blocks[:, row - 1]
    for block in range(1, len(blocks)):
        blocks[block] += blocks[block - 1, -1]
    for row in range(step * len(blocks), len(rows)):
        rows[row] += rows[row - 1]
    return rows
