import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, read_mesh
from tests.render.files import write_specimens

ROOT = Path(__file__).resolve().parents[2]

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
        *((f"a{suffix}", b"", "the file is empty") for suffix in MESH_SUFFIXES),
        ("a.off", b"OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "no faces"),
        ("a.off", OFF.replace("3 0 2 3", "3 0 2 9").encode(), "names vertex 9 of 4"),
        ("a.off", OFF.replace("1 1 0", "nan 1 0").encode(), "not finite"),
        ("a.off", OFF.encode()[:30], "cannot read"),
        ("a.obj", b"this is just a text\n", "no faces"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "no header"),
        ("a.stl", b"\x00" * 10, "cut short"),
        ("a.glb", b"glTF", "cut short"),
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


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_the_look_is_read_only_where_it_is_asked_for(tmp_path: Path, suffix: str) -> None:
    for path in write_specimens(tmp_path):
        if path.suffix == suffix:
            plain, look = read_mesh(path), read_mesh(path, appearance=True)
            assert plain.appearance is None
            np.testing.assert_array_equal(plain.faces, look.faces)
            np.testing.assert_array_equal(plain.vertices, look.vertices)
            if look.appearance is not None:
                assert look.appearance.missing_textures == ()
                assert len(look.appearance.face_material) == len(look.faces)


def test_a_single_triangle_and_surfaces_that_are_no_manifold(tmp_path: Path) -> None:
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nv 1 1 1\n"
    assert read_mesh(write(tmp_path / "one.obj", corners + "f 1 2 3\n")).faces.tolist() == [[0, 1, 2]]
    three = read_mesh(write(tmp_path / "three.obj", corners + "f 1 2 3\nf 1 2 4\nf 2 1 5\nf 3 3 3\nf 1 2 3\n"))
    assert three.faces.tolist() == [[0, 1, 2], [0, 1, 3], [1, 0, 4], [2, 2, 2], [0, 1, 2]]


def test_the_suffix_may_have_any_case(tmp_path: Path) -> None:
    assert len(read_mesh(write(tmp_path / "A.OFF", OFF)).faces) == 2


def test_reading_a_name_needs_no_compiler() -> None:
    code = "import sys, render.mesh; sys.exit('numba' in sys.modules or 'trimesh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
