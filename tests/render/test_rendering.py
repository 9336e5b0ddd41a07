import numpy as np
import pytest

from render.config import RenderConfig
from render.errors import RenderError
from render.mesh import Mesh
from render.quality import view_flags
from render.rendering import render_mesh
from render.rig import Viewpoint, mvcnn12
from render.shapes import make_shape


def chair() -> Mesh:
    return make_shape("chair", np.random.default_rng(0))


def test_a_rendering_is_whole_and_repeatable() -> None:
    config = RenderConfig(up="z", image_size=64, num_points=100)
    first, again = render_mesh(chair(), config, "k"), render_mesh(chair(), config, "k")
    assert first.views.shape == (12, 64, 64, 2)
    assert first.views.dtype == np.uint8
    assert first.points.shape == (100, 6)
    assert first.flags == ()
    np.testing.assert_array_equal(first.views, again.views)
    np.testing.assert_array_equal(first.points, again.points)
    assert (render_mesh(chair(), config, "other").points != first.points).any()
    assert np.linalg.norm(first.points[:, :3], axis=1).max() <= 1 + 1e-6


def test_up_turns_the_picture() -> None:
    mesh = chair()
    lying = Mesh(mesh.vertices @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), mesh.faces)  # +z became +y
    upright = render_mesh(mesh, RenderConfig(up="z", image_size=64, num_points=10))
    turned = render_mesh(lying, RenderConfig(up="y", image_size=64, num_points=10))
    assert (upright.views != turned.views).mean() < 1e-3


def test_a_rig_may_be_handed_over() -> None:
    def one(viewpoint: Viewpoint) -> object:
        from render.camera import Cameras

        cameras = mvcnn12(viewpoint)
        return Cameras(cameras.world_to_camera[:1], cameras.intrinsics[:1], cameras.projection, cameras.image_size)

    config = RenderConfig(up="z", image_size=32, num_points=10)
    assert render_mesh(chair(), config, rig=one).views.shape[0] == 1  # type: ignore[arg-type]


def test_unnormalized_units_reach_the_camera() -> None:
    mesh = Mesh(chair().vertices * 3, chair().faces)
    rendering = render_mesh(mesh, RenderConfig(up="z", normalize="none", image_size=32, num_points=10))
    assert "cut_by_frame" in rendering.flags
    assert np.abs(rendering.points[:, :3]).max() > 1.5


def test_what_cannot_be_rendered_names_its_source() -> None:
    flat = Mesh(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]]), np.array([[0, 1, 2]]))
    with pytest.raises(RenderError, match=r"thing\.off: the surface has no area"):
        render_mesh(flat, RenderConfig(), where="thing.off")


def test_flags_by_hand() -> None:
    views = np.zeros((2, 4, 4, 2), np.uint8)
    assert view_flags(views) == ["blank_view"]
    views[:, 1, 1, 1] = 255
    assert view_flags(views) == []
    views[1, 3, 2, 1] = 255
    assert view_flags(views) == ["cut_by_frame"]
