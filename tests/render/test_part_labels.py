"""Part labels of faces, read from text and .npy, for meshes whose polygons were split and for others."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from render.errors import RenderError
from render.mesh import Mesh, read_mesh
from render.reading.part_labels import read_part_labels, with_parts
from tests.render.files import SQUARE, off_text

TWO = Mesh(SQUARE, np.array([[0, 1, 2], [0, 2, 3]]))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("text", ["4\n-1\n", "4\r\n-1", "\n# part of each face\n 4 \n\n-1\n"])
def test_text(tmp_path: Path, text: str) -> None:
    labels = read_part_labels(write(tmp_path / "a.txt", text), TWO)
    assert labels.dtype == np.int32
    assert labels.tolist() == [4, -1]


@pytest.mark.parametrize("kind", ["<i4", ">i8", "i1"])
def test_arrays(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "a.npy", np.array([4, -1], kind))
    assert read_part_labels(tmp_path / "a.npy", TWO).tolist() == [4, -1]


def test_polygons_or_triangles_may_be_labelled(tmp_path: Path) -> None:
    mesh = read_mesh(Path("a.off"), off_text("OFF\n4 2 0\n", "4 0 1 2 3\n3 0 1 2\n").encode())
    assert len(mesh.faces) == 3
    for text, expected in (("7\n8\n", [7, 7, 8]), ("7\n9\n8\n", [7, 9, 8])):
        assert read_part_labels(write(tmp_path / "a.txt", text), mesh).tolist() == expected


def test_parts_go_on_the_mesh() -> None:
    assert with_parts(TWO, np.array([3, 4], np.int32)).part is not None
    with pytest.raises(RenderError, match=r"\(3,\) part labels for 2 faces"):
        with_parts(TWO, np.array([1, 2, 3], np.int32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4\n", "1 labels for 2 faces"),
        ("4\n5\n6\n", "3 labels for 2 faces"),
        ("", "0 labels for 2 faces"),
        ("4\nleg\n", "label 'leg' of face 1 is not a whole number"),
        ("4\n1.0\n", "label '1.0' of face 1 is not a whole number"),
        ("4 5\n", "label '4 5' of face 0 is not a whole number"),
        ("4\n1_0\n", "label '1_0' of face 1 is not a whole number"),
        ("4\n99999999999999999999\n", "label '99999999999999999999' of face 1 is not a whole number"),
        ("4\n-2\n", "label -2 of face 1 is not from -1"),
        ("4\n2147483648\n", "label 2147483648 of face 1 is not from -1"),
    ],
)
def test_text_that_does_not_fit_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RenderError, match=f"a.txt: {message}"):
        read_part_labels(write(tmp_path / "a.txt", text), TWO)


def test_the_number_of_polygons_is_told_where_they_were_split(tmp_path: Path) -> None:
    mesh = read_mesh(Path("a.off"), off_text("OFF\n4 1 0\n", "4 0 1 2 3\n").encode())
    with pytest.raises(RenderError, match="3 labels for 1 polygons, which were split into 2 triangles"):
        read_part_labels(write(tmp_path / "a.txt", "1\n2\n3\n"), mesh)


def test_arrays_that_do_not_fit_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array, message in (
        (np.array([1.0, 2.0]), "holds float64"),
        (np.array([[1], [2]]), r"shape \(2, 1\)"),
        (np.array([1, 2**63], np.uint64), "is not from -1"),
        (np.array([1, 2, 3]), "3 labels for 2 faces"),
    ):
        np.save(path, array)
        with pytest.raises(RenderError, match=message):
            read_part_labels(path, TWO)
    np.save(path, np.array([1, 2]))
    content = path.read_bytes()
    with pytest.raises(RenderError, match="announces 2 labels, 1 follow"):
        read_part_labels(write(path, content[:-3]), TWO)
    with pytest.raises(RenderError, match="announces 9999999 labels"):
        read_part_labels(write(path, content.replace(b"(2,), }      ", b"(9999999,), }")), TWO)
    for broken in (b"", content[:20], b"text", pickle.dumps([1, 2])):
        with pytest.raises(RenderError, match=r"is no \.npy file"):
            read_part_labels(write(path, broken), TWO)


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, "x"], object), allow_pickle=True)
    with pytest.raises(RenderError, match="holds object"):
        read_part_labels(tmp_path / "a.npy", TWO)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"none\.txt: cannot read: No such file"):
        read_part_labels(tmp_path / "none.txt", TWO)
