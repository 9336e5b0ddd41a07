"""Jitter and roll: any rig with its cameras moved at random, for each sample anew."""

import dataclasses

import numpy as np
import numpy.typing as npt

from render.camera import Cameras
from render.errors import RenderError
from render.randomness import generator_for
from render.rig import Rig, Viewpoint, checked_cameras


def perturbed(rig: Rig, jitter_degrees: float = 0.0, roll_degrees: float = 0.0) -> Rig:
    """The rig with each camera moved around the world's origin and turned about its axis, at random.

    Args:
        rig: any rig.
        jitter_degrees: the direction a camera looks from moves by at most this angle, uniform in that cap of the sphere; the
            camera swings around the origin, without a turn of its own, and so keeps looking at it.
        roll_degrees: then the camera rolls about its forward axis by an angle uniform in plus and minus this.

    Returns:
        The rig itself where both are 0. Else a rig whose cameras depend on (seed, key) of the viewpoint; intrinsics stay.
        It can be pickled if ``rig`` can.

    Raises:
        RenderError: an angle is not in 0 to 180.
    """
    for name, angle in (("jitter", jitter_degrees), ("roll", roll_degrees)):
        if not 0 <= angle <= 180:
            raise RenderError(f"{name} is {angle:g} degrees; allowed are 0 to 180")
    if jitter_degrees == roll_degrees == 0:
        return rig
    return _Perturbed(rig, jitter_degrees, roll_degrees)


@dataclasses.dataclass(frozen=True)
class _Perturbed:
    rig: Rig
    jitter_degrees: float
    roll_degrees: float

    def __call__(self, viewpoint: Viewpoint) -> Cameras:
        cameras = checked_cameras(getattr(self.rig, "__name__", type(self.rig).__name__), self.rig, viewpoint)
        # A stream of its own, so that jitter neither follows nor shifts what a random rig and the points draw.
        generator = generator_for(viewpoint.seed, f"{viewpoint.key}/jitter")
        area, heading, turn = generator.random((cameras.num_views, 3)).T
        # Uniform in the cap: the sine square of half the angle, that is the area, is uniform. Exact also for small caps.
        swing = 2 * np.arcsin(np.sqrt(area) * np.sin(np.deg2rad(self.jitter_degrees) / 2))
        rolls = _rolls(np.deg2rad(self.roll_degrees) * (2 * turn - 1))
        poses = cameras.world_to_camera.astype(np.float64)
        # A rotation of the world about its origin changes only the pose's rotation, a roll also its translation.
        poses[:, :3, :3] = rolls @ _swings(swing, 2 * np.pi * heading) @ poses[:, :3, :3]
        poses[:, :3, 3:] = rolls @ poses[:, :3, 3:]
        return dataclasses.replace(cameras, world_to_camera=poses.astype(np.float32))


def _swings(angles: npt.NDArray[np.float64], headings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotations by an angle about an axis in the image plane, (V, 3, 3); the axes are (cos, sin, 0) of the headings."""
    zero = np.zeros(len(angles))
    axes = np.stack([np.cos(headings), np.sin(headings), zero], axis=-1)
    x, y, z = axes.T
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    sin, cos = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    rotations: npt.NDArray[np.float64] = np.eye(3) + sin * cross + (1 - cos) * (cross @ cross)
    return rotations


def _rolls(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turns of the camera frame about its forward axis, (V, 3, 3), in the sense of `render.camera.look_at`."""
    cos, sin, zero, one = np.cos(angles), np.sin(angles), np.zeros(len(angles)), np.ones(len(angles))
    return np.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
