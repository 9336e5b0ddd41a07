"""Columns of .ply and .pcd files in every form, against numbers written by hand and against files of Open3D."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tap.errors import TapError
from tap.photos.columns import pcd_columns, ply_columns, unpack_lzf

PLY = (
    "ply\nformat {form} 1.0\ncomment made by hand\nelement camera 1\nproperty float focal\nelement vertex 2\n"
    "property double x\nproperty uchar red\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
)
PCD = (
    "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z _ _ rgb\nSIZE 4 4 4 1 1 4\n"
    "TYPE F F F U U F\nCOUNT 1 1 1 2 1 1\nWIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\nDATA {data}\n"
)


def ply_of(form: str) -> bytes:
    header = PLY.format(form=form).encode()
    if form == "ascii":
        return header + b"35.5\n1 255 2 3\n-4.5 0 5e-1 6\n3 0 1 1\n"
    order = "<" if "little" in form else ">"
    body = struct.pack(f"{order}f", 35.5) + struct.pack(f"{order}dBff", 1, 255, 2, 3)
    return header + body + struct.pack(f"{order}dBff", -4.5, 0, 0.5, 6) + struct.pack(f"{order}Biii", 3, 0, 1, 1)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_vertices_of_a_ply_file_stand_among_other_elements_and_properties(form: str) -> None:
    columns = ply_columns(ply_of(form))
    assert {name: values.tolist() for name, values in columns.items()} == {
        "x": [1.0, -4.5],
        "y": [2.0, 0.5],
        "z": [3.0, 6.0],
        "red": [255, 0],
    }


def test_lines_of_a_ply_file_may_end_as_on_windows() -> None:
    content = b"ply\r\nformat ascii 1.0\r\nelement vertex 1\r\nproperty float x\r\nend_header\r\n7\r\n"
    assert ply_columns(content)["x"].tolist() == [7.0]


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
def test_a_ply_file_that_is_cut_short_is_refused(form: str) -> None:
    content = ply_of(form)
    end = content.index(b"end_header\n") + len(b"end_header\n")
    for length in (0, end - 4, end, end + 8):
        with pytest.raises(TapError, match="cut short"):
            ply_columns(content[:length])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("ply\nformat ascii 2.x\nelement vertex 1\nwhat\nend_header\n", "header line 'what' is not understood"),
        ("ply\nelement vertex 1\nproperty float x\nend_header\n1\n", "its format is none of ascii"),
        (
            "ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int i\nend_header\n",
            "element face, which stands",
        ),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar int i\nend_header\n1\n", "a vertex has a list"),
        ("ply\nformat ascii 1.0\nend_header\n", "no element vertex"),
        (
            "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\nfour\n",
            "x of a point cannot be read",
        ),
        (
            "ply\nformat binary_little_endian 1.0\nelement vertex 999999999999\nproperty float x\nend_header\n",
            "cut short",
        ),
    ],
    ids=["line", "format", "list before", "list", "no vertex", "word", "huge"],
)
def test_what_a_ply_file_may_not_be(header: str, message: str) -> None:
    with pytest.raises(TapError, match=message):
        ply_columns(header.encode())


def pcd_of(data: str) -> bytes:
    header = PCD.format(data=data).encode()
    if data == "ascii":
        return header + b"1 2 3 9 9 9 0.5\n4 nan -6.25 9 9 9 0.25\n"
    rows = [(1, 2, 3, 9, 9, 9, 0.5), (4, np.nan, -6.25, 9, 9, 9, 0.25)]
    if data == "binary":
        return header + b"".join(struct.pack("<fffBBBf", *row) for row in rows)
    fields = [struct.pack("<2f", *(row[place] for row in rows)) for place in (0, 1, 2)]
    plain = b"".join([*fields, b"\x09" * 6, struct.pack("<2f", 0.5, 0.25)])
    packed = b"".join(bytes([len(part) - 1]) + part for part in (plain[:20], plain[20:]))  # runs as they are
    return header + struct.pack("<II", len(packed), len(plain)) + packed


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_points_of_a_pcd_file_stand_among_other_fields(data: str) -> None:
    columns = pcd_columns(pcd_of(data))
    assert columns["x"].tolist() == [1.0, 4.0]
    np.testing.assert_array_equal(columns["y"], [2.0, np.nan])
    assert columns["z"].tolist() == [3.0, -6.25]
    assert columns["rgb"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_a_pcd_file_that_is_cut_short_is_refused(data: str) -> None:
    content = pcd_of(data)
    for length in (len(content) - 12, content.index(b"DATA") + len(f"DATA {data}\n")):
        with pytest.raises(TapError, match="cut short"):
            pcd_columns(content[:length])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DATA ascii", "DATA zipped", "no line DATA"),
        ("FIELDS x y z _ _ rgb", "FIELDS x y", "do not fit together"),
        ("SIZE 4 4 4 1 1 4", "SIZE 4 4 3 1 1 4", "do not fit together"),
        ("COUNT 1 1 1 2 1 1", "COUNT 1 1 1 0 1 1", "do not fit together"),
        ("POINTS 2", "POINTS many", "no number of points"),
        ("WIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2", "WIDTH 2 2 2", "no number of points"),
    ],
)
def test_a_pcd_header_that_contradicts_itself(old: str, new: str, message: str) -> None:
    assert old in PCD.format(data="ascii")
    with pytest.raises(TapError, match=message):
        pcd_columns(pcd_of("ascii").replace(old.encode(), new.encode()))


def test_the_number_of_points_may_be_width_times_height() -> None:
    assert len(pcd_columns(pcd_of("binary").replace(b"POINTS 2\n", b""))["x"]) == 2


def test_copies_of_a_compressed_stream_by_hand() -> None:
    # "abc" as it is; 5 bytes from 3 back, overlapping themselves; 7 + 2 + 2 bytes from 1 back.
    packed = bytes([2]) + b"abc" + bytes([3 << 5, 2]) + bytes([7 << 5, 2, 0])
    assert unpack_lzf(packed, 19) == b"abc" + b"abcab" + b"b" * 11
    with pytest.raises(TapError, match="unpack to 19 bytes, not to 20"):
        unpack_lzf(packed, 20)
    with pytest.raises(TapError, match="before their beginning"):
        unpack_lzf(bytes([0]) + b"a" + bytes([1 << 5, 1]), 4)
    with pytest.raises(TapError, match="end in the middle"):
        unpack_lzf(bytes([0]) + b"a" + bytes([1 << 5]), 4)


@pytest.mark.parametrize("ascii_", [True, False], ids=["text", "binary"])
@pytest.mark.parametrize("suffix", [".ply", ".pcd", "compressed.pcd"])
def test_files_of_open3d(tmp_path: Path, suffix: str, ascii_: bool) -> None:
    open3d = pytest.importorskip("open3d")
    points: npt.NDArray[np.float64] = np.random.default_rng(0).normal(size=(300, 3)).round(2)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(np.tile([[0.0, 0.6, 0.8]], (300, 1)))
    path = tmp_path / f"cloud{suffix}"
    is_compressed = suffix == "compressed.pcd" and not ascii_
    assert open3d.io.write_point_cloud(str(path), cloud, write_ascii=ascii_, compressed=is_compressed)
    content = path.read_bytes()
    assert (b"binary_compressed" in content) == is_compressed
    columns = ply_columns(content) if suffix == ".ply" else pcd_columns(content)
    np.testing.assert_allclose(np.stack([columns[axis] for axis in "xyz"], axis=1), points, atol=1e-6)
    normal = "nz" if suffix == ".ply" else "normal_z"
    np.testing.assert_allclose(columns[normal], 0.8, atol=1e-6)
