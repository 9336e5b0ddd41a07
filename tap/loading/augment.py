"""Geometric augmentation that moves points and cameras together, so that every point keeps its pixel.

Runs in the loader, on numpy arrays. The pictures are untouched: the world turns and grows with the cameras that look at
it. Legend: V views, N points.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

Floats = npt.NDArray[np.float32]


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """How far the world is turned and scaled; the defaults change nothing."""

    rotate_z: float = Field(default=0.0, ge=0, le=180, description="largest turn about z in degrees, either way")
    rotate_step: float = Field(
        default=0.0, ge=0, le=180, description="turn by multiples of this many degrees only; 0 allows every angle"
    )
    scale: tuple[float, float] = Field(default=(1.0, 1.0), description="lowest and highest scale")
    jitter: float = Field(default=0.0, ge=0, description="standard deviation of noise on the points, world units")

    @model_validator(mode="after")
    def _scale_in_order(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale {self.scale}: it must be (lowest, highest) with 0 < lowest <= highest")
        return self


def augment(
    points: Floats,
    world_to_camera: Floats,
    intrinsics: Floats,
    parallel: bool,
    rng: np.random.Generator,
    config: AugmentConfig,
) -> tuple[Floats, Floats, Floats, bool]:
    """Draw a map x' = s Q x of the world and apply it to points and cameras.

    Args:
        points: (N, 3) or (N, 6) float32, positions and maybe unit normals, world frame.
        world_to_camera: (V, 4, 4) float32, rigid.
        intrinsics: (V, 3, 3) float32, pixels.
        parallel: whether the projection is parallel.
        rng: the source of all randomness; it is drawn from alike whatever the config.
        config: how far.

    Returns:
        The same four, in the moved world. Poses stay rigid: x' = s Q x is seen by [R Q^T | s t] at s times the depth,
        in the same pixel once the focal length of a parallel camera is divided by s. Jitter moves points only.
    """
    scale, rotation = _draw(rng, config)
    moved = points.copy()
    moved[:, :3] = scale * points[:, :3] @ rotation.T
    if points.shape[1] == 6:
        moved[:, 3:] = points[:, 3:] @ rotation.T
    if config.jitter:
        moved[:, :3] += rng.normal(0.0, config.jitter, (len(points), 3))
    poses = world_to_camera.copy()
    poses[:, :3, :3] = world_to_camera[:, :3, :3] @ rotation.T
    poses[:, :3, 3] *= scale
    lenses = intrinsics.copy()
    if parallel:
        lenses[:, :2, :2] /= scale
    return moved, poses, lenses, parallel


def _draw(rng: np.random.Generator, config: AugmentConfig) -> tuple[float, npt.NDArray[Any]]:
    """Scale and (3, 3) float64 rotation about z."""
    place, share = rng.random(2)  # always both, so that switching one off leaves the other's draws as they were
    angle = (2 * place - 1) * config.rotate_z
    if config.rotate_step:
        steps = int(config.rotate_z / config.rotate_step + 1e-9)
        count = min(2 * steps + 1, max(1, round(360 / config.rotate_step)))  # -180 and 180 degrees are one turn
        angle = (steps - int(place * count)) * config.rotate_step
    scale = config.scale[0] + share * (config.scale[1] - config.scale[0])
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return scale, np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
