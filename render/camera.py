"""Cameras: where they stand, what they see, and the line of sight through each pixel.

The one place of camera arithmetic. The rasterizers project with it, and the query generator in ``tap`` casts its optical
lines with it, so a line meets the very surface point that the picture shows. Every function takes numpy arrays or torch
tensors alike and broadcasts over leading dimensions. Nothing here knows meshes or models.

Conventions: world +z up, right-handed. Camera frame +x right, +y down, +z forward; depth is camera z. Pixel centres lie at
+0.5. Parallel projection: u = fx x + cx. Perspective: u = fx x / z + cx. Legend: V views, N points, H W pixels.
"""

import dataclasses
import sys
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from render.errors import RenderError

Projection = Literal["parallel", "perspective"]
PROJECTIONS: tuple[str, ...] = get_args(Projection)
FloatArray = npt.NDArray[np.floating[Any]]
# numpy array or torch tensor: this package does not import torch, so the type checker sees Any.
Array = Any


@dataclasses.dataclass(frozen=True)
class Cameras:
    """The cameras of one object, all of one projection and one image size.

    Attributes:
        world_to_camera: (V, 4, 4) float32, rigid.
        intrinsics: (V, 3, 3) float32, pixels (parallel: pixels per world unit), without skew.
        projection: ``parallel`` or ``perspective``.
        image_size: side of the square image in pixels.
    """

    world_to_camera: FloatArray
    intrinsics: FloatArray
    projection: Projection
    image_size: int

    def __post_init__(self) -> None:
        num_views = len(self.world_to_camera)
        if (
            self.world_to_camera.shape != (num_views, 4, 4)
            or self.intrinsics.shape != (num_views, 3, 3)
            or not num_views
        ):
            raise RenderError(
                f"cameras: got world_to_camera {self.world_to_camera.shape} and intrinsics {self.intrinsics.shape}; "
                "a rig must return (V, 4, 4) and (V, 3, 3) with V >= 1"
            )
        if self.projection not in PROJECTIONS:
            raise RenderError(f"cameras: projection {self.projection!r} is not one of {', '.join(PROJECTIONS)}")
        if not (np.isfinite(self.world_to_camera).all() and np.isfinite(self.intrinsics).all()):
            raise RenderError("cameras: a pose or an intrinsic is not finite; check the rig")
        rotation = self.world_to_camera[:, :3, :3].astype(np.float64)
        if not np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-4) or not np.allclose(
            self.world_to_camera[:, 3], [0.0, 0.0, 0.0, 1.0]
        ):
            raise RenderError("cameras: world_to_camera must be a rotation and a translation over the row 0 0 0 1")
        if not (np.linalg.det(rotation) > 0).all():
            raise RenderError("cameras: world_to_camera holds a reflection; views would be mirrored")
        zeros = self.intrinsics[:, [0, 1, 2, 2], [1, 0, 0, 1]]
        if (self.intrinsics[:, [0, 1], [0, 1]] <= 0).any() or zeros.any() or (self.intrinsics[:, 2, 2] != 1).any():
            raise RenderError("cameras: intrinsics must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx, fy > 0")

    @property
    def num_views(self) -> int:
        """The number of cameras V."""
        return len(self.world_to_camera)


