import numpy as np
import pytest

from render.camera import Cameras
from render.rig import Viewpoint, load_rig
from render.rigs.named import axes6, dodecahedron20, mvcnn12, mvcnn80
from render.viewpoint import camera_angles, camera_centers

VIEWPOINT = Viewpoint(224, "perspective")


def directions(cameras: Cameras) -> np.ndarray:
    """Unit vectors to where the cameras stand, (V, 3)."""
    centers = camera_centers(cameras)
    outward: np.ndarray = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    return outward


def test_mvcnn12_stands_where_the_paper_says() -> None:
    cameras = mvcnn12(VIEWPOINT)
    outward = directions(cameras)
    np.testing.assert_allclose(
        np.rad2deg(np.arctan2(outward[:, 1], outward[:, 0])) % 360, np.arange(0, 360, 30), atol=1e-4
    )
    np.testing.assert_allclose(np.rad2deg(np.arcsin(outward[:, 2])), 30, atol=1e-4)
    assert 2 * np.rad2deg(np.arctan(112 / cameras.intrinsics[0, 0, 0])) == pytest.approx(40)


def test_the_dodecahedron_has_20_vertices_with_three_equal_neighbours_each() -> None:
    outward = directions(dodecahedron20(VIEWPOINT))
    assert outward.shape == (20, 3)
    cosines = np.sort(outward @ outward.T, axis=1)[:, ::-1]
    # Neighbouring vertices of a dodecahedron are seen from its middle under arccos(sqrt(5) / 3), 41.81 degrees.
    np.testing.assert_allclose(cosines[:, 1:4], 5**0.5 / 3, atol=1e-6)
    assert (cosines[:, 4] < 0.4).all()  # the six next ones stand at 70.5 degrees, cosine 1 / 3
    np.testing.assert_allclose(outward.sum(axis=0), 0, atol=1e-5)
    assert (np.diff(outward[:, 2]) < 1e-6).all()  # from top to bottom


def test_mvcnn80_rolls_each_vertex_of_the_dodecahedron_by_quarter_turns() -> None:
    level, cameras = dodecahedron20(VIEWPOINT).world_to_camera, mvcnn80(VIEWPOINT)
    assert cameras.num_views == 80
    poses = cameras.world_to_camera.reshape(20, 4, 4, 4)
    right, down, forward = level[:, 0, :3], level[:, 1, :3], level[:, 2, :3]
    # A quarter turn clockwise: what was down is to the right, what was left is down.
    for quarter, (x, y) in enumerate([(right, down), (down, -right), (-right, -down), (-down, right)]):
        np.testing.assert_allclose(poses[:, quarter, :3, :3], np.stack([x, y, forward], axis=1), atol=1e-6)
    np.testing.assert_allclose(camera_angles(cameras)[:4, 2], [0, 90, 180, -90], atol=1e-3)


def test_axes6_stands_on_the_axes() -> None:
    cameras = axes6(VIEWPOINT)
    expected = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    np.testing.assert_allclose(directions(cameras), expected, atol=1e-6)
    up = -cameras.world_to_camera[:, 1, :3]
    np.testing.assert_allclose(up, [[0, 0, 1]] * 4 + [[0, 1, 0]] * 2, atol=1e-6)


def test_an_orbit_goes_around_evenly_at_its_elevation() -> None:
    angles = camera_angles(load_rig("orbit:5,-12.5")(VIEWPOINT))
    np.testing.assert_allclose(angles[:, :3], [[72 * view, -12.5, 0] for view in range(5)], atol=1e-3)
    twelve = load_rig("orbit:12,30")(VIEWPOINT)
    np.testing.assert_array_equal(twelve.world_to_camera, mvcnn12(VIEWPOINT).world_to_camera)


def test_a_fibonacci_sphere_is_even() -> None:
    outward = directions(load_rig("fibonacci:200")(VIEWPOINT))
    np.testing.assert_allclose(outward[:, 2], 1 - (2 * np.arange(200) + 1) / 200, atol=1e-6)
    nearest = np.sort(np.rad2deg(np.arccos(np.clip(outward @ outward.T, -1, 1))), axis=1)[:, 1]
    # 200 equal discs that tile the sphere would lie 16.2 degrees apart.
    assert nearest.min() > 11
    assert nearest.max() < 16.3
    np.testing.assert_allclose(outward.mean(axis=0), 0, atol=0.01)


def test_a_random_rig_follows_seed_and_key_alone() -> None:
    rig = load_rig("random:6")
    first = directions(rig(Viewpoint(64, "parallel", seed=1, key="chair_1")))
    np.testing.assert_allclose(directions(rig(Viewpoint(224, "perspective", seed=1, key="chair_1"))), first, atol=1e-6)
    for seed, key in ((1, "chair_2"), (2, "chair_1")):
        other = directions(rig(Viewpoint(64, "parallel", seed=seed, key=key)))
        assert (np.linalg.norm(other - first, axis=1) > 1e-3).all()
    fewer = directions(load_rig("random:2")(Viewpoint(64, "parallel", seed=1, key="chair_1")))
    np.testing.assert_array_equal(fewer, first[:2])


def test_random_directions_are_uniform_on_the_sphere() -> None:
    rig = load_rig("random:1000")
    outward = np.concatenate([directions(rig(Viewpoint(64, "parallel", key=str(key)))) for key in range(5)])
    # Mean 0 and covariance 1/3; the bounds are over five standard deviations of 5000 draws.
    np.testing.assert_allclose(outward.mean(axis=0), 0, atol=0.042)
    np.testing.assert_allclose(outward.T @ outward / len(outward), np.eye(3) / 3, atol=0.022)
