"""What .stl files may look like, text and binary."""

from pathlib import Path

import numpy as np
import pytest

from render.errors import RenderError
from render.mesh import Mesh, read_mesh
from render.shapes.solids import box
from render.shapes.write_mesh import write_mesh
from tests.render.files import stl_text

BOX = box((1, 2, 3))


def read(content: bytes) -> Mesh:
    return read_mesh(Path("a.stl"), content)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    write_mesh(BOX, tmp_path / "a.stl")
    return (tmp_path / "a.stl").read_bytes()


def test_text_and_binary_give_the_same_surface(content: bytes) -> None:
    for stored in (content, stl_text(BOX), stl_text(BOX).replace(b"\n", b"\r\n"), stl_text(BOX).upper()):
        mesh = read(stored)
        np.testing.assert_array_equal(mesh.vertices[mesh.faces], BOX.vertices[BOX.faces])


def test_corners_at_equal_positions_are_one_vertex(content: bytes) -> None:
    assert len(read(content).vertices) == len(BOX.vertices)
    assert len(read(stl_text(BOX)).vertices) == len(BOX.vertices)


def test_a_binary_file_may_begin_as_text_does(content: bytes) -> None:
    assert len(read(b"solid like a text" + content[17:]).faces) == len(BOX.faces)


def test_several_solids_on_one_line_each(content: bytes) -> None:
    text = b"solid a\n" + b" ".join(stl_text(BOX).split(b"\n")[1:-2]) + b"\nendsolid\n"
    assert len(read(text + text.replace(b"solid a", b"solid b")).faces) == 2 * len(BOX.faces)


def test_every_cut_is_found_out(content: bytes) -> None:
    for size in range(len(content)):
        with pytest.raises(RenderError):
            read(content[:size])
    text = stl_text(BOX)
    for size in range(0, len(text.rstrip()) - len(b" a name of words"), 7):
        with pytest.raises(RenderError):
            read(text[:size])


@pytest.mark.parametrize("count", [0, 11, 13, 2**32 - 1])
def test_a_count_that_does_not_fit_is_refused_at_once(content: bytes, count: int) -> None:
    with pytest.raises(RenderError, match=f"announces {count} triangles .* the file has {len(content)}"):
        read(content[:80] + count.to_bytes(4, "little") + content[84:])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"    endloop\n", b"      vertex 0 0 0\n    endloop\n", "line 7 does not fit the format, after 0 triangles"),
        (b"outer loop", b"other loop", "line 3 does not fit"),
        (b"facet normal 0 0 1", b"facet normal 0 0", "line 3 does not fit"),
        (b"endsolid", b"endsolit", "does not fit the format, after 16 triangles"),
        (b"vertex -0.5", b"vertex x", "line 5: 'x' is not a number"),
        (b"vertex -0.5", b"vertex inf", "not finite"),
    ],
)
def test_what_does_not_fit_is_told(old: bytes, new: bytes, message: str) -> None:
    text = stl_text(BOX)
    assert old in text
    with pytest.raises(RenderError, match=message):
        read(text.replace(old, new, 1))


def test_no_facets_are_no_faces() -> None:
    with pytest.raises(RenderError, match="no faces"):
        read(b"solid a\nendsolid a\n")
    with pytest.raises(RenderError, match="no faces"):
        read(bytes(84))