def look_at(position: FloatArray, target: FloatArray, roll: FloatArray | float = 0.0) -> FloatArray:
    """The poses of cameras at ``position`` that look at ``target`` with world +z upward in the image.

    Args:
        position: (..., 3) world.
        target: (..., 3) world; broadcasts against position.
        roll: (...) degrees; positive turns the camera clockwise about its forward axis.

    Returns:
        (..., 4, 4) float64 world_to_camera. A camera that looks straight up or down has world +y upward in its image.

    Raises:
        RenderError: position and target coincide.
    """
    position, target = np.asarray(position, np.float64), np.asarray(target, np.float64)
    toward = target - position
    distance = np.linalg.norm(toward, axis=-1, keepdims=True)
    if not (distance > 0).all():
        raise RenderError(f"look_at: the camera stands on its target {target.tolist()}; move it away")
    forward = toward / distance
    is_vertical = np.abs(forward[..., 2:]) > 1 - 1e-9
    right = _unit(np.cross(forward, np.where(is_vertical, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])))
    down = np.cross(forward, right)
    angle = np.deg2rad(np.asarray(roll, np.float64))[..., None]
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([cos * right + sin * down, cos * down - sin * right, forward], axis=-2)
    pose = np.zeros((*rotation.shape[:-2], 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = -(rotation @ position[..., None])[..., 0]
    pose[..., 3, 3] = 1.0
    return pose


def project(points: Array, world_to_camera: Array, intrinsics: Array, parallel: Array) -> tuple[Array, Array]:
    """Pixel and depth of each point.

    Args:
        points: (..., N, 3) world.
        world_to_camera: (..., 4, 4); may be any affine map, as after augmentation.
        intrinsics: (..., 3, 3) pixels.
        parallel: bool or 0/1 array that broadcasts against (..., 1), true for parallel projection.

    Returns:
        pixels (..., N, 2) as (u, v), and depth (..., N) in world units along camera z.
    """
    camera_points = points @ _transposed(world_to_camera[..., :3, :3]) + world_to_camera[..., None, :3, 3]
    depth = camera_points[..., 2]
    flat = parallel * 1.0  # a bool has no subtraction
    scale = flat + (1.0 - flat) / (depth + flat * (1.0 - depth))  # 1 when parallel, else 1/z, never 0/0
    pixels = (camera_points[..., :2] * scale[..., None]) * _focal(intrinsics) + _principal(intrinsics)
    return pixels, depth


def pixel_rays(pixels: Array, world_to_camera: Array, intrinsics: Array, parallel: Array) -> tuple[Array, Array]:
    """The line of sight through each pixel position, in the world.

    Args:
        pixels: (..., N, 2) as (u, v); pixel centres at +0.5.
        world_to_camera: (..., 4, 4); may be any invertible affine map, as after augmentation.
        intrinsics: (..., 3, 3) pixels.
        parallel: bool or 0/1 array that broadcasts against (..., 1), true for parallel projection.

    Returns:
        start (..., N, 3), the point of the line at camera z = 0 (parallel) or the camera's centre (perspective), and
        direction (..., N, 3), of unit length. Under parallel projection the point at depth z is start + z direction
        for a rigid pose; under perspective it is start + (z / cos) direction.

    Source: Take-A-Photo, section 3.3, equations 5 and 6: the columns of the inverse rotation span the image and the line.
    """
    namespace = np if isinstance(pixels, np.ndarray) else sys.modules["torch"]
    linear = world_to_camera[..., :3, :3]
    inverse = namespace.linalg.inv(linear)
    plane = (pixels - _principal(intrinsics)) / _focal(intrinsics)
    flat = (parallel * 1.0)[..., None] if hasattr(parallel, "shape") else parallel * 1.0
    zero = plane[..., :1] * 0.0
    start_camera = namespace.concatenate([plane * flat, zero], -1)
    direction_camera = namespace.concatenate([plane * (1.0 - flat), zero + 1.0], -1)
    start = (start_camera - world_to_camera[..., None, :3, 3]) @ _transposed(inverse)
    direction = direction_camera @ _transposed(inverse)
    return start, direction / (direction**2).sum(-1)[..., None] ** 0.5


def nearest_to_origin(start: Array, direction: Array) -> Array:
    """The point of each line that is nearest to the world origin, (..., N, 3).

    Args:
        start: (..., N, 3) any point of the line.
        direction: (..., N, 3) unit length.

    Source: Take-A-Photo, equation 6: the term A[:, :2] (x', y') is this point whenever the pose is a rotation.
    """
    return start - (start * direction).sum(-1)[..., None] * direction


def pixel_centers(image_size: int) -> npt.NDArray[np.float32]:
    """The centres of all pixels, row by row: (H W, 2) float32 as (u, v)."""
    return cell_centers(image_size, image_size)


def cell_centers(image_size: int, num_cells: int) -> npt.NDArray[np.float32]:
    """The centres of a square grid of cells that covers the image, row by row.

    Args:
        image_size: side of the image in pixels.
        num_cells: cells along a side.

    Returns:
        (num_cells * num_cells, 2) float32 as (u, v) in pixels.
    """
    along = (np.arange(num_cells, dtype=np.float32) + 0.5) * np.float32(image_size / num_cells)
    u, v = np.meshgrid(along, along)
    return np.stack([u.ravel(), v.ravel()], axis=-1)


def _unit(vectors: FloatArray) -> FloatArray:
    length: FloatArray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / length


def _transposed(matrix: Array) -> Array:
    return matrix.swapaxes(-1, -2)


def _focal(intrinsics: Array) -> Array:
    diagonal = [0, 1]
    return intrinsics[..., diagonal, diagonal][..., None, :]


def _principal(intrinsics: Array) -> Array:
    return intrinsics[..., None, :2, 2]
