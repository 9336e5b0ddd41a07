"""What .obj files may look like: indices of all kinds, groups, continued lines, colours, materials."""

from pathlib import Path

import numpy as np
import pytest

from render.appearance import Appearance
from render.errors import RenderError
from render.mesh import Mesh, read_mesh
from tests.render.files import SQUARE, SQUARE_UV, obj_text, picture, write_obj

VERTICES = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in SQUARE)


def read(text: str | bytes, appearance: bool = False) -> Mesh:
    return read_mesh(Path("a.obj"), text.encode() if isinstance(text, str) else text, appearance)


def look_of(path: Path) -> Appearance:
    look = read_mesh(path, appearance=True).appearance
    assert look is not None
    return look


@pytest.mark.parametrize(
    "face",
    [
        "f 1 2 3 4", "f 1/1 2/2 3/3 4/4", "f 1//1 2//1 3//1 4//1", "f 1/1/1 2/2/1 3/3/1 4/4/1", "f -4 -3 -2 -1",
        "f -4/-4 -3/-3 -2/-2 -1/-1", "f 1/ 2/ 3/ 4/", "fo 1 2 3 4", "  f\t1  2 3\t4 # note", "f 1 2 \\\n3 4",
        "f 1 2 \\\r\n 3 4", "g name\ns off\no other\nf 1 2 3 4", "l 1 2\np 3\nf 1 2 3 4\nf 1 2\nf 4",
    ],
)  # fmt: skip
@pytest.mark.parametrize("appearance", [False, True])
def test_faces_of_all_kinds(face: str, appearance: bool) -> None:
    mesh = read(obj_text("", face), appearance)
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.polygon is not None
    assert mesh.polygon.tolist() == [0, 0]
    assert mesh.appearance is None


def test_relative_indices_count_from_where_they_stand() -> None:
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nf -3 -2 -1\nv 0 1 0\nf -4 -2 -1\n"
    assert read(text).faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_windows_lines_and_vertices_with_a_weight() -> None:
    text = (VERTICES.replace(" 0\n", " 0 1.0\n") + "f 1 2 3\n").replace("\n", "\r\n")
    mesh = read(text, appearance=True)
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.appearance is None


@pytest.mark.parametrize("scale", [1, 255])
def test_colors_of_vertices(scale: int) -> None:
    lines = [f"v {x:g} {y:g} {z:g} {scale} 0 {place / 3 * scale:g}" for place, (x, y, z) in enumerate(SQUARE)]
    look = read("\n".join(lines) + "\nf 1 2 3 4\n", appearance=True).appearance
    assert look is not None
    assert look.corner_color is not None
    assert look.corner_color.tolist()[1] == [[255, 0, 0], [255, 0, 170], [255, 0, 255]]


def test_a_face_keeps_its_place_and_its_material(tmp_path: Path) -> None:
    path = write_obj(tmp_path, "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\nnewmtl unused\nmap_Kd none.png\n")
    path.write_text(
        VERTICES
        + "mtllib square.mtl\nf 1 2 3\nusemtl blue\nf 1 3 4\nusemtl red\nf 1 2 4\nf 2 3 4 1\nusemtl blue\nf 1 2 3\n"
    )
    mesh = read_mesh(path, appearance=True)
    look = look_of(path)
    assert mesh.faces[:3].tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 3]]
    colors = [look.materials[number].color for number in look.face_material]
    white, red, blue = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    assert colors == [white, blue, red, red, red, blue]
    assert look.missing_textures == ()
    assert look.corner_uv is None


def test_texture_coordinates_follow_the_corners(tmp_path: Path) -> None:
    look = look_of(write_obj(tmp_path))
    assert look.corner_uv is not None
    np.testing.assert_array_equal(look.corner_uv, SQUARE_UV[[[0, 1, 2], [0, 2, 3]]])
    texture = look.materials[0].texture
    assert texture is not None
    assert texture.pixels[0, 0].tolist() == [255, 0, 0]
    assert texture.wrap == ("repeat", "repeat")


def test_corners_without_texture_coordinates_get_zero(tmp_path: Path) -> None:
    look = look_of(write_obj(tmp_path, face="f 1 2/2 3//\nf 1/1 2/2 3/3\n"))
    assert look.corner_uv is not None
    assert look.corner_uv[0].tolist() == [[0, 0], [1, 0], [0, 0]]


def test_a_texture_that_nothing_lays_on_the_faces_is_left_out(tmp_path: Path) -> None:
    look = look_of(write_obj(tmp_path, "newmtl painted\nKd .5 .5 .5\nmap_Kd square.png\n", face="f 1 2 3\n"))
    assert look.materials[0].texture is None
    assert look.materials[0].color == (0.5, 0.5, 0.5)
    assert look.corner_uv is None


