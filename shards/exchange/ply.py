"""Points to PLY bytes and back: written in one fixed form, read in whatever form other tools write points with normals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError

_HEADER_BYTES = 1 << 16
_END = b"end_header"
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}

_POINT = ("x", "y", "z", "nx", "ny", "nz")
_COLOR = ("red", "green", "blue")
_PART = "part"


def encode_ply(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A binary little-endian PLY of points.

    Args:
        arrays: `points` (P, 6) float32, xyz and normal; where given, `colors` (P, 3) uint8 and `part` (P,) int32.
    """
    columns: list[tuple[str, str, NDArray[Any]]] = [
        (name, "float", arrays["points"][:, column]) for column, name in enumerate(_POINT)
    ]
    if "colors" in arrays:
        columns += [(name, "uchar", arrays["colors"][:, column]) for column, name in enumerate(_COLOR)]
    if "part" in arrays:
        columns.append((_PART, "int", arrays["part"]))
    table = np.empty(len(arrays["points"]), [(name, "<" + _TYPES[kind]) for name, kind, _ in columns])
    for name, _, values in columns:
        table[name] = values
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property {kind} {name}" for name, kind, _ in columns]
    return "\n".join([*lines, "end_header\n"]).encode() + table.tobytes()


def decode_ply(data: bytes) -> dict[str, NDArray[Any]]:
    """The points in PLY bytes; faces and other properties are passed over.

    Args:
        data: ASCII or binary, its vertices first, with x y z nx ny nz as float or double.

    Returns:
        `points` (P, 6) float32; `colors` (P, 3) uint8 where there are uchar red green blue; `part` (P,) int32 where there is
        an integer of this name.

    Raises:
        ShardError: no PLY, cut short, no normals, or colours of another type.
    """
    order, count, properties, body = _parsed_header(data)
    names = [name for name, _ in properties]
    missing = [name for name in _POINT if name not in names]
    if missing:
        kind = "normals" if missing[0].startswith("n") else "points"
        raise ShardError(f"no {kind}: a vertex needs {' '.join(_POINT)}, and {' '.join(missing)} are missing")
    table = _table(order, count, properties, body)
    for name in _POINT:
        if table[name].dtype.kind != "f":
            raise ShardError(f"property {name} is {table[name].dtype.name}, expected float or double")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which no sample may hold
        found = {"points": np.stack([table[name].astype(np.float32) for name in _POINT], axis=1)}
    if all(name in names for name in _COLOR):
        if any(table[name].dtype != np.uint8 for name in _COLOR):
            raise ShardError("colours are not uchar; write red green blue as numbers of one byte")
        found["colors"] = np.stack([table[name] for name in _COLOR], axis=1)
    if _PART in names:
        if table[_PART].dtype.kind not in "iu" or table[_PART].max(initial=0) > np.iinfo(np.int32).max:
            raise ShardError(f"property {_PART} holds no labels of 32 bits")
        found["part"] = table[_PART].astype(np.int32)
    return found


def _parsed_header(data: bytes) -> tuple[str, int, list[tuple[str, str]], bytes]:
    """Byte order ("" for ASCII), number of vertices, their (name, numpy type), and what follows the header."""
    end = data.find(b"\n" + _END, 0, _HEADER_BYTES) + 1
    if not data.startswith(b"ply") or not end:
        raise ShardError("not a PLY file, or its header is cut short")
    # Windows tools end lines with two bytes; a lone carriage return could be the first byte of the data.
    body = data[end + len(_END) :]
    body = body.removeprefix(b"\r\n") if body.startswith(b"\r\n") else body.removeprefix(b"\n")
    order, count, properties, elements = None, 0, [], 0
    for words in (line.split() for line in data[:end].decode("ascii", "replace").splitlines()):
        match words:
            case ["format", form, "1.0"] if form in _FORMATS:
                order = _FORMATS[form]
            case ["element", name, number]:
                elements += 1
                if elements == 1:
                    if name != "vertex" or not number.isdecimal() or len(number) > 18:
                        raise ShardError(f"the first element is {name} {number[:20]}, expected vertex and their number")
                    count = int(number)
            case ["property", kind, name] if elements == 1 and kind in _TYPES:
                properties.append((name, _TYPES[kind]))
            case ["property", *rest] if elements == 1:
                raise ShardError(f"a vertex has the property {' '.join(rest)!r}; numbers alone can be read")
    if order is None:
        raise ShardError(f"the format is none of {', '.join(_FORMATS)}, version 1.0")
    if len({name for name, _ in properties}) < len(properties):
        raise ShardError("a property of the vertices occurs twice")
    return order, count, properties, body


def _table(order: str, count: int, properties: list[tuple[str, str]], body: bytes) -> NDArray[Any]:
    """(P,) structured array of the vertices."""
    if order:
        layout = np.dtype([(name, order + kind) for name, kind in properties])
        if count * layout.itemsize > len(body):
            raise ShardError(
                f"cut short: {count:,} vertices need {count * layout.itemsize:,} bytes, {len(body):,} are there"
            )
        return np.frombuffer(body, layout, count)
    num_words = count * len(properties)
    words = body.split(maxsplit=num_words)[:num_words] if num_words <= len(body) else []
    if len(words) < num_words:
        raise ShardError(f"cut short: {count:,} vertices are named, fewer are there")
    table = np.empty(count, properties)
    try:
        for column, (name, kind) in enumerate(properties):
            column_words = words[column :: len(properties)]
            read = float if kind.startswith("f") else int
            table[name] = np.array([read(word) for word in column_words], kind)  # refuses what the type cannot hold
        return table
    except (ValueError, OverflowError) as error:
        raise ShardError(f"a vertex cannot be read: {error}") from error
