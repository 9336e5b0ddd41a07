import pickle

import numpy as np
import pytest

from render.camera import PROJECTIONS, Cameras, Projection, look_at, project
from render.errors import RenderError
from render.rig import Viewpoint, load_rig, mvcnn12
from render.rigs.perturbation import perturbed
from render.viewpoint import camera_angles, camera_centers

MANY = load_rig("fibonacci:1000")


def moved_by(before: Cameras, after: Cameras) -> np.ndarray:
    """Degrees between the directions that cameras look from, (V,)."""
    cosine = (before.world_to_camera[:, 2, :3].astype(np.float64) * after.world_to_camera[:, 2, :3]).sum(axis=1)
    angles: np.ndarray = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    return angles


def test_nothing_to_perturb_is_the_rig_itself() -> None:
    assert perturbed(mvcnn12, 0, 0) is mvcnn12
    assert perturbed(mvcnn12) is mvcnn12


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_jitter_keeps_its_bound_and_fills_the_cap(projection: Projection) -> None:
    viewpoint = Viewpoint(64, projection, key="a")
    before, after = MANY(viewpoint), perturbed(MANY, 20)(viewpoint)
    angles = moved_by(before, after)
    assert angles.max() <= 20 + 1e-3
    assert angles.max() > 19.5
    # Uniform by area: the share within half the bound is (1 - cos 10) / (1 - cos 20) = 0.252.
    assert (angles < 10).mean() == pytest.approx(0.252, abs=0.07)
    np.testing.assert_array_equal(after.intrinsics, before.intrinsics)
    pixel, _ = project(np.zeros((1, 1, 3)), after.world_to_camera, after.intrinsics, projection == "parallel")
    np.testing.assert_allclose(pixel, 32, atol=1e-3)  # it looks at the origin still
    np.testing.assert_allclose(camera_angles(after)[:, 3], camera_angles(before)[:, 3], atol=1e-3)


def test_jitter_has_no_preferred_heading() -> None:
    viewpoint = Viewpoint(64, "parallel", key="a")
    before, after = MANY(viewpoint), perturbed(MANY, 5)(viewpoint)
    moved = np.einsum("vij,vj->vi", before.world_to_camera[:, :3, :3], camera_centers(after))  # in the camera's frame
    quadrants = np.bincount((moved[:, 0] > 0) * 2 + (moved[:, 1] > 0), minlength=4)
    assert quadrants.min() > 180  # of 1000, 250 expected, standard deviation 14


def test_roll_turns_about_the_axis_within_its_bound() -> None:
    viewpoint = Viewpoint(64, "perspective", key="a")
    before, after = MANY(viewpoint), perturbed(MANY, roll_degrees=30)(viewpoint)
    np.testing.assert_allclose(moved_by(before, after), 0, atol=0.05)
    np.testing.assert_allclose(camera_centers(after), camera_centers(before), atol=1e-5)
    rolls = camera_angles(after)[:, 2]
    assert -30.001 <= rolls.min() < -29
    assert 29 < rolls.max() <= 30.001
    assert abs(rolls.mean()) < 2.8  # five standard deviations


def test_a_camera_that_looks_past_the_origin_swings_around_the_origin() -> None:
    pose = look_at(np.array([3.0, 4, 0]), np.array([0.0, 4, 1])).astype(np.float32)

    def aside(viewpoint: Viewpoint) -> Cameras:
        return Cameras(pose[None], np.eye(3, dtype=np.float32)[None], "perspective", viewpoint.image_size)

    after = perturbed(aside, 40, 90)(Viewpoint(1, "perspective", key="b"))
    assert moved_by(aside(Viewpoint(1, "perspective")), after)[0] > 1
    assert np.linalg.norm(camera_centers(after)) == pytest.approx(5, abs=1e-5)
    # Where the origin lies along the camera's axis does not change.
    assert after.world_to_camera[0, 2, 3] == pytest.approx(pose[2, 3], abs=1e-6)


def test_perturbation_follows_seed_and_key_alone_and_can_be_pickled() -> None:
    rig = perturbed(mvcnn12, 10, 20)
    viewpoint = Viewpoint(64, "parallel", seed=4, key="a")
    poses = rig(viewpoint).world_to_camera
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rig))(viewpoint).world_to_camera, poses)
    for other in (Viewpoint(64, "parallel", 4, "b"), Viewpoint(64, "parallel", 5, "a")):
        assert (np.abs(rig(other).world_to_camera - poses).max(axis=(1, 2)) > 1e-4).all()


@pytest.mark.parametrize(("jitter", "roll"), [(-1, 0), (0, 181), (float("nan"), 0)])
def test_angles_out_of_range_are_refused(jitter: float, roll: float) -> None:
    with pytest.raises(RenderError, match="allowed are 0 to 180"):
        perturbed(mvcnn12, jitter, roll)


def returns_nothing(viewpoint: Viewpoint) -> None:
    """Not a rig."""


def test_a_rig_with_a_mistake_is_told_by_its_name() -> None:
    with pytest.raises(RenderError, match="rig 'returns_nothing': returns NoneType"):
        perturbed(returns_nothing, 3)(Viewpoint(64, "parallel"))  # type: ignore[arg-type]
