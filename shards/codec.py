"""Members of a sample to bytes and back: JSON, NPY and PNG. Nothing here can hold or load a pickle.

Equal samples give equal bytes on every machine: sorted keys, little endian, C order, NPY version 1.0.
"""

from __future__ import annotations

import io
import json
import math
import re
import tokenize
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError
from shards.png import decode_png, encode_png
from shards.schema import Sample, check_array, check_image, check_meta, check_sample

_LARGEST = {".json": 1 << 26, ".npy": 1 << 32, ".png": 1 << 28}
"""Extensions of members, with the most bytes that are read of one: more is damage or an attack, not a sample."""

_MEMBER = re.compile(r"([A-Za-z0-9_-]+)\.(json|[A-Za-z0-9_-]+\.(?:npy|png))")
"""Key and field. A field becomes a file name where a set is exported, so it may hold nothing that leads elsewhere."""

_OUR_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<f4|\|u1|<i4)', 'fortran_order': False, 'shape': \(((?:\d{1,18}, ?)*\d{0,18})\), \} *\n",
    re.DOTALL,
)
"""The header that numpy writes of the schema's arrays. numpy itself compiles each header as Python, at .05 ms a member."""


@dataclass(frozen=True, eq=False)
class PackedSample:
    """One sample as it is stored.

    Attributes:
        key: the sample's key.
        meta: the content of `K.json`, see SampleMeta.
        members: (name, bytes), sorted by name, `K.json` among them.
    """

    key: str
    meta: dict[str, Any]
    members: tuple[tuple[str, bytes], ...]


def split_member(name: str) -> tuple[str, str]:
    """Key and field of a member: `chair_1.points.npy` gives `chair_1` and `points.npy`, `chair_1.json` gives `json`.

    Raises:
        ShardError: the name is not `KEY.json`, `KEY.NAME.npy` or `KEY.NAME.png`.
    """
    match = _MEMBER.fullmatch(name)
    if match is None:
        raise ShardError(f"{name!r} is no member of a sample; those are KEY.json, KEY.NAME.npy and KEY.NAME.png")
    return match[1], match[2]


def check_size(name: str, num_bytes: int) -> None:
    """Compares a member's size with what such a member may have.

    Raises:
        ShardError: it is larger; the message names the member.
    """
    largest = _LARGEST[name[name.rindex(".") :]]
    if num_bytes > largest:
        raise ShardError(f"{name}: {num_bytes:,} bytes, more than the {largest:,} that such a member may have")


def pack_sample(sample: Sample) -> PackedSample:
    """The sample as it is stored, ready for the tar.

    Raises:
        ShardError: the sample does not keep the contract; the message names the key and the member.
    """
    try:
        check_sample(sample)
        members = [(f"{sample.key}.json", encode_json(sample.meta))]
        members += [(f"{sample.key}.{name}.npy", encode_npy(array)) for name, array in sample.arrays.items()]
        members += [(f"{sample.key}.{name}.png", encode_png(image)) for name, image in sample.images.items()]
    except ShardError as error:
        raise ShardError(f"sample {sample.key}: {error}") from error
    return PackedSample(sample.key, sample.meta, tuple(sorted(members)))


def with_meta(packed: PackedSample, key: str, meta: dict[str, Any]) -> PackedSample:
    """The same arrays and images, byte for byte, with another JSON and perhaps another key.

    Raises:
        ShardError: the JSON does not keep the contract.
    """
    check_meta(key, meta)
    members = [
        (f"{key}.{split_member(name)[1]}", data) for name, data in packed.members if split_member(name)[1] != "json"
    ]
    return PackedSample(key, meta, tuple(sorted([*members, (f"{key}.json", encode_json(meta))])))


def decode_member(name: str, data: bytes) -> Any:
    """Content of one member.

    Args:
        name: the member's name, with its key.
        data: its bytes.

    Returns:
        A dict for `.json`; for `.npy` and `.png` an array of the schema's dtype that owns its memory.

    Raises:
        ShardError: the name or the content does not keep the contract; the message names the member.
    """
    _, suffix = split_member(name)
    check_size(name, len(data))
    try:
        if suffix == "json":
            return decode_json(data)
        field, extension = suffix[:-4], suffix[-4:]
        if extension == ".npy":
            array = decode_npy(data)
            check_array(field, array, {})
        else:
            array = decode_png(data)
            check_image(field, array)
    except ShardError as error:
        raise ShardError(f"{name}: {error}") from error
    return array


def encode_json(content: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, a newline at the end.

    Raises:
        ShardError: a value that JSON cannot hold, NaN and infinity included.
    """
    try:
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ShardError(f"cannot be written as JSON: {error}") from error


def decode_json(data: bytes) -> dict[str, Any]:
    """The JSON object in these bytes.

    Raises:
        ShardError: damaged text, or JSON that is not an object.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ShardError(f"holds a JSON {type(content).__name__}, expected an object")
    return content


def encode_npy(array: NDArray[Any]) -> bytes:
    """NPY version 1.0 bytes of an array, little endian, C order.

    Raises:
        ShardError: an array of Python objects, which only a pickle could hold.
    """
    if array.dtype.hasobject:
        raise ShardError("an array of Python objects cannot be stored")
    stream = io.BytesIO()
    ordered = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(stream, ordered, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def decode_npy(data: bytes) -> NDArray[Any]:
    """The array in NPY version 1.0 bytes, which must end exactly where the array does.

    Raises:
        ShardError: damage, another version, Fortran order, or an array of Python objects.
    """
    shape, dtype, start = _npy_header(data)
    payload = memoryview(data)[start:]
    num_bytes = math.prod(shape) * dtype.itemsize  # Python integers: a forged shape cannot overflow
    if min(shape, default=0) < 0 or num_bytes != len(payload):
        raise ShardError(f"NPY of shape {shape} {dtype} needs {num_bytes} bytes, {len(payload)} are there")
    try:
        # A copy, because an array over immutable bytes is read-only and torch warns about each one.
        return np.frombuffer(payload, dtype=dtype).reshape(shape).copy()
    except (ValueError, TypeError) as error:  # items without a byte, too many dimensions, True for a size
        raise ShardError(f"NPY of shape {shape} {dtype}: {error}") from error


def _npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and where the payload begins."""
    match = _OUR_NPY.match(data)
    if match is not None and len(match[0]) == 10 + int.from_bytes(data[8:10], "little"):
        return (
            tuple(int(size) for size in match[2].split(b",") if size.strip()),
            np.dtype(match[1].decode()),
            len(match[0]),
        )
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ShardError(f"NPY version {version}, expected (1, 0)")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, SyntaxError, TypeError, EOFError, RecursionError, tokenize.TokenError) as error:
        raise ShardError(f"not an NPY file: {error}") from error
    if fortran_order or dtype.hasobject:
        raise ShardError(f"NPY holds {'Fortran order' if fortran_order else 'Python objects'}, which is not allowed")
    return shape, dtype, stream.tell()
