"""Framing: one scale for all views of an object, so that its largest view spans the frame."""

import dataclasses

import numpy as np
import numpy.typing as npt

from render.camera import Cameras, project
from render.errors import RenderError
from render.viewpoint import SPHERE_FILL

_CHUNK = 1 << 15  # vertices at a time: what a step needs stays in the cache, however large the mesh
_NEAREST = 1e-5  # share of the farthest depth; under perspective the rasterizers clip what is nearer
_SMALLEST = 1e-4  # share of the farthest depth; float32 tells a thousand depths in an object of that size


def fit_cameras(cameras: Cameras, vertices: npt.NDArray[np.float64]) -> Cameras:
    """The cameras with fx and fy of all views multiplied by one factor, so that the largest view spans 200/224 of the frame.

    Args:
        cameras: V cameras.
        vertices: (N, 3) float64 world; only those that faces use, as `render.normalization.normalize` leaves them.

    Returns:
        Cameras with the same poses and principal points. Over all views and vertices, the largest distance from the
        principal point along u or v is 200/224 of half the image.

    Raises:
        RenderError: a vertex lies behind a camera, or at one under perspective; all vertices fall on the principal points; or
            the object is so small where it stands that its depths would be one in float32.
    """
    measured = [
        _offset_and_depth(vertices, pose, intrinsics, cameras.projection == "parallel", view)
        for view, (pose, intrinsics) in enumerate(
            zip(cameras.world_to_camera.astype(np.float64), cameras.intrinsics.astype(np.float64), strict=True)
        )
    ]
    largest, farthest = np.max(measured, axis=0)
    if not (np.isfinite(largest) and largest > 0):
        raise RenderError(
            f"fit: the object spans {largest:g} pixels in its largest view; it cannot be scaled to the frame"
        )
    extent = float(np.ptp(vertices, axis=0).max())
    if extent < _SMALLEST * farthest:
        raise RenderError(
            f"fit: the object is {extent:.3g} wide and up to {farthest:.3g} from a camera, too small for depths in float32; "
            "use --normalize sphere"
        )
    intrinsics = cameras.intrinsics.astype(np.float64)
    intrinsics[:, [0, 1], [0, 1]] *= SPHERE_FILL * cameras.image_size / 2 / largest
    return dataclasses.replace(cameras, intrinsics=intrinsics.astype(np.float32))


def _offset_and_depth(
    vertices: npt.NDArray[np.float64],
    pose: npt.NDArray[np.float64],
    intrinsics: npt.NDArray[np.float64],
    parallel: bool,
    view: int,
) -> tuple[float, float]:
    """The largest |u - cx| or |v - cy| of one view, in pixels, and the farthest depth."""
    largest, nearest, farthest = 0.0, np.inf, -np.inf
    for start in range(0, len(vertices), _CHUNK):
        with np.errstate(divide="ignore", invalid="ignore"):  # depth 0 is told below
            pixels, depth = project(vertices[start : start + _CHUNK], pose, intrinsics, parallel)
        # numpy's, because Python's max would pass over a NaN
        largest = float(np.maximum(largest, np.abs(pixels - intrinsics[:2, 2]).max()))
        nearest = float(np.minimum(nearest, depth.min()))
        farthest = float(np.maximum(farthest, depth.max()))
    is_behind = nearest < 0 if parallel else not nearest > _NEAREST * farthest
    if is_behind:
        raise RenderError(
            f"fit: the object reaches behind camera {view} (depth {nearest:.3g}); use --normalize sphere, move the "
            "rig's cameras away from it, or use --fit sphere"
        )
    return largest, farthest
