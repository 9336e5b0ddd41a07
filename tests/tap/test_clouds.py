"""Clouds from files of every kind, and their way into the frame of shards."""

from pathlib import Path

import numpy as np
import pytest

from tap.errors import TapError
from tap.photos.clouds import CLOUD_SUFFIXES, Cloud, centred, holds_faces, read_cloud

POINTS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5], [-7.0, 0.0, 9.0]])
NORMALS = np.array([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0], [-1.0, 0.0, 0.0]])
BOTH = np.concatenate([POINTS, NORMALS], axis=1)


def text_of(table: np.ndarray, delimiter: str = " ") -> str:
    return "".join(delimiter.join(f"{value:g}" for value in row) + "\n" for row in table)


def ply_of(table: np.ndarray) -> str:
    names = ["x", "y", "z", "nx", "ny", "nz"][: table.shape[1]]
    properties = "".join(f"property float {name}\n" for name in names)
    return f"ply\nformat ascii 1.0\nelement vertex {len(table)}\n{properties}end_header\n{text_of(table)}"


def pcd_of(table: np.ndarray) -> str:
    names = ["x", "y", "z", "normal_x", "normal_y", "normal_z"][: table.shape[1]]
    ones = " ".join("1" for _ in names)
    kinds = f"SIZE {ones.replace('1', '4')}\nTYPE {ones.replace('1', 'F')}\nCOUNT {ones}"
    return f"FIELDS {' '.join(names)}\n{kinds}\nWIDTH {len(table)}\nHEIGHT 1\nDATA ascii\n{text_of(table)}"


def write(path: Path, table: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, table)
    else:
        form = {".ply": ply_of, ".pcd": pcd_of}.get(path.suffix, text_of)
        path.write_text(form(table))
    return path


@pytest.mark.parametrize("suffix", CLOUD_SUFFIXES)
def test_every_kind_of_file_gives_points_and_normals(tmp_path: Path, suffix: str) -> None:
    cloud = read_cloud(write(tmp_path / f"cloud{suffix}", BOTH))
    assert cloud.points.dtype == np.float64
    np.testing.assert_array_equal(cloud.points, POINTS)
    assert cloud.normals is not None
    np.testing.assert_allclose(cloud.normals, NORMALS, atol=1e-7)
    alone = read_cloud(write(tmp_path / f"alone{suffix}", POINTS))
    np.testing.assert_array_equal(alone.points, POINTS)
    assert alone.normals is None


@pytest.mark.parametrize(
    "text",
    [
        text_of(POINTS, ","),
        text_of(POINTS, ", "),
        "3\n" + text_of(POINTS),
        "# x y z\n\n" + text_of(POINTS, "\t").replace("\n", "  # a point\n"),
        "\ufeff" + text_of(POINTS).replace("\n", "\r\n"),
        text_of(np.column_stack([POINTS, [0, 1, 2]])),
        text_of(np.column_stack([POINTS, [[255, 0, 0], [0, 0, 255], [0, 0, 0]]])),
        text_of(np.column_stack([POINTS, np.zeros((3, 3))])),
    ],
    ids=["commas", "commas and blanks", "number first", "comments", "Windows", "label", "colours", "no normals"],
)
def test_columns_of_text_in_other_forms(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cloud.TXT"
    path.write_text(text, encoding="utf-8", newline="")
    cloud = read_cloud(path)
    np.testing.assert_array_equal(cloud.points, POINTS)
    assert cloud.normals is None


def test_a_label_after_the_normals_is_left_out(tmp_path: Path) -> None:
    cloud = read_cloud(write(tmp_path / "cloud.txt", np.column_stack([BOTH, [3, 4, 5]])))  # ShapeNetPart
    assert cloud.normals is not None
    np.testing.assert_allclose(cloud.normals, NORMALS)


def test_normals_of_columns_with_names_get_length_one(tmp_path: Path) -> None:
    table = BOTH * [1, 1, 1, 3, 3, 3]
    table[1, 3:] = 0.0
    normals = read_cloud(write(tmp_path / "cloud.ply", table)).normals
    np.testing.assert_allclose(np.asarray(normals), [[0, 0, 1], [0, 0, 0], [-1, 0, 0]])
    table[0, 5] = np.nan
    assert read_cloud(write(tmp_path / "cloud.ply", table)).normals is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", b"", "holds 0 points, at least 2 are needed"),
        ("a.xyz", b"1 2 3\n", "holds 1 points, at least 2"),
        ("a.xyz", b"3\n# x y z\n1 2 3\n4 5\n", "equally many numbers: line 4 has 2 numbers, line 3 has 3; mend"),
        ("a.txt", b"1 2 3\n\n4 foo 5\n", "equally many numbers: line 3 has 'foo'; mend"),
        ("a.csv", b"x,y,z\n1,2,3\n", "not lines of equally many numbers.*'x'"),
        ("a.txt", b"1 2\n3 4\n", r"\(2, 2\); points are \(P, 3\)"),
        ("a.pts", b"\xff\xfe\x00", "is not text"),
        ("a.xyz", b"1 2 3\n4 nan 6\n", "1 of 2 points are not finite"),
        ("a.xyz", b"1 2 3\n4 inf 6\n", "1 of 2 points are not finite"),
        ("a.npy", b"\x93NUMPY", "cannot be read as .npy"),
        ("a.npy", b"not numpy at all", "cannot be read as .npy"),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
            "have no y, z; they have x",
        ),
        ("a.pcd", b"", "is not a PCD file"),
        ("a.las", b"", "suffix '.las' is not one of .ply, .pcd"),
    ],
)
def test_a_file_that_is_no_cloud_is_one_line_with_its_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TapError, match=message) as caught:
        read_cloud(path, least=2)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    for name in ("a.ply", "a.npy", "a.txt"):
        with pytest.raises(TapError, match="No such file"):
            read_cloud(tmp_path / name)
    with pytest.raises(TapError, match="No such file"):
        holds_faces(tmp_path / "a.ply")


