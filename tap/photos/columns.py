"""Points of .ply and .pcd files as named columns, in text and binary, whatever other properties stand beside them.

Only the points are read: faces, cameras and other elements are passed over. Errors are bare reasons; who opened the file puts
its name before them. Legend: P points.
"""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from tap.errors import TapError

Columns = dict[str, npt.NDArray[Any]]

_PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "float64": "f8",
}  # fmt: skip
_PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_PLY_END = re.compile(rb"[\r\n][ \t]*end_header[ \t]*(\r\n|\n|\r|\Z)")
_PCD_TYPES = {(kind, size): f"{kind.lower()}{size}" for kind in "IU" for size in "1248"} | {
    ("F", "4"): "f4",
    ("F", "8"): "f8",
}
_PCD_END = re.compile(rb"(?:\A|\n)[ \t]*DATA[ \t]+([a-z_]+)[ \t]*(?:\r?\n|\Z)")
_PCD_DATA = ("ascii", "binary", "binary_compressed")
_LONGEST_HEADER = 1 << 16
_LARGEST_GAIN = 264  # no byte of a compressed stream unpacks to more


@dataclasses.dataclass(frozen=True)
class PlyElement:
    """A table of a .ply file; a property's type is numpy's, or "" for a list."""

    name: str
    num_rows: int
    properties: tuple[tuple[str, str], ...]


