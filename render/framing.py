"""Framing: one scale for all views of an object, so that its largest view spans the frame."""

import dataclasses

import numpy as np
import numpy.typing as npt

from render.camera import Cameras, project
from render.errors import RenderError
from render.viewpoint import SPHERE_FILL

_CHUNK = 1 << 15  # vertices at a time: what a step needs stays in the cache, however large the mesh
_NEAREST = 1e-5  # share of the farthest depth; the rasterizers clip what is nearer


def fit_cameras(cameras: Cameras, vertices: npt.NDArray[np.float64]) -> Cameras:
    """The cameras with fx and fy of all views multiplied by one factor, so that the largest view spans 200/224 of the frame.

    Args:
        cameras: V cameras.
        vertices: (N, 3) float64 world; only those that faces use, as `render.normalization.normalize` leaves them.

    Returns:
        Cameras with the same poses and principal points. Over all views and vertices, the largest distance from the
        principal point along u or v is 200/224 of half the image.

    Raises:
        RenderError: a vertex lies behind a perspective camera or at it, or all vertices fall on the principal points.
    """
    largest = max(
        _largest_offset(vertices, pose, intrinsics, cameras.projection == "parallel", view)
        for view, (pose, intrinsics) in enumerate(
            zip(cameras.world_to_camera.astype(np.float64), cameras.intrinsics.astype(np.float64), strict=True)
        )
    )
    if not (np.isfinite(largest) and largest > 0):
        raise RenderError(
            f"fit: the object spans {largest:g} pixels in its largest view; it cannot be scaled to the frame"
        )
    intrinsics = cameras.intrinsics.astype(np.float64)
    intrinsics[:, [0, 1], [0, 1]] *= SPHERE_FILL * cameras.image_size / 2 / largest
    return dataclasses.replace(cameras, intrinsics=intrinsics.astype(np.float32))


def _largest_offset(
    vertices: npt.NDArray[np.float64],
    pose: npt.NDArray[np.float64],
    intrinsics: npt.NDArray[np.float64],
    parallel: bool,
    view: int,
) -> float:
    """The largest |u - cx| or |v - cy| of one view, in pixels."""
    largest, nearest, farthest = 0.0, np.inf, -np.inf
    for start in range(0, len(vertices), _CHUNK):
        with np.errstate(divide="ignore", invalid="ignore"):  # depth 0 is told below
            pixels, depth = project(vertices[start : start + _CHUNK], pose, intrinsics, parallel)
        # numpy's, because Python's max would pass over a NaN
        largest = float(np.maximum(largest, np.abs(pixels - intrinsics[:2, 2]).max()))
        nearest = float(np.minimum(nearest, depth.min()))
        farthest = float(np.maximum(farthest, depth.max()))
    if not parallel and not nearest > _NEAREST * farthest:
        raise RenderError(
            f"fit: the object reaches behind camera {view} (depth {nearest:.3g}); move the rig's cameras away from it, "
            "or use --fit sphere"
        )
    return largest
