import dataclasses

import numpy as np
import pytest

from render.camera import PROJECTIONS, Cameras, Projection, project
from render.errors import RenderError
from render.normalization import normalize
from render.rig import Viewpoint, load_rig, mvcnn12
from render.rigs.framing import fit_cameras
from render.shapes.families import make_shape


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_the_largest_view_spans_the_frame_exactly(projection: Projection) -> None:
    vertices = normalize(make_shape("table", np.random.default_rng(3))).mesh.vertices
    cameras = mvcnn12(Viewpoint(224, projection))
    fitted = fit_cameras(cameras, vertices)
    pixels, _ = project(
        vertices, fitted.world_to_camera, fitted.intrinsics.astype(np.float64), projection == "parallel"
    )
    reach = np.abs(pixels - 112).max(axis=(1, 2))  # of each view
    assert reach.max() == pytest.approx(100, abs=1e-3)
    assert reach.min() < 99
    np.testing.assert_array_equal(fitted.world_to_camera, cameras.world_to_camera)
    factors = fitted.intrinsics[:, [0, 1], [0, 1]] / cameras.intrinsics[:, [0, 1], [0, 1]]
    np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-6)
    assert factors[0, 0] > 1
    np.testing.assert_array_equal(fitted.intrinsics[:, :2, 2], cameras.intrinsics[:, :2, 2])


def test_the_factor_of_a_box_by_hand() -> None:
    """A box of 2 x 0.4 x 0.2 spans from x -1 to 1; from above and the sides its largest offset is 1, then 10 times that."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-0.2, 0.2) for z in (-0.1, 0.1)], np.float64)
    cameras = load_rig("axes6")(Viewpoint(224, "parallel"))
    np.testing.assert_allclose(fit_cameras(cameras, corners).intrinsics, cameras.intrinsics, rtol=1e-6)
    small = fit_cameras(cameras, corners / 10)
    np.testing.assert_allclose(small.intrinsics[:, 0, 0], 1000, rtol=1e-6)


def test_offsets_count_from_the_principal_point() -> None:
    cameras = load_rig("orbit:1,0")(Viewpoint(224, "parallel"))
    moved = cameras.intrinsics.copy()
    moved[:, 0, 2] += 30
    vertices = np.array([[0.0, 0.5, 0], [0, -0.25, 0.1], [0, 0, -0.3]])
    fitted = fit_cameras(dataclasses.replace(cameras, intrinsics=moved), vertices)
    np.testing.assert_allclose(fitted.intrinsics[0], [[200, 0, 142], [0, 200, 112], [0, 0, 1]], rtol=1e-6)


def test_many_vertices_are_all_looked_at() -> None:
    """The one that counts comes last, far behind the first chunk."""
    vertices = np.random.default_rng(0).uniform(-0.1, 0.1, (100_001, 3))
    vertices[-1] = [0.0, 0.5, 0.0]
    fitted = fit_cameras(load_rig("axes6")(Viewpoint(224, "parallel")), vertices)
    np.testing.assert_allclose(fitted.intrinsics[:, 0, 0], 200, rtol=1e-6)


@pytest.mark.parametrize("depth", [-1.0, 0.0, 1e-7])
def test_a_vertex_behind_or_at_a_perspective_camera_is_refused(depth: float) -> None:
    cameras = load_rig("orbit:2,0")(Viewpoint(64, "perspective"))
    distance = float(cameras.world_to_camera[0, 2, 3])
    vertices = np.array([[0.0, 0, 0], [0, 0.3, 0], [distance - depth, 0.1, 0]])
    with pytest.raises(RenderError, match=r"reaches behind camera 0 .* --fit sphere"):
        fit_cameras(cameras, vertices)


def test_a_vertex_behind_a_parallel_camera_is_refused() -> None:
    """The rasterizers leave out what lies behind any camera: the views would show the object cut open."""
    cameras = load_rig("orbit:2,0")(Viewpoint(64, "parallel"))  # 2 from the origin
    fit_cameras(cameras, np.array([[0.0, 0, 0], [0, 0.3, 0], [2.0, 0.1, 0]]))
    with pytest.raises(RenderError, match=r"reaches behind camera 0 \(depth -0.01\); use --normalize sphere, .*"):
        fit_cameras(cameras, np.array([[0.0, 0, 0], [0, 0.3, 0], [2.01, 0.1, 0]]))


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_what_is_too_small_for_depths_in_float32_is_refused(projection: Projection) -> None:
    vertices = np.random.default_rng(0).uniform(-1, 1, (100, 3))
    cameras = mvcnn12(Viewpoint(64, projection))
    fit_cameras(cameras, vertices * 1e-3)
    with pytest.raises(
        RenderError, match=r"is 1\.9.e-08 wide .* too small for depths in float32; use --normalize sphere"
    ):
        fit_cameras(cameras, vertices * 1e-8)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_what_spans_nothing_is_refused(value: float) -> None:
    pose, intrinsics = np.eye(4, dtype=np.float32)[None], np.eye(3, dtype=np.float32)[None]
    with pytest.raises(RenderError, match="cannot be scaled to the frame"):
        fit_cameras(Cameras(pose, intrinsics, "parallel", 64), np.full((3, 3), value))