def ply_elements(content: bytes) -> tuple[str, tuple[PlyElement, ...], int]:
    """Byte order ("" for text), the elements in their order, and where the data begin.

    Raises:
        TapError: no PLY, a header without an end, or a line that the format does not have.
    """
    end = _PLY_END.search(content, 0, _LONGEST_HEADER)
    if not content.startswith(b"ply") or end is None:
        raise TapError("is not a PLY file, or its header is cut short")
    order, elements = None, list[tuple[str, int, list[tuple[str, str]]]]()
    for line in content[: end.start()].decode("utf-8", "replace").splitlines()[1:]:
        match line.split():
            case ["format", form, _] if form in _PLY_ORDERS:
                order = _PLY_ORDERS[form]
            case ["element", name, number] if number.isdecimal() and len(number) <= 18:
                elements.append((name, int(number), []))
            case ["property", "list", _, _, name] if elements:
                elements[-1][2].append((name, ""))
            case ["property", kind, name] if elements and kind in _PLY_TYPES:
                elements[-1][2].append((name, _PLY_TYPES[kind]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise TapError(f"header line {line[:80]!r} is not understood")
    if order is None:
        raise TapError(f"its format is none of {', '.join(_PLY_ORDERS)}")
    return order, tuple(PlyElement(name, rows, tuple(columns)) for name, rows, columns in elements), end.end()


def ply_columns(content: bytes) -> Columns:
    """The vertices of a .ply file: each property's name to its (P,) numbers.

    Raises:
        TapError: no PLY, no vertices, a list among what stands before them, or fewer data than the header announces.
    """
    order, elements, at = ply_elements(content)
    skipped_words = 0
    for element in elements:
        is_wanted = element.name == "vertex"
        if any(not kind for _, kind in element.properties):
            place = "a vertex" if is_wanted else f"element {element.name}, which stands before the vertices,"
            raise TapError(f"{place} has a list; write the vertices first, as single numbers")
        kinds = tuple(f"{order}{kind}" for _, kind in element.properties)
        if is_wanted:
            body = memoryview(content)[at:]
            names = tuple(name for name, _ in element.properties)
            return _table(bool(order), body, names, kinds, element.num_rows, skipped_words)
        if order:
            at += element.num_rows * sum(np.dtype(kind).itemsize for kind in kinds)
        else:
            skipped_words += element.num_rows * len(kinds)
    raise TapError("has no element vertex, and so no points")


def pcd_columns(content: bytes) -> Columns:
    """The points of a .pcd file: each field's name to its (P,) numbers, the first number of fields that have more.

    Raises:
        TapError: no PCD, a header that contradicts itself, or fewer data than it announces.
    """
    end = _PCD_END.search(content, 0, _LONGEST_HEADER)
    if end is None or (data := end[1].decode()) not in _PCD_DATA:
        raise TapError(f"is not a PCD file: its header has no line DATA with one of {', '.join(_PCD_DATA)}")
    lines = content[: end.start()].decode("utf-8", "replace").splitlines()
    header = {words[0]: words[1:] for words in map(str.split, lines) if words and not words[0].startswith("#")}
    names, num_points = header.get("FIELDS", []), _pcd_number(header)
    counts = [int(word) if word.isdecimal() else 0 for word in header.get("COUNT", ["1"] * len(names))]
    sizes, types = header.get("SIZE", []), header.get("TYPE", [])
    kinds = [_PCD_TYPES.get(pair, "") for pair in zip(types, sizes, strict=False)]
    if not names or not len(names) == len(types) == len(sizes) == len(counts) or not all(kinds) or not all(counts):
        raise TapError("its header's FIELDS, SIZE, TYPE and COUNT do not fit together")
    columns = [(name, "<" + kind) for name, kind, count in zip(names, kinds, counts, strict=True) for _ in range(count)]
    flat_names, flat_kinds = zip(*columns, strict=True)
    body = memoryview(content)[end.end() :]
    if data == "binary_compressed":
        return _compressed(body, list(zip(names, kinds, counts, strict=True)), num_points)
    return _table(data == "binary", body, flat_names, flat_kinds, num_points)


def _pcd_number(header: dict[str, list[str]]) -> int:
    words = header.get("POINTS") or [*header.get("WIDTH", []), *header.get("HEIGHT", [])]
    if len(words) not in (1, 2) or not all(word.isdecimal() and len(word) <= 9 for word in words):
        raise TapError("its header tells no number of points (POINTS, or WIDTH and HEIGHT)")
    return math.prod(map(int, words))


def _table(
    is_binary: bool, body: memoryview, names: tuple[str, ...], kinds: tuple[str, ...], num_rows: int, skipped: int = 0
) -> Columns:
    """Rows of numbers as columns; of equal names the first. ``skipped`` words of text stand before them."""
    if is_binary:
        # Numbered, because names may repeat: PCL pads with fields that are all named "_".
        row = np.dtype([(f"{place}", kind) for place, kind in enumerate(kinds)])
        _check_length(num_rows * row.itemsize, len(body), num_rows)
        table = np.frombuffer(body, row, num_rows)
        return {name: table[f"{place}"] for place, name in reversed(list(enumerate(names)))}
    num_words = num_rows * len(names)
    _check_length(2 * (skipped + num_words) - 1, len(body), num_rows)  # a digit and a blank each
    words = bytes(body).split(maxsplit=skipped + num_words)[skipped : skipped + num_words]
    if len(words) < num_words:
        raise TapError(f"is cut short: its header announces {num_rows:,} points, {len(words) // len(names):,} follow")
    columns: Columns = {}
    for place, name in reversed(list(enumerate(names))):
        try:
            columns[name] = np.array([float(word) for word in words[place :: len(names)]])
        except ValueError as error:
            raise TapError(f"{name} of a point cannot be read: {error}") from error
    return columns


def _check_length(needed: int, found: int, num_rows: int) -> None:
    if needed > found:
        raise TapError(
            f"is cut short: its header announces {num_rows:,} points of {needed:,} bytes, {found:,} bytes follow"
        )


def _compressed(body: memoryview, fields: list[tuple[str, str, int]], num_points: int) -> Columns:
    """The columns of binary_compressed data: two sizes, then all of the first field, all of the second, ..."""
    if len(body) < 8:
        raise TapError("is cut short: no data follow the header")
    num_packed, num_bytes = np.frombuffer(body, "<u4", 2).tolist()
    announced = num_points * sum(np.dtype(kind).itemsize * count for _, kind, count in fields)
    if num_bytes != announced or num_packed > len(body) - 8:
        raise TapError(
            f"is cut short or damaged: {announced:,} bytes of points are announced, packed in {num_packed:,}; its data "
            f"say {num_bytes:,}, packed in {len(body) - 8:,}"
        )
    if num_bytes > num_packed * _LARGEST_GAIN:
        raise TapError(f"is damaged: {num_packed:,} bytes cannot unpack to {num_bytes:,}")
    unpacked, at, columns = unpack_lzf(bytes(body[8 : 8 + num_packed]), num_bytes), 0, dict[str, npt.NDArray[Any]]()
    for name, kind, count in fields:
        values = np.frombuffer(unpacked, "<" + kind, num_points * count, at)
        columns.setdefault(name, values.reshape(num_points, count)[:, 0])
        at += values.nbytes
    return columns


def unpack_lzf(packed: bytes, num_bytes: int) -> bytes:
    """What an LZF stream unpacks to, as .pcd files hold it.

    Args:
        packed: runs of bytes as they are (a byte below 32, and so many plus one bytes), and copies of what has been unpacked.
        num_bytes: how many bytes must come out.

    Raises:
        TapError: another number comes out, or a copy reaches before the beginning.
    """
    out, at = bytearray(), 0
    try:
        while at < len(packed) and len(out) <= num_bytes:
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            begin = len(out) - ((control & 31) << 8) - packed[at] - 1
            at += 1
            if begin < 0:
                raise TapError("is damaged: its compressed data point before their beginning")
            run = out[begin : begin + length + 2]
            while len(run) < length + 2:  # a copy that overlaps itself repeats
                run += run[: length + 2 - len(run)]
            out += run
    except IndexError as error:
        raise TapError("is damaged: its compressed data end in the middle") from error
    if len(out) != num_bytes:
        raise TapError(f"is damaged: its data unpack to {len(out):,} bytes, not to {num_bytes:,}")
    return bytes(out)
