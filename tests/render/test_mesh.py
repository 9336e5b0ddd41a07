from pathlib import Path

import numpy as np
import pytest
import trimesh

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, read_mesh

OFF = "OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_every_format_gives_the_same_surface(tmp_path: Path, suffix: str) -> None:
    box = trimesh.creation.box(extents=(1, 2, 3))
    path = tmp_path / f"box{suffix}"
    box.export(path)
    mesh = read_mesh(path)
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int64
    corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert len(mesh.faces) == 12
    assert volume == pytest.approx(6, rel=1e-6)


@pytest.mark.parametrize(
    "header", ["OFF4 2 0\n", "OFF 4 2 0\n", "OFF\n4 2 0\n", "OFF\r\n4 2 0\r\n", "OFF\n# note\n4 2 0\n"]
)
def test_off_headers_of_all_kinds(tmp_path: Path, header: str) -> None:
    mesh = read_mesh(write(tmp_path / "m.off", OFF.replace("OFF\n4 2 0\n", header)))
    assert mesh.vertices.shape == (4, 3)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])


def test_a_polygon_is_split_into_triangles(tmp_path: Path) -> None:
    assert (
        len(
            read_mesh(
                write(tmp_path / "q.off", OFF.replace("3 0 1 2\n3 0 2 3", "4 0 1 2 3").replace("4 2", "4 1"))
            ).faces
        )
        == 2
    )
    assert len(read_mesh(write(tmp_path / "q.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n")).faces) == 2


def test_a_scene_is_read_with_its_transforms(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    box = trimesh.creation.box()
    for x in (0.0, 5.0):
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([x, 0, 0]))
    path = tmp_path / "scene.glb"
    scene.export(path)
    mesh = read_mesh(path)
    assert len(mesh.faces) == 24
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [5.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.off", b"", "cannot read as .off|no faces"),
        ("a.off", b"OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "no faces|cannot read"),
        ("a.off", OFF.replace("3 0 2 3", "3 0 2 9").encode(), "names vertex 9 of 4|cannot read"),
        ("a.off", OFF.replace("1 1 0", "nan 1 0").encode(), "not finite"),
        ("a.off", OFF.encode()[:30], "cannot read"),
        ("a.obj", b"this is just a text\n", "no faces|cannot read"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "cannot read|no faces"),
        ("a.stl", b"\x00" * 10, "cannot read|no faces"),
        ("a.glb", b"glTF", "cannot read"),
        ("a.xyz", b"0 0 0\n", "is not one of"),
    ],
)
def test_a_broken_file_is_a_render_error_that_names_it(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RenderError, match=message) as caught:
        read_mesh(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_a_render_error(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="No such file"):
        read_mesh(tmp_path / "none.off")


def test_a_vertex_that_nobody_uses_may_be_anything(tmp_path: Path) -> None:
    text = OFF.replace("4 2 0", "5 2 0").replace("0 1 0\n3", "0 1 0\nnan nan nan\n3")
    assert len(read_mesh(write(tmp_path / "a.off", text)).faces) == 2


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_an_off_file_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    lines = OFF.splitlines()
    with pytest.raises(RenderError, match=r"cut short|cannot read"):
        read_mesh(write(tmp_path / "a.off", "\n".join(lines[:-cut]) + "\n"))
