import dataclasses

import numpy as np
import pytest

from render.appearance import Appearance, Material
from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import Cameras
from render.config import RenderConfig
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh
from render.rendering import render_mesh
from render.rig import Viewpoint, mvcnn12
from render.shading.shade_config import ShadeConfig
from render.shapes.families import make_shape


def chair() -> Mesh:
    return make_shape("chair", np.random.default_rng(0))


def test_a_rendering_is_whole_and_repeatable() -> None:
    config = RenderConfig(up="z", image_size=64, num_points=100)
    first, again = render_mesh(chair(), config, "k"), render_mesh(chair(), config, "k")
    assert first.views.shape == (12, 64, 64, 2)
    assert first.views.dtype == np.uint8
    assert first.points.shape == (100, 6)
    assert first.quality.flags == ()
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
        cameras = mvcnn12(viewpoint)
        return Cameras(cameras.world_to_camera[:1], cameras.intrinsics[:1], cameras.projection, cameras.image_size)

    config = RenderConfig(up="z", image_size=32, num_points=10)
    assert render_mesh(chair(), config, rig=one).views.shape[0] == 1  # type: ignore[arg-type]


def test_unnormalized_units_reach_the_camera() -> None:
    mesh = Mesh(chair().vertices * 3, chair().faces)
    rendering = render_mesh(mesh, RenderConfig(up="z", normalize="none", image_size=32, num_points=10))
    assert "cut_by_frame" in rendering.quality.flags
    assert np.abs(rendering.points[:, :3]).max() > 1.5


def test_what_cannot_be_rendered_names_its_source() -> None:
    flat = Mesh(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]]), np.array([[0, 1, 2]]))
    with pytest.raises(RenderError, match=r"thing\.off: the surface has no area"):
        render_mesh(flat, RenderConfig(), where="thing.off")


def test_a_fitted_object_spans_the_frame_in_its_largest_view() -> None:
    config = RenderConfig(up="z", image_size=112, num_points=10)
    loose, fitted = (render_mesh(chair(), config.model_copy(update={"fit": fit})) for fit in ("sphere", "object"))
    extent = 0
    for view in fitted.views:
        rows, columns = np.nonzero(view[..., 1])
        extent = max(extent, *(abs(2 * value + 1 - 112) for value in (*rows, *columns)))
    assert 98 <= extent <= 101  # 200/224 of 112 pixels, to a pixel
    factor = fitted.cameras.intrinsics[:, 0, 0] / loose.cameras.intrinsics[:, 0, 0]
    assert factor[0] > 1
    np.testing.assert_allclose(factor, factor[0], rtol=1e-6)
    np.testing.assert_array_equal(fitted.cameras.world_to_camera, loose.cameras.world_to_camera)


def test_jitter_and_roll_follow_seed_and_key() -> None:
    config = RenderConfig(up="z", image_size=32, num_points=10, jitter=5, roll=10)
    first, again, other = (render_mesh(chair(), config, key).cameras.world_to_camera for key in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_colours_parts_and_channels_come_with_what_has_them() -> None:
    mesh = chair()
    low = mesh.vertices[mesh.faces][..., 2].mean(axis=1) < np.median(mesh.vertices[:, 2])
    materials = (Material((1.0, 0.0, 0.0)), Material((0.0, 0.0, 1.0)))
    rich = dataclasses.replace(
        mesh, appearance=Appearance(materials, low.astype(np.int32)), part=np.where(low, 7, 2).astype(np.int32)
    )
    config = RenderConfig(
        up="z", image_size=48, num_points=500, channels=("depth", "normal", "part"), antialias=True,
        shade=ShadeConfig(appearance="material"),
    )  # fmt: skip
    rendering = render_mesh(rich, config)
    assert rendering.views.shape == (12, 48, 48, 4)
    assert rendering.colors is not None
    assert rendering.parts is not None
    np.testing.assert_array_equal(rendering.colors[rendering.parts == 7], [[0, 0, 255]] * (rendering.parts == 7).sum())
    np.testing.assert_array_equal(rendering.colors[rendering.parts == 2], [[255, 0, 0]] * (rendering.parts == 2).sum())
    covered = rendering.views[..., 3] > 0
    np.testing.assert_array_equal(rendering.channels["depth"] > 0, covered)
    np.testing.assert_array_equal(rendering.channels["part"] > 0, covered)
    assert set(np.unique(rendering.channels["part"])) == {0, 3, 8}
    np.testing.assert_array_equal(rendering.channels["normal"].any(axis=-1), covered)
    blue = rendering.views[..., 2].astype(int) > rendering.views[..., 0]
    inside = covered & (np.abs(rendering.views[..., 2].astype(int) - rendering.views[..., 0]) > 60)
    assert (blue == (rendering.channels["part"] == 8))[inside].mean() > 0.97  # antialiased pixels mix at the seams
    plain = render_mesh(mesh, config)
    assert plain.colors is None
    assert plain.parts is None


def test_antialiased_views_are_the_same_drawn_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RenderConfig(up="z", image_size=24, num_points=50, antialias=True, channels=("depth", "normal"))
    drawn: list[int] = []

    def counted(mesh: Mesh, cameras: Cameras) -> Fragments:
        drawn.append(cameras.num_views)
        return rasterize_cpu(mesh, cameras)

    at_once = render_mesh(chair(), config, rasterizer=counted)
    for most, expected in (((5 * 72**2), [5, 5, 2]), (1, [1] * 12)):
        drawn.clear()
        monkeypatch.setattr("render.rendering.MOST_SAMPLES", most)
        few = render_mesh(chair(), config, rasterizer=counted)
        assert drawn == expected
        np.testing.assert_array_equal(few.views, at_once.views)
        np.testing.assert_array_equal(few.channels["depth"], at_once.channels["depth"])
        np.testing.assert_array_equal(few.channels["normal"], at_once.channels["normal"])
        assert few.quality == at_once.quality


@pytest.mark.parametrize("points", ["area", "poisson", "farthest"])
def test_every_way_of_sampling_gives_the_asked_number(points: str) -> None:
    if points == "poisson":
        pytest.importorskip("open3d")
    config = RenderConfig(up="z", image_size=32, num_points=200).model_copy(update={"points": points})
    first, again = render_mesh(chair(), config, "k"), render_mesh(chair(), config, "k")
    assert first.points.shape == (200, 6)
    np.testing.assert_array_equal(first.points, again.points)
