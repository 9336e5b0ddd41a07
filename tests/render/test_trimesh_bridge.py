"""Meshes that trimesh read, rendered beside those that we read: two readers that know nothing of each other."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from render.config import RenderConfig
from render.errors import RenderError
from render.mesh import read_mesh
from render.reading.trimesh_bridge import from_trimesh
from render.rendering import render_mesh
from render.shading.shade_config import ShadeConfig
from tests.render.files import write_specimens

LOOKS = RenderConfig(up="z", image_size=48, num_points=16, shade=ShadeConfig(appearance="material"))


@pytest.mark.parametrize(
    "name", ["ball.obj", "ball.ply", "ball.stl", "ball.glb", "painted.glb", "painted.gltf", "quad.ply", "text.stl"]
)
def test_both_readers_give_the_same_pictures(name: str, tmp_path: Path) -> None:
    write_specimens(tmp_path)
    ours = render_mesh(read_mesh(tmp_path / name, appearance=True), LOOKS)
    scene = trimesh.load_scene(tmp_path / name, process=False)
    theirs = render_mesh(from_trimesh(scene, appearance=True), LOOKS)
    np.testing.assert_array_equal(ours.views[..., 3], theirs.views[..., 3])
    assert (np.abs(ours.views.astype(int) - theirs.views) <= 2).mean() > 0.999


def test_a_scene_is_read_with_its_transforms_and_colours() -> None:
    red, blue = trimesh.creation.box(), trimesh.creation.box()
    red.visual = trimesh.visual.ColorVisuals(red, face_colors=[255, 0, 0, 255])
    blue.visual = trimesh.visual.ColorVisuals(blue, vertex_colors=[0, 0, 255, 255])
    scene = trimesh.Scene()
    scene.add_geometry(red)
    scene.add_geometry(blue, transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    mesh = from_trimesh(scene, appearance=True)
    assert mesh.faces.shape == (24, 3)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [6, 1, 1])
    assert mesh.appearance is not None
    assert mesh.appearance.corner_color is not None
    at_red = mesh.vertices[mesh.faces][..., 0].mean(axis=1) < 1
    assert (mesh.appearance.corner_color[at_red] == [255, 0, 0]).all()
    assert (mesh.appearance.corner_color[~at_red] == [0, 0, 255]).all()
    assert from_trimesh(scene).appearance is None


def test_nothing_with_faces_is_told() -> None:
    with pytest.raises(RenderError, match="no part with faces"):
        from_trimesh(trimesh.Scene())
