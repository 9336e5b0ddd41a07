"""What .ply files may look like: text and both byte orders, columns of all types, lists, colours, pictures."""

import struct
from pathlib import Path

import numpy as np
import pytest

from render.errors import RenderError
from render.mesh import Mesh, read_mesh
from tests.render.files import SQUARE, SQUARE_UV, picture, ply

ROWS: list[tuple[float, ...]] = [tuple(row) for row in SQUARE.tolist()]
TRIANGLES: list[tuple[int, ...]] = [(0, 1, 2), (0, 2, 3)]
ORDERS = ["", "<", ">"]
XYZ = "float x,float y,float z"


def read(content: bytes, appearance: bool = False) -> Mesh:
    return read_mesh(Path("a.ply"), content, appearance)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["float", "double"])
def test_text_and_both_byte_orders(order: str, kind: str) -> None:
    mesh = read(ply(ROWS, TRIANGLES, order, XYZ.replace("float", kind)))
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.polygon is None


@pytest.mark.parametrize("order", ORDERS)
def test_columns_in_another_order_and_of_other_types(order: str) -> None:
    rows: list[tuple[float, ...]] = [(7, z, 9, int(x), y) for x, y, z in ROWS]
    mesh = read(ply(rows, TRIANGLES, order, "uchar a,double z,ushort b,int x,float y"))
    np.testing.assert_array_equal(mesh.vertices, SQUARE)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tail", ["", "flags"])
def test_polygons_of_several_sizes(order: str, tail: str) -> None:
    more = (9,) if tail else ()
    faces = [(0, 1, 2, *more), (0, 1, 2, 3, *more), (0, 1, *more), (0, 2, 3, *more)]
    mesh = read(ply(ROWS, faces, order, tail=tail))
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 2, 3]]
    assert mesh.polygon is not None
    assert mesh.polygon.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("order", ORDERS)
def test_line_ends_of_all_kinds(order: str, ending: str) -> None:
    content = ply(ROWS, TRIANGLES, order)
    head, data = content.split(b"end_header\n")
    data = data if order else data.replace(b"\n", ending.encode())
    mesh = read((head + b"end_header\n").replace(b"\n", ending.encode()) + data)
    np.testing.assert_array_equal(mesh.vertices, SQUARE)


@pytest.mark.parametrize("order", ORDERS)
def test_colors_of_vertices(order: str) -> None:
    rows = [(*row, 255, 10 * place, 0) for place, row in enumerate(ROWS)]
    content = ply(rows, TRIANGLES, order, XYZ + ",uchar red,uchar green,uchar blue")
    look = read(content, appearance=True).appearance
    assert look is not None
    assert look.corner_color is not None
    assert look.corner_color[..., 1].tolist() == [[0, 10, 20], [0, 20, 30]]
    assert (look.corner_color[..., 0] == 255).all()
    assert read(content).appearance is None


@pytest.mark.parametrize(("kind", "full"), [("float", 1.0), ("ushort", 65535), ("uchar", 255)])
def test_colors_of_all_types(kind: str, full: float) -> None:
    rows = [(*row, full, 0, full) for row in ROWS]
    names = ",".join(f"{kind} diffuse_{name}" for name in ("red", "green", "blue"))
    look = read(ply(rows, TRIANGLES, "<", f"{XYZ},{names}"), appearance=True).appearance
    assert look is not None
    assert look.corner_color is not None
    assert (look.corner_color == (255, 0, 255)).all()


@pytest.mark.parametrize("order", ORDERS)
def test_colors_of_faces(order: str) -> None:
    look = read(ply(ROWS, [(0, 1, 2, 3, 9, 8, 7), (0, 1, 2, 1, 2, 3)], order, tail="red,green,blue"), True).appearance
    assert look is not None
    assert look.corner_color is not None
    assert look.corner_color.tolist() == [[[9, 8, 7]] * 3, [[9, 8, 7]] * 3, [[1, 2, 3]] * 3]


@pytest.mark.parametrize("names", ["s,t", "u,v", "texture_u,texture_v"])
def test_a_picture_by_columns_of_the_vertices(tmp_path: Path, names: str) -> None:
    rows = [(*row, *uv) for row, uv in zip(ROWS, SQUARE_UV.tolist(), strict=True)]
    columns = ",".join([XYZ, *(f"float {name}" for name in names.split(","))])
    (tmp_path / "a picture.png").write_bytes(picture())
    (tmp_path / "a.ply").write_bytes(ply(rows, TRIANGLES, "<", columns, comments="comment TextureFile a picture.png\n"))
    look = read_mesh(tmp_path / "a.ply", appearance=True).appearance
    assert look is not None
    assert look.corner_uv is not None
    np.testing.assert_array_equal(look.corner_uv, SQUARE_UV[[[0, 1, 2], [0, 2, 3]]])
    assert look.materials[0].texture is not None
    (tmp_path / "a picture.png").unlink()
    look = read_mesh(tmp_path / "a.ply", appearance=True).appearance
    assert look is not None
    assert look.missing_textures == ("a picture.png",)


