"""Further images of each view: depth, normals and part labels, exact at the pixel centres."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from render.camera import Cameras
from render.config import Channel
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh
from render.normalization import face_normals
from render.shading.barycentrics import band_weights, geometry_of, oversampling, to_camera_frame
from render.shading.shade_config import ShadeConfig
from render.shading.smooth_normals import band_normals, corner_normals

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_DEPTH_STEPS = 65534  # values 1 to 65535; 0 is empty
_MAX_PART = 65534


def channel_images(
    mesh: Mesh, cameras: Cameras, fragments: Fragments, channels: Sequence[Channel], config: ShadeConfig
) -> tuple[dict[str, Image], dict[str, Any]]:
    """The channels of each view, and what one needs to read them.

    Args:
        mesh: world frame.
        cameras: V views, H pixels a side.
        fragments: (V, H, W), or three times finer for antialiased views: the centres' are taken.
        channels: which.
        config: the normals, flat or smooth, that the views were shaded with.

    Returns:
        Images by channel, and numbers for JSON by channel, both in the order of ``channels``:
        ``depth`` (V, H, W) uint16, 0 where empty, else z = offset + (value - 1) scale in world units along the camera's
        axis, at most half a step off; numbers ``offset`` and ``scale``.
        ``normal`` (V, H, W, 3) uint8, world frame, unit, turned to the camera: n = value / 127.5 - 1; 0, 0, 0 where empty.
        ``part`` (V, H, W) uint16, the face's label + 1; 0 where empty or unlabelled.

    Raises:
        RenderError: an unknown channel, a part label beyond 65534, or fragments that do not fit the cameras.
    """
    factor = oversampling(cameras, fragments)
    middle = slice(factor // 2, None, factor)
    face = np.ascontiguousarray(fragments.face[:, middle, middle], np.int32)
    images: dict[str, Image] = {}
    numbers: dict[str, Any] = {}
    for channel in channels:
        if channel == "depth":
            images[channel], numbers[channel] = _depth(face, fragments.depth[:, middle, middle])
        elif channel == "normal":
            images[channel] = _normal(mesh, cameras, face, config)
        elif channel == "part":
            images[channel] = _part(mesh, face)
        else:
            raise RenderError(f"channel {channel!r} is not one of depth, normal, part")
    return images, numbers


def _depth(
    face: npt.NDArray[np.int32], depth: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint16], dict[str, float]]:
    covered = face >= 0
    values = np.zeros(face.shape, np.uint16)
    if not covered.any():
        return values, {"offset": 0.0, "scale": 1.0}
    seen = depth[covered].astype(np.float64)
    offset, extent = float(seen.min()), float(seen.max() - seen.min())
    scale = extent / _DEPTH_STEPS or 1.0  # all at one depth
    values[covered] = 1 + np.clip(np.rint((seen - offset) / scale), 0, _DEPTH_STEPS).astype(np.uint16)
    return values, {"offset": offset, "scale": scale}


def _part(mesh: Mesh, face: npt.NDArray[np.int32]) -> npt.NDArray[np.uint16]:
    if mesh.part is None:
        return np.zeros(face.shape, np.uint16)
    if mesh.part.shape != (len(mesh.faces),):
        raise RenderError(f"mesh: part is {mesh.part.shape}, its faces need ({len(mesh.faces)},)")
    lowest, highest = int(mesh.part.min()), int(mesh.part.max())
    if lowest < -1 or highest > _MAX_PART:
        wrong = lowest if lowest < -1 else highest
        raise RenderError(f"mesh: part label {wrong} is not one of 0 to {_MAX_PART}, or -1 for none")
    # The last entry serves empty pixels, whose face is -1.
    table = np.append(mesh.part.astype(np.int64) + 1, 0).astype(np.uint16)
    values: npt.NDArray[np.uint16] = table[face]
    return values


def _normal(mesh: Mesh, cameras: Cameras, face: npt.NDArray[np.int32], config: ShadeConfig) -> npt.NDArray[np.uint8]:
    is_smooth = config.normals == "smooth"
    blended = corner_normals(mesh, config.crease_angle) if is_smooth else np.empty((0, 3, 3), np.float32)
    out = np.empty((*face.shape, 3), np.uint8)
    _fill_normals(geometry_of(mesh, cameras, 1), face_normals(mesh.vertices, mesh.faces), blended, face, out)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_normals(geometry, normals, blended, face, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (V, H, W, 3) with the normals that shade each pixel."""
    camera = np.empty_like(geometry.vertices)
    weights, turned = np.zeros((*face.shape[1:], 3), np.float32), np.zeros((*face.shape[1:], 3), np.float32)
    for view in range(len(face)):
        if len(blended) > 0:
            to_camera_frame(geometry, view, camera)
            band_weights(geometry, view, 0, face[view], camera, weights)
        band_normals(geometry, view, face[view], weights, normals, blended, turned)
        for row in range(face.shape[1]):
            for column in range(face.shape[2]):
                for axis in range(3):
                    value = int(np.rint((turned[row, column, axis] + np.float32(1.0)) * np.float32(127.5)))
                    out[view, row, column, axis] = value if face[view, row, column] >= 0 else 0