def test_an_npy_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(TapError, match=r"cannot be read as \.npy"):
        read_cloud(tmp_path / "a.npy")


def test_an_npy_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", POINTS)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(3, 3)", b"(9, 3)"))
    with pytest.raises(TapError, match=r"cannot be read as \.npy"):
        read_cloud(tmp_path / "a.npy")


@pytest.mark.parametrize("up", ["y", "z"])
def test_a_cloud_is_turned_centred_and_scaled(up: str) -> None:
    # Along the up axis from 10 to 14, and 2 to each side: the mean at 12, the ends at distance 2.
    along = {"y": [0, 1, 0], "z": [0, 0, 1]}[up]
    points = np.array([[0, 0, 0], [2, 0, 0], [-2, 0, 0], [0, 0, 0]]) + np.outer([10, 12, 12, 14], along)
    normals = np.tile(along, (4, 1)).astype(np.float64)
    world = centred(Cloud(points.astype(np.float64), normals), up)  # type: ignore[arg-type]
    assert world.points.dtype == np.float32
    np.testing.assert_allclose(world.points, [[0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(np.asarray(world.normals), np.tile([0, 0, 1], (4, 1)))


def test_a_turn_from_y_up_keeps_handedness() -> None:
    points = np.eye(3) - 1 / 3
    world = centred(Cloud(points), "y").points
    assert np.linalg.det(world + 1 / np.sqrt(6)) > 0
    np.testing.assert_allclose(world[1], np.array([-1, 1, 2]) / np.sqrt(6), atol=1e-6)  # file y: up


def test_places_on_a_map_keep_their_centimetres() -> None:
    local = np.random.default_rng(0).normal(size=(50, 3))
    near = centred(Cloud(local), "z").points
    far = centred(Cloud(local + np.array([4.5e6, 5.4e6, 312.0])), "z").points
    np.testing.assert_allclose(far, near, atol=1e-6)
    np.testing.assert_allclose(centred(Cloud(local * 1e-200), "z").points, near, atol=1e-6)


@pytest.mark.parametrize(
    ("points", "message"),
    [(np.ones((4, 3)), "all points are one"), (np.array([[1.5e308, 0, 0], [-1.5e308, 0, 0]]), "overflow")],
    ids=["one place", "too far"],
)
def test_a_cloud_without_a_size_is_refused(points: np.ndarray, message: str) -> None:
    with pytest.raises(TapError, match=message):
        centred(Cloud(points), "y")


def test_a_ply_file_is_a_mesh_where_it_holds_faces(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    for number, expected in ((0, False), (1, True)):
        faces = f"element face {number}\nproperty list uchar int vertex_indices\nend_header"
        path.write_text(ply_of(POINTS).replace("end_header", faces) + "3 0 1 2\n" * number)
        assert holds_faces(path) is expected
        assert len(read_cloud(path).points) == 3
    path.write_text("solid")
    with pytest.raises(TapError, match=r"a\.ply: is not a PLY file"):
        holds_faces(path)
