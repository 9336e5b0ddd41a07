import io

import numpy as np
import pytest

from shards.codec import decode_member, decode_npy, encode_json, encode_npy, pack_sample, split_member
from shards.errors import ShardError
from tests.shards.synthetic import make_sample, make_sources


def test_members_are_sorted_and_come_back() -> None:
    sample = make_sample(make_sources()[0])
    members = pack_sample(sample).members
    names = [name.removeprefix(f"{sample.key}.") for name, _ in members]
    assert names == [
        "intrinsics.npy",
        "json",
        "points.npy",
        "view00.png",
        "view01.png",
        "view02.png",
        "world_to_camera.npy",
    ]
    decoded = {name: decode_member(name, data) for name, data in members}
    assert decoded[f"{sample.key}.json"] == sample.meta
    for name, array in sample.arrays.items():
        np.testing.assert_array_equal(decoded[f"{sample.key}.{name}.npy"], array)
        assert decoded[f"{sample.key}.{name}.npy"].flags.writeable
    for name, image in sample.images.items():
        np.testing.assert_array_equal(decoded[f"{sample.key}.{name}.png"], image)


def test_json_is_canonical() -> None:
    assert encode_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}\n'.encode()
    for value in (float("nan"), {1, 2}, "\udc80"):
        with pytest.raises(ShardError, match="JSON"):
            encode_json({"a": value})


def test_npy_is_little_endian_c_order_version_1() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    data = encode_npy(array)
    assert data[:8] == b"\x93NUMPY\x01\x00"
    assert data[-24:] == np.array([0, 3, 1, 4, 2, 5], "<f4").tobytes()
    np.testing.assert_array_equal(np.load(io.BytesIO(data), allow_pickle=False), array)
    assert encode_npy(decode_npy(data)) == data


def test_nothing_pickled_either_way() -> None:
    objects = np.array([{}, None], dtype=object)
    with pytest.raises(ShardError, match="objects"):
        encode_npy(objects)
    stream = io.BytesIO()
    np.save(stream, objects, allow_pickle=True)
    with pytest.raises(ShardError, match="objects"):
        decode_npy(stream.getvalue())


def test_every_cut_of_an_array_is_an_error() -> None:
    data = encode_npy(np.ones((3, 6), np.float32))
    for length in range(len(data)):
        with pytest.raises(ShardError):
            decode_npy(data[:length])
    with pytest.raises(ShardError, match="needs 72 bytes, 73"):
        decode_npy(data + b"\0")


def test_other_npy_layouts_are_refused() -> None:
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(np.ones((3, 2))))
    with pytest.raises(ShardError, match="Fortran"):
        decode_npy(stream.getvalue())
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ones(3), version=(2, 0))
    with pytest.raises(ShardError, match="version"):
        decode_npy(stream.getvalue())


@pytest.mark.parametrize("name", ["points.npy.gz", "../a.json", "a.pkl", "a", ".json", "a b.json"])
def test_foreign_names(name: str) -> None:
    with pytest.raises(ShardError, match="no member"):
        split_member(name)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("k.json", b"{", "not valid JSON"),
        ("k.json", b"[]", "list"),
        ("k.json", b"\xff", "not valid JSON"),
        ("k.points.npy", encode_npy(np.ones((3, 5), np.float32)), r"expected \(P,6\)"),
        ("k.points.npy", encode_npy(np.ones((3, 6), np.float64)), "float64"),
        ("k.colour.npy", encode_npy(np.ones(3, np.float32)), "unknown"),
        ("k.view00.png", b"no png", "PNG"),
    ],
)
def test_content_is_compared_with_the_contract(name: str, data: bytes, message: str) -> None:
    with pytest.raises(ShardError, match=message) as caught:
        decode_member(name, data)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (8192, 6), (12, 4, 4), (2, 1, 3, 1)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int32", "float64", "bool"])
def test_npy_of_any_shape_is_read_as_numpy_reads_it(shape: tuple[int, ...], dtype: str) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    got, expected = decode_npy(encode_npy(array)), np.load(io.BytesIO(encode_npy(array)))
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", [b"(1 2), ", b"(99999999999999999999,), ", b"(,), ", b"(-1,), "])
def test_headers_that_numpy_would_not_write(shape: bytes) -> None:
    data = encode_npy(np.zeros(3, np.float32)).replace(b"(3,), ", shape)
    with pytest.raises(ShardError):
        decode_npy(data)


@pytest.mark.parametrize(
    "name", ["K./../x.png", "K./x.png", "K.a/b.npy", "K.a.b.npy", "K..png", "K.png", "K.a.json", "K.a b.png"]
)
def test_a_field_is_a_plain_name(name: str) -> None:
    with pytest.raises(ShardError, match="is no member of a sample"):
        split_member(name)


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("'<f4'", "(3"),
        ("'<f4'", "(32 2)"),
        ("'|V0'", "(3,)"),
        ("('<f4', (0,))", "(1,)"),
        ("'<f4'", "(True, 3)"),
        ("'<f4'", "(" + "0, " * 100 + ")"),
        ("'<f4'", "(0, 999999999999999999, 999999999999999999)"),
    ],
)
def test_forged_npy_headers_are_errors_of_ours(descr: str, shape: str) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with pytest.raises(ShardError, match="NPY"):
        decode_npy(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(12))
    with pytest.raises(ShardError, match="NPY"):
        decode_npy(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
