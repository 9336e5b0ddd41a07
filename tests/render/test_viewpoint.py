import numpy as np
import pytest

from render.camera import Cameras, look_at
from render.viewpoint import Viewpoint, camera_angles, camera_centers, cameras_around


@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_angles_come_back(projection: str) -> None:
    azimuths, elevations = np.array([0.0, 17, 200, 359.5]), np.array([-80.0, 0, 33.3, 89])
    rolls = np.array([0.0, -170, 180, 45])
    cameras = cameras_around(azimuths, elevations, Viewpoint(64, projection), rolls)  # type: ignore[arg-type]
    distance = {"parallel": 2.0, "perspective": 3.2356}[projection]
    expected = np.stack([azimuths, elevations, rolls, np.full(4, distance)], axis=-1)
    np.testing.assert_allclose(camera_angles(cameras), expected, atol=2e-3)


def test_angles_of_a_camera_on_the_z_axis() -> None:
    rolls = np.array([0.0, 30])
    cameras = cameras_around(np.array([0.0, 0]), np.array([90.0, -90]), Viewpoint(64, "parallel"), rolls)
    np.testing.assert_allclose(camera_angles(cameras), [[0, 90, 0, 2], [0, -90, 30, 2]], atol=1e-4)


def test_angles_of_a_camera_that_looks_past_the_origin() -> None:
    """From (3, 4, 0) along -x: the direction it looks from is +x, its distance 5."""
    pose = look_at(np.array([3.0, 4, 0]), np.array([0.0, 4, 0]))[None].astype(np.float32)
    cameras = Cameras(pose, np.eye(3, dtype=np.float32)[None], "perspective", 1)
    np.testing.assert_allclose(camera_centers(cameras), [[3, 4, 0]], atol=1e-6)
    np.testing.assert_allclose(camera_angles(cameras), [[0, 0, 0, 5]])
