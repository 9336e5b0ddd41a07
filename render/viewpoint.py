"""What a rig is: a callable from a `Viewpoint` to `Cameras`, and the placing of cameras by angles that rigs are made of."""

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

from render.camera import Cameras, FloatArray, Projection, look_at

FIELD_OF_VIEW = 40.0  # degrees across the whole image, perspective
# Share of the image side that the unit sphere spans; Take-A-Photo's object size of 200 px in 224.
SPHERE_FILL = 200 / 224
PARALLEL_DISTANCE = 2.0  # world units; parallel cameras only need to stand outside the unit sphere
_ANGLE_DECIMALS = 4  # what float32 poses hold of an angle in degrees


@dataclasses.dataclass(frozen=True)
class Viewpoint:
    """What a rig may depend on.

    Attributes:
        image_size: side of the square image in pixels.
        projection: ``parallel`` or ``perspective``.
        seed: seed of the run.
        key: key of the sample; (seed, key) seeds whatever a rig draws at random.
    """

    image_size: int
    projection: Projection
    seed: int = 0
    key: str = ""


class Rig(Protocol):
    """From the wish for views to cameras around the unit sphere; equal input gives equal cameras."""

    def __call__(self, viewpoint: Viewpoint, /) -> Cameras:
        """Cameras (V, 4, 4) and (V, 3, 3) for the unit sphere at the world origin."""
        ...


def cameras_around(
    azimuths: FloatArray, elevations: FloatArray, viewpoint: Viewpoint, rolls: FloatArray | None = None
) -> Cameras:
    """Cameras that look at the origin from the given directions, the unit sphere spanning 200/224 of the frame.

    Args:
        azimuths: (V,) degrees from +x toward +y.
        elevations: (V,) degrees above the xy plane.
        viewpoint: image size and projection.
        rolls: (V,) degrees, positive turns a camera clockwise about its forward axis; None for level cameras.

    Returns:
        Cameras. Parallel: the scale is 100 pixels a world unit at 224 px. Perspective: 40 degrees across the image, at the
        distance where the sphere's outline has the same size.
    """
    size = viewpoint.image_size
    radius = SPHERE_FILL * size / 2
    if viewpoint.projection == "parallel":
        focal, distance = radius, PARALLEL_DISTANCE
    else:
        focal = size / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
        distance = float(1 / np.sin(np.arctan(radius / focal)))  # a sphere's outline is seen under asin(1 / distance)
    azimuth, elevation = np.deg2rad(np.asarray(azimuths, np.float64)), np.deg2rad(np.asarray(elevations, np.float64))
    outward = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    poses = look_at(distance * outward, np.zeros(3), 0.0 if rolls is None else rolls)
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    return Cameras(
        world_to_camera=poses.astype(np.float32),
        intrinsics=np.tile(intrinsics, (len(poses), 1, 1)),
        projection=viewpoint.projection,
        image_size=size,
    )


def camera_centers(cameras: Cameras) -> npt.NDArray[np.float64]:
    """Where the cameras stand, (V, 3) float64 world."""
    poses = cameras.world_to_camera.astype(np.float64)
    centers: npt.NDArray[np.float64] = -np.einsum("vji,vj->vi", poses[:, :3, :3], poses[:, :3, 3])
    return centers


def camera_angles(cameras: Cameras) -> npt.NDArray[np.float64]:
    """How the cameras stand, in the terms of `cameras_around`.

    Args:
        cameras: V cameras; they need not look at the origin.

    Returns:
        (V, 4) float64: azimuth in [0, 360) and elevation in [-90, 90] of the direction that a camera looks from, its roll
        in (-180, 180], all in degrees, and its distance from the origin in world units; each to 4 decimals. The azimuth of
        a camera that looks straight up or down is 0.
    """
    rotation = cameras.world_to_camera[:, :3, :3].astype(np.float64)
    outward = -rotation[:, 2]
    across = np.hypot(outward[:, 0], outward[:, 1])
    azimuth = np.where(across > 1e-6, np.arctan2(outward[:, 1], outward[:, 0]), 0.0)
    elevation = np.arctan2(outward[:, 2], across)
    level = look_at(outward, np.zeros(3))
    along_right, along_down = (np.einsum("vc,vc->v", rotation[:, 0], level[:, row, :3]) for row in (0, 1))
    angles = np.round(np.rad2deg([azimuth, elevation, np.arctan2(along_down, along_right)]), _ANGLE_DECIMALS)
    angles[0] %= 360.0
    angles[2] = np.where(angles[2] <= -180.0, 180.0, angles[2])
    distance = np.round(np.linalg.norm(camera_centers(cameras), axis=1), _ANGLE_DECIMALS)
    return np.stack([*angles, distance], axis=-1) + 0.0  # 0 instead of -0
