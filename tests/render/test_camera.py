import numpy as np
import pytest
import torch

from render.camera import (
    PROJECTIONS,
    Cameras,
    Projection,
    cell_centers,
    look_at,
    nearest_to_origin,
    pixel_centers,
    pixel_rays,
    project,
)
from render.errors import RenderError
from render.rig import Viewpoint, mvcnn12


def cameras_of(projection: Projection) -> Cameras:
    return mvcnn12(Viewpoint(224, projection))


def test_look_at_by_hand() -> None:
    pose = look_at(np.array([2.0, 0.0, 0.0]), np.zeros(3))
    # From +x toward the origin: +y of the world lies to the right, +z upward, that is along -y of the image.
    np.testing.assert_allclose(pose @ [0, 0, 0, 1], [0, 0, 2, 1], atol=1e-12)
    np.testing.assert_allclose(pose @ [0, 1, 0, 1], [1, 0, 2, 1], atol=1e-12)
    np.testing.assert_allclose(pose @ [0, 0, 1, 1], [0, -1, 2, 1], atol=1e-12)


@pytest.mark.parametrize("height", [3.0, -3.0])
def test_look_at_straight_up_and_down_is_a_rotation(height: float) -> None:
    pose = look_at(np.array([0.0, 0.0, height]), np.zeros(3))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert (pose @ [0, 1, 0, 1])[1] == pytest.approx(-1)  # world +y is up in the image


def test_roll_turns_the_camera_clockwise() -> None:
    pose = look_at(np.array([2.0, 0.0, 0.0]), np.zeros(3), roll=90)
    # A camera turned clockwise sees the world turned counterclockwise: what was up is now left.
    np.testing.assert_allclose((pose @ [0, 0, 1, 1])[:2], [-1, 0], atol=1e-12)


def test_look_at_refuses_its_own_target() -> None:
    with pytest.raises(RenderError, match="stands on its target"):
        look_at(np.ones(3), np.ones(3))


def test_parallel_projection_by_hand() -> None:
    pixels, depth = project(
        np.array([[0.0, 0.5, 0.25]]), np.eye(4), np.array([[100, 0, 112], [0, 100, 112], [0, 0, 1.0]]), True
    )
    np.testing.assert_allclose(pixels, [[112, 162]])
    np.testing.assert_allclose(depth, [0.25])


def test_perspective_projection_by_hand() -> None:
    pixels, depth = project(
        np.array([[1.0, -0.5, 2.0]]), np.eye(4), np.array([[100, 0, 112], [0, 50, 10], [0, 0, 1.0]]), False
    )
    np.testing.assert_allclose(pixels, [[162, -2.5]])
    np.testing.assert_allclose(depth, [2.0])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_line_of_sight_meets_the_point_that_projects_to_its_pixel(projection: Projection) -> None:
    cameras = cameras_of(projection)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 50, 3))
    parallel = np.array([[projection == "parallel"]])
    pixels, _ = project(points, cameras.world_to_camera, cameras.intrinsics, parallel)
    start, direction = pixel_rays(pixels, cameras.world_to_camera, cameras.intrinsics, parallel)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1, atol=1e-6)
    away = points - start
    off_line = away - (away * direction).sum(-1, keepdims=True) * direction
    assert np.abs(off_line).max() < 1e-6
    nearest = nearest_to_origin(start, direction)
    assert np.abs((nearest * direction).sum(-1)).max() < 1e-6


def test_nearest_point_is_the_papers_origin_under_a_rotation() -> None:
    """Equation 6: A[:, :2] (x', y') with A the inverse rotation."""
    cameras = cameras_of("parallel")
    pixels = np.tile(cell_centers(224, 7).astype(np.float64), (12, 1, 1))
    start, direction = pixel_rays(pixels, cameras.world_to_camera, cameras.intrinsics, True)
    inverse = np.linalg.inv(cameras.world_to_camera[:, :3, :3].astype(np.float64))
    on_plane = (pixels - 112) / 100
    np.testing.assert_allclose(
        nearest_to_origin(start, direction), on_plane @ inverse[:, :, :2].transpose(0, 2, 1), atol=1e-6
    )
    np.testing.assert_allclose(direction, np.broadcast_to(inverse[:, None, :, 2], direction.shape), atol=1e-6)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_torch_and_numpy_agree_and_projections_mix_in_a_batch(projection: Projection) -> None:
    cameras, other = cameras_of(projection), cameras_of("parallel")
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 1, 20, 3))
    poses = np.stack([cameras.world_to_camera, other.world_to_camera]).astype(np.float64)
    intrinsics = np.stack([cameras.intrinsics, other.intrinsics]).astype(np.float64)
    flags = np.array([projection == "parallel", True])[:, None, None]
    tensors = [torch.from_numpy(value) for value in (poses, intrinsics, flags)]
    pixels, depth = project(torch.from_numpy(points), *tensors)
    expected_pixels, expected_depth = project(points[0], poses[0], intrinsics[0], projection == "parallel")
    np.testing.assert_allclose(pixels[0].numpy(), expected_pixels, rtol=1e-12)
    np.testing.assert_allclose(depth[0].numpy(), expected_depth, rtol=1e-12)
    start, direction = pixel_rays(pixels, *tensors)
    expected = pixel_rays(pixels.numpy(), poses, intrinsics, flags)
    np.testing.assert_allclose(start.numpy(), expected[0], atol=1e-12)
    np.testing.assert_allclose(direction.numpy(), expected[1], atol=1e-12)


def test_pixel_and_cell_centers() -> None:
    np.testing.assert_array_equal(pixel_centers(2), [[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [1.5, 1.5]])
    np.testing.assert_array_equal(cell_centers(224, 7)[[0, 1, 7]], [[16, 16], [48, 16], [16, 48]])


def test_cameras_refuse_what_no_rig_may_return() -> None:
    good = cameras_of("parallel")
    with pytest.raises(RenderError, match="V >= 1"):
        Cameras(good.world_to_camera[:0], good.intrinsics[:0], "parallel", 224)
    with pytest.raises(RenderError, match="not finite"):
        Cameras(good.world_to_camera * np.nan, good.intrinsics, "parallel", 224)
    with pytest.raises(RenderError, match="rotation"):
        Cameras(good.world_to_camera * 2, good.intrinsics, "parallel", 224)
    mirrored = good.world_to_camera.copy()
    mirrored[:, 0] *= -1
    with pytest.raises(RenderError, match="reflection"):
        Cameras(mirrored, good.intrinsics, "parallel", 224)
    skewed = good.intrinsics.copy()
    skewed[0, 0, 1] = 2
    for wrong in (skewed, good.intrinsics * np.float32(-1)):
        with pytest.raises(RenderError, match="intrinsics must be"):
            Cameras(good.world_to_camera, wrong, "parallel", 224)
    with pytest.raises(RenderError, match="not one of parallel, perspective"):
        Cameras(good.world_to_camera, good.intrinsics, "fisheye", 224)  # type: ignore[arg-type]