def test_pictures_by_faces(tmp_path: Path) -> None:
    head = "ply\nformat ascii 1.0\ncomment TextureFile a.png\ncomment TextureFile b.png\nelement vertex 4\n"
    head += "property float x\nproperty float y\nproperty float z\nelement face 2\n"
    head += (
        "property list uchar int vertex_index\nproperty list uchar float texcoord\nproperty int texnumber\nend_header\n"
    )
    rows = "\n".join(f"{x:g} {y:g} {z:g}" for x, y, z in SQUARE)
    faces = "\n3 0 1 2 6 0 0 1 0 1 1 1\n4 0 1 2 3 8 0 0 .5 0 .5 .5 0 .5 0\n"
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture())
    look = read_mesh(tmp_path / "a.ply", (head + rows + faces).encode(), appearance=True).appearance
    assert look is not None
    assert look.corner_uv is not None
    assert look.face_material.tolist() == [1, 0, 0]
    assert look.corner_uv[1].tolist() == [[0, 0], [0.5, 0], [0.5, 0.5]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [10**9, 10**17])
@pytest.mark.parametrize("name", ["vertex 4", "face 2"])
def test_a_header_that_announces_too_much_is_refused_at_once(order: str, size: int, name: str) -> None:
    content = ply(ROWS, TRIANGLES, order).replace(name.encode(), f"{name.split()[0]} {size}".encode())
    with pytest.raises(RenderError, match=f"announces {size} rows of {name.split()[0]}, too many"):
        read(content)


@pytest.mark.parametrize("order", ORDERS)
def test_every_cut_is_found_out(order: str) -> None:
    content = ply(ROWS, [(0, 1, 2), (0, 1, 2, 3)], order)
    for size in range(len(content) - (not order)):
        with pytest.raises(RenderError):
            read(content[:size])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("end_header", "end_heade", "no header"),
        ("format ascii", "format utf8", "header line 'format utf8 1.0' is not understood"),
        ("property float x", "property float128 x", "is not understood"),
        ("property float x", "property float w", "no vertices with x, y and z"),
        ("list uchar int", "list float int", "is not understood"),
        ("vertex_indices", "corners", "no faces"),
        ("element face 2", "element face 1", "follow the data that the header announces"),
        ("element face 2", "element face 0", "follow the data|no faces"),
        ("element vertex 4", "element vertex 3", "row|follow|fit"),
        ("3 0 1 2", "3 0 1 2.5", "not a whole number"),
        ("3 0 1 2", "3 0 1 nan", "not finite"),
        ("3 0 1 2", "3 0 1", "line 14 does not fit"),
        ("3 0 1 2", "-3 0 1 2", "line 14 does not fit"),
        ("3 0 1 2", "3 0 1 4", "names vertex 4 of 4"),
        ("3 0 1 2", "3 0 1 -1", "names vertex -1 of 4"),
        ("1.0 1.0 0.0", "1.0 1.0", "row 2 of vertex has 2 numbers instead of 3"),
        ("1.0 1.0 0.0", "1.0 one 0.0", "'one' is not a number"),
        ("1.0 1.0 0.0", "1.0 nan 0.0", "not finite"),
    ],
)
def test_what_does_not_fit_is_told(old: str, new: str, message: str) -> None:
    content = ply(ROWS, TRIANGLES, "").decode()
    assert old in content
    with pytest.raises(RenderError, match=f"a.ply: .*({message})"):
        read(content.replace(old, new).encode())


def test_lists_whose_size_lies_are_found_out() -> None:
    head, data = ply(ROWS, [(0, 1, 2), (0, 1, 2, 3)], "<").split(b"end_header\n")
    for size in (0, 2, 5, 200):
        broken = data[:48] + bytes([size]) + data[49:]
        with pytest.raises(RenderError):
            read(head + b"end_header\n" + broken)
    head = head.replace(b"list uchar int", b"list int int")
    with pytest.raises(RenderError, match="2 rows of face, but 0 follow"):
        read(head + b"end_header\n" + data[:48] + struct.pack("<i3i4i", -3, 0, 1, 2, 0, 1, 2, 3))


def test_triangle_strips_are_named() -> None:
    head = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += b"element tristrips 1\nproperty list int int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    with pytest.raises(RenderError, match="triangle strips"):
        read(head)
