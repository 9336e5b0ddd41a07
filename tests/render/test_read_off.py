"""What .off files may look like, and what they must not."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from render.errors import RenderError
from render.mesh import Mesh, read_mesh
from render.shapes.solids import sphere
from render.shapes.write_mesh import write_mesh
from tests.render.files import SQUARE, off_text

TWO = "3 0 1 2\n3 0 2 3\n"


def read(text: str | bytes, appearance: bool = False) -> Mesh:
    return read_mesh(Path("a.off"), text.encode() if isinstance(text, str) else text, appearance)


@pytest.mark.parametrize(
    "header",
    [
        "OFF\n4 2 0\n",
        "OFF4 2 0\n",
        "OFF 4 2 0\n",
        "OFF 4 2\n",
        "off\n4 2 0\n",
        "\ufeffOFF\n4 2 0\n",
        "# note\n\n  OFF # note\n# 9 9 9\n\n4\t2 0 # note\n\n",
        "OFF\r\n4 2 0\r\n",
        "OFF\r4 2 0\r",
    ],
)
def test_headers_of_all_kinds(header: str) -> None:
    mesh = read(off_text(header))
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])
    assert mesh.polygon is None


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\n\n", "  \t\n", " # note\n"])
def test_lines_of_all_kinds(ending: str) -> None:
    mesh = read(off_text().replace("\n", ending).rstrip())
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])


def test_numbers_are_those_that_trimesh_reads(tmp_path: Path) -> None:
    shape = sphere(1 / 3, 20, 12)
    write_mesh(shape, tmp_path / "a.off")
    other = trimesh.load_mesh(tmp_path / "a.off", process=False)
    mesh = read_mesh(tmp_path / "a.off")
    np.testing.assert_array_equal(mesh.vertices, shape.vertices)
    np.testing.assert_array_equal(mesh.vertices, other.vertices)
    np.testing.assert_array_equal(mesh.faces, other.faces)


def test_polygons_are_split_in_their_order() -> None:
    mesh = read(off_text("OFF\n4 3 0\n", "3 0 1 2\n4 0 1 2 3\n3 0 2 3\n"))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 2, 3]]
    assert mesh.polygon is not None
    assert mesh.polygon.tolist() == [0, 1, 1, 2]


def test_edges_and_points_among_the_faces_are_left_out() -> None:
    assert read(off_text("OFF\n4 4 0\n", "2 0 1\n3 0 1 2\n1 3\n3 0 2 3\n")).faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(("red", "blue"), [("255 0 0", "0 0 255 128"), ("1 0 0", "0.0 0.0 1.0 0.5")])
def test_colors_of_faces(red: str, blue: str) -> None:
    text = off_text("OFF\n4 2 0\n", f"3 0 1 2 {red}\n3 0 2 3 {blue}\n")
    look = read(text, appearance=True).appearance
    assert look is not None
    assert look.corner_color is not None
    assert look.corner_color.tolist() == [[[255, 0, 0]] * 3, [[0, 0, 255]] * 3]
    assert read(text).appearance is None


def test_a_face_without_color_among_colored_ones_is_white_and_an_index_is_none() -> None:
    look = read(off_text("OFF\n4 2 0\n", "3 0 1 2 7\n3 0 2 3 0 0 255\n"), appearance=True).appearance
    assert look is not None
    assert look.corner_color is not None
    assert look.corner_color[:, 0].tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize(
    ("header", "row"),
    [("COFF", "0 0 {0} 1"), ("OFF", "0 0 {0}"), ("OFF", "0 0 {0} 1"), ("NOFF", None), ("CNOFF", "0 0 1 0 0 {0} 1")],
)
def test_colors_of_vertices(header: str, row: str | None) -> None:
    lines = []
    for place, (x, y, z) in enumerate(SQUARE.tolist()):
        lines.append(f"{x} {y} {z} " + ("0 0 1" if row is None else row.format(place / 4)))
    look = read(f"{header}\n4 2 0\n" + "\n".join(lines) + "\n" + TWO, appearance=True).appearance
    if row is None:  # a normal is no colour
        assert look is None
        return
    assert look is not None
    assert look.corner_color is not None
    assert look.corner_color[..., 2].tolist() == [[0, 64, 128], [0, 128, 191]]
    assert (look.corner_color[..., :2] == 0).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (off_text("PFF\n4 2 0\n"), "does not begin with OFF"),
        (off_text("4 2 0\n"), "does not begin with OFF"),
        (off_text("4OFF\n4 2 0\n"), "does not begin with OFF"),
        (off_text("OFF BINARY\n4 2 0\n"), "no line with the numbers"),
        (off_text("OFF\n4 2.5 0\n"), "no line with the numbers"),
        (off_text("OFF\n-4 2 0\n"), "no line with the numbers"),
        (off_text("OFF\n4 3 0\n"), "4 vertices and 3 faces, 2 faces follow; the file is cut short"),
        (off_text("OFF\n5 2 0\n"), "5 vertices and 2 faces, 1 faces follow; the file is cut short"),
        (off_text("OFF\n4 1 0\n"), "4 vertices and 1 faces, but line 8 is one more: '3'"),
        (off_text("OFF\n3 2 0\n"), "line 6 is no face"),
        (off_text() + "and more\n", "but line 9 is one more: 'and'"),
        (off_text("OFF\n999999999 999999999 0\n"), "too many for the file's 66 bytes; the file is cut short"),
        (off_text("OFF\n999999999999999999 2 0\n"), "too many"),
        (off_text(faces="3 0 1 2\n3 0 2\n"), "line 8 is no face"),
        (off_text(faces="3 0 1 2\n3 0 2 3.5\n"), "line 8 is no face"),
        (off_text(faces="3 0 1 2\n3 0 2 3 9 9\n"), "line 8 is no face"),
        (off_text(faces="3 0 1 2\n-3 0 2 3\n"), "line 8 is no face"),
        (off_text(faces="3 0 1 2\n99 0 2 3\n"), "line 8 is no face"),
        (off_text(faces="3 0 1 2\n3 0 2 4\n"), "names vertex 4 of 4"),
        (off_text(faces="3 0 1 2\n3 0 2 -1\n"), "names vertex -1 of 4"),
        (off_text().replace("1 1 0", "1 1"), "vertex 2 has 2 numbers"),
        (off_text().replace("1 1 0", "1 x 0"), "line 5: 'x' is not a number"),
        (off_text().replace("1 1 0", "1 inf 0"), "not finite"),
        (off_text("OFF\n4 0 0\n", ""), "no faces"),
        (off_text("OFF\n4 1 0\n", "2 0 1\n"), "no faces"),
        ("OFF\n", "no line with the numbers"),
    ],
)
@pytest.mark.parametrize("appearance", [False, True])
def test_what_does_not_fit_is_told(text: str, message: str, appearance: bool) -> None:
    with pytest.raises(RenderError, match=f"a.off: .*{message}"):
        read(text, appearance)


def test_every_cut_is_found_out() -> None:
    text = off_text().encode()
    for size in range(len(text) - 1):  # the last byte is the line end
        with pytest.raises(RenderError):
            read(text[:size])