def test_scale_and_offset_of_a_material_move_its_coordinates_only(tmp_path: Path) -> None:
    mtl = "newmtl a\nmap_Kd -s 2 3 1 -o .5 0.25 square.png\nnewmtl b\nmap_Kd -clamp on square.png\n"
    look = look_of(write_obj(tmp_path, mtl, face="usemtl a\nf 1/1 2/2 3/3\nusemtl b\nf 1/1 2/2 3/3\n"))
    assert look.corner_uv is not None
    assert look.corner_uv.tolist() == [[[0.5, 0.25], [2.5, 0.25], [2.5, 3.25]], [[0, 0], [1, 0], [1, 1]]]
    textures = [material.texture for material in look.materials]
    assert [texture and texture.wrap for texture in textures] == [("repeat", "repeat"), ("clamp", "clamp")]
    assert textures[0] is not None
    assert textures[1] is not None
    assert textures[0].pixels is textures[1].pixels  # decoded once


def test_several_libraries_and_names_with_blanks(tmp_path: Path) -> None:
    path = write_obj(tmp_path, "newmtl my red\nKd 1 0 0\n")
    (tmp_path / "square.mtl").rename(tmp_path / "my materials.mtl")
    (tmp_path / "b.mtl").write_text("newmtl blue\nKd 0 0 1\nnewmtl my red\nKd 0 1 0\n")
    (tmp_path / "c.mtl").write_text("newmtl green\nKd 0 1 0\n")
    head = "mtllib my materials.mtl\nmtllib b.mtl c.mtl\nmtllib b.mtl\n"
    path.write_text(obj_text(head, "usemtl my red\nf 1 2 3\nusemtl blue\nf 1 2 3\nusemtl green\nf 1 2 3\n"))
    look = look_of(path)
    assert [material.color for material in look.materials] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert look.missing_textures == ()


@pytest.mark.parametrize(
    ("head", "mtl", "missing"),
    [
        ("mtllib none.mtl\nusemtl painted\n", "", ("none.mtl",)),
        ("mtllib square.mtl\nusemtl other\n", "newmtl painted\n", ("material other",)),
        ("mtllib square.mtl\nusemtl painted\n", "newmtl painted\nmap_Kd none.png\n", ("none.png",)),
        ("mtllib square.mtl\nusemtl painted\n", "newmtl painted\nmap_Kd square.mtl\n", ("square.mtl",)),
        ("mtllib square.mtl none.mtl\nusemtl painted\n", "newmtl painted\nKd 1 1 1\n", ("none.mtl",)),
        ("mtllib ../../outside.mtl\n", "", ("../../outside.mtl",)),
    ],
)
def test_what_is_missing_is_flagged_and_its_color_is_shown(
    tmp_path: Path, head: str, mtl: str, missing: tuple[str, ...]
) -> None:
    path = write_obj(tmp_path / "a" / "b", mtl, head=head)
    (tmp_path / "outside.mtl").write_text("newmtl painted\n")
    look = look_of(path)
    assert look.missing_textures == missing
    assert all(material.texture is None for material in look.materials)


def test_no_look_costs_nothing_to_ask_for(tmp_path: Path) -> None:
    path = write_obj(tmp_path)
    (tmp_path / "square.png").write_bytes(picture()[:40])
    assert read_mesh(path).appearance is None  # the damaged picture is not opened
    assert look_of(path).missing_textures == ("square.png",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VERTICES + "f 1 2 5\n", "names vertex 4 of 4"),
        (VERTICES + "f 1 2 -5\n", "names vertex -1 of 4"),
        (VERTICES + "f 1 2 0\n", "line 5: a face is made of"),
        (VERTICES + "f 1 2 3.5\n", "line 5: a face is made of"),
        (VERTICES + "f 1 2 x\n", "line 5: a face is made of"),
        (VERTICES + "f 1 2 3/x\n", "line 5: a face is made of"),
        (VERTICES + "f 1 2 99999999999999999999\n", "line 5: a face is made of"),
        (VERTICES.replace("1 1 0", "1 1") + "f 1 2 3\n", "line 3: a vertex wants"),
        (VERTICES.replace("1 1 0", "1 y 0") + "f 1 2 3\n", "line 3: 'y' is not a number"),
        (VERTICES.replace("1 1 0", "1 nan 0") + "f 1 2 3\n", "not finite"),
        (VERTICES, "no faces"),
        (VERTICES + "f 1 2\nl 1 2 3\n", "no faces"),
        ("just a text\n", "no faces"),
    ],
)
@pytest.mark.parametrize("appearance", [False, True])
def test_what_does_not_fit_is_told(text: str, message: str, appearance: bool) -> None:
    with pytest.raises(RenderError, match=f"a.obj: .*{message}"):
        read(text, appearance)


@pytest.mark.parametrize(("index", "told"), [("9", "8"), ("-9", "-5")])
def test_a_texture_coordinate_out_of_range_is_told(tmp_path: Path, index: str, told: str) -> None:
    path = write_obj(tmp_path, face=f"f 1/1 2/2 3/{index}\n")
    with pytest.raises(RenderError, match=f"names texture coordinate {told} of 4"):
        read_mesh(path, appearance=True)
    assert len(read_mesh(path).faces) == 1
