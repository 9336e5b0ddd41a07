"""Each written format reads back as the same triangles, byte for byte reproducible; what cannot be written says why."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, Mesh, read_mesh
from render.shapes.placement import joined, translated
from render.shapes.solids import box, sphere
from render.shapes.write_mesh import write_mesh

SHAPE = translated(joined(box((1, 2, 3)), sphere(1 / 3, 7, 5)), (0.1, 1e-7, -123.456))


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_round_trip_keeps_the_triangles(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"shape{suffix}"
    write_mesh(SHAPE, path)
    read = read_mesh(path)
    expected = SHAPE.vertices[SHAPE.faces]
    if suffix in (".stl", ".glb", ".gltf"):
        expected = expected.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(read.vertices[read.faces], expected)


@pytest.mark.parametrize("suffix", [suffix for suffix in MESH_SUFFIXES if suffix != ".stl"])
def test_formats_with_shared_vertices_keep_them(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"shape{suffix}"
    write_mesh(SHAPE, path)
    read = read_mesh(path)
    np.testing.assert_array_equal(read.faces, SHAPE.faces)
    assert len(read.vertices) == len(SHAPE.vertices)


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_same_mesh_gives_the_same_bytes_whatever_was_there(suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix.upper()}"
    second.write_bytes(bytes(100_000))
    write_mesh(SHAPE, first)
    write_mesh(SHAPE, second)
    assert first.read_bytes() == second.read_bytes()


def test_stl_normals_point_outward(tmp_path: Path) -> None:
    write_mesh(box((1, 1, 1)), tmp_path / "box.stl")
    read = trimesh.load_mesh(tmp_path / "box.stl", process=False)
    np.testing.assert_allclose(np.sum(read.face_normals * read.triangles_center, axis=1), 0.5, rtol=0, atol=1e-6)
    stored = np.frombuffer((tmp_path / "box.stl").read_bytes()[84:], "<u1").reshape(-1, 50)[:, :12].copy().view("<f4")
    np.testing.assert_allclose(stored, read.face_normals, atol=1e-6)


def test_glb_chunks_are_aligned_as_the_specification_asks(tmp_path: Path) -> None:
    path = tmp_path / "shape.glb"
    write_mesh(SHAPE, path)
    content = path.read_bytes()
    text_length = int.from_bytes(content[12:16], "little")
    assert content[:8] == b"glTF\x02\0\0\0"
    assert int.from_bytes(content[8:12], "little") == len(content)
    assert text_length % 4 == 0
    assert content[20 + text_length + 4 :][:4] == b"BIN\0"
    assert int.from_bytes(content[20 + text_length :][:4], "little") == len(content) - text_length - 28


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"'\.dae' is not one of \.off"):
        write_mesh(SHAPE, tmp_path / "shape.dae")
    with pytest.raises(RenderError, match="cannot write: No such file"):
        write_mesh(SHAPE, tmp_path / "missing" / "shape.off")
    with pytest.raises(RenderError, match="no faces"):
        write_mesh(Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int64)), tmp_path / "empty.off")
    assert not list(tmp_path.iterdir())
