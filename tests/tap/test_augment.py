from typing import Literal

import numpy as np
import pytest
from pydantic import ValidationError

from render.camera import Cameras, project
from render.rig import Viewpoint, mvcnn12
from tap.loading.augment import AugmentConfig, augment

WILD = AugmentConfig(rotate_z=180, scale=(0.6, 1.5))


def sphere(seed: int = 0) -> np.ndarray:
    """Points (50, 6) in the unit sphere, with unit normals."""
    points, normals = np.random.default_rng(seed).normal(size=(2, 50, 3))
    points /= 1.1 * np.linalg.norm(points, axis=1).max()
    return np.concatenate([points, normals / np.linalg.norm(normals, axis=1, keepdims=True)], 1).astype(np.float32)


@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_every_point_keeps_its_pixel(projection: Literal["parallel", "perspective"]) -> None:
    rig, points, parallel = mvcnn12(Viewpoint(112, projection)), sphere(), projection == "parallel"
    pixels, depth = project(points[:, :3], rig.world_to_camera, rig.intrinsics, np.array([parallel]))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        moved, poses, lenses, same = augment(points, rig.world_to_camera, rig.intrinsics, parallel, rng, WILD)
        assert same is parallel
        assert moved.dtype == poses.dtype == lenses.dtype == np.float32
        after, depth_after = project(moved[:, :3], poses, lenses, np.array([parallel]))
        np.testing.assert_allclose(after, pixels, atol=1e-3)
        scale = np.linalg.norm(moved[:, :3], axis=1) / np.linalg.norm(points[:, :3], axis=1)
        np.testing.assert_allclose(depth_after, depth * scale[0], rtol=1e-4)
        assert 0.6 <= scale[0] <= 1.5
        np.testing.assert_allclose(scale, scale[0], rtol=1e-4)
        Cameras(poses, lenses, projection, 112)  # refuses poses that are not rigid


def test_normals_turn_with_the_points_and_keep_their_length() -> None:
    rig, points = mvcnn12(Viewpoint(112, "parallel")), sphere()
    moved = augment(points, rig.world_to_camera, rig.intrinsics, True, np.random.default_rng(1), WILD)[0]
    np.testing.assert_allclose(np.linalg.norm(moved[:, 3:], axis=1), 1, rtol=1e-5)
    before = (points[:, :3] * points[:, 3:]).sum(1) / np.linalg.norm(points[:, :3], axis=1)
    np.testing.assert_allclose(
        (moved[:, :3] * moved[:, 3:]).sum(1) / np.linalg.norm(moved[:, :3], axis=1), before, atol=1e-5
    )


def test_steps_of_30_degrees_map_the_rig_onto_itself() -> None:
    rig, points = mvcnn12(Viewpoint(112, "parallel")), sphere()
    config = AugmentConfig(rotate_z=180, rotate_step=30)
    turns = set()
    for seed in range(200):
        moved, poses, _, _ = augment(
            points, rig.world_to_camera, rig.intrinsics, True, np.random.default_rng(seed), config
        )
        distance = np.abs(poses[:, None] - rig.world_to_camera[None]).max((2, 3))
        assert (distance.min(1) < 1e-5).all()
        cosine, sine = (points[0, :2] * moved[0, :2]).sum(), np.cross([*points[0, :2], 0], [*moved[0, :2], 0])[2]
        turns.add(round(float(np.rad2deg(np.arctan2(sine, cosine))) / 30) % 12)
    assert turns == set(range(12))


def test_defaults_change_nothing_and_inputs_are_left_alone() -> None:
    rig, points = mvcnn12(Viewpoint(112, "parallel")), sphere()
    kept = points.copy()
    moved, poses, lenses, _ = augment(
        points, rig.world_to_camera, rig.intrinsics, True, np.random.default_rng(0), AugmentConfig()
    )
    assert np.array_equal(moved, points)
    assert np.array_equal(poses, rig.world_to_camera)
    assert np.array_equal(lenses, rig.intrinsics)
    augment(points, rig.world_to_camera, rig.intrinsics, True, np.random.default_rng(0), WILD)
    assert np.array_equal(points, kept)


def test_jitter_moves_points_only_and_clouds_without_views_pass() -> None:
    points, poses, lenses = sphere()[:, :3], np.zeros((0, 4, 4), np.float32), np.zeros((0, 3, 3), np.float32)
    config = AugmentConfig(jitter=0.01)
    moved, poses, _, _ = augment(points, poses, lenses, False, np.random.default_rng(0), config)
    assert poses.shape == (0, 4, 4)
    assert moved.dtype == np.float32
    assert 0.005 < (moved - points).std() < 0.02


def test_scale_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="lowest <= highest"):
        AugmentConfig(scale=(1.2, 0.8))
