"""Where on its face the line of sight through a pixel centre ends, as weights of the three corners.

The compiled loops of shading and channels take the weights of a few rows at a time, so that no array of all weights need
exist; `barycentrics` fills one for everybody else.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh


class Geometry(NamedTuple):
    """What compiled loops need of a mesh and its cameras, contiguous.

    Attributes:
        vertices: (N, 3) float64, world.
        faces: (F, 3) int64.
        pose: (V, 3, 4) float64 world to camera.
        intrinsics: (V, 3, 3) float64, pixels of the fragments.
        eye: (V, 3) float64, world; parallel: the unit direction toward the camera; perspective: the camera's centre.
        parallel: which of the two.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    pose: npt.NDArray[np.float64]
    intrinsics: npt.NDArray[np.float64]
    eye: npt.NDArray[np.float64]
    parallel: bool


def barycentrics(mesh: Mesh, cameras: Cameras, fragments: Fragments) -> npt.NDArray[np.float32]:
    """Perspective-correct weights of the corners of each pixel's face.

    Args:
        mesh: world frame.
        cameras: those that the fragments were drawn with, V views of H pixels a side.
        fragments: (V, H, W).

    Returns:
        (V, H, W, 3) float32, at least 0 and of sum 1, where the line of sight through the pixel centre meets the face's
        plane (nearest to there, for a centre that lies a hair outside); 0 where empty.

    Raises:
        RenderError: the fragments have another size than the cameras.
    """
    if oversampling(cameras, fragments) != 1:
        raise RenderError(
            f"barycentrics: fragments of {fragments.face.shape[1]} pixels and cameras of {cameras.image_size}; give the "
            "cameras that the fragments were drawn with"
        )
    weights = np.empty((*fragments.face.shape, 3), np.float32)
    _fill(geometry_of(mesh, cameras, 1), np.ascontiguousarray(fragments.face), weights)
    return weights


def oversampling(cameras: Cameras, fragments: Fragments) -> int:
    """How many pixels of the fragments lie along a side of a pixel of the cameras: odd, so that one is the centre.

    Raises:
        RenderError: the sizes or the numbers of views do not fit.
    """
    shape, size = fragments.face.shape, cameras.image_size
    factor: int = shape[-1] // size
    if shape != (cameras.num_views, factor * size, factor * size) or factor % 2 == 0:
        raise RenderError(
            f"fragments {shape}: cameras of {cameras.num_views} views and {size} pixels need as many views and one pixel, "
            "or an odd number, for each"
        )
    return factor


def geometry_of(mesh: Mesh, cameras: Cameras, factor: int) -> Geometry:
    """Mesh and cameras as compiled loops take them, the cameras with ``factor`` pixels where there was one a side."""
    pose = np.ascontiguousarray(cameras.world_to_camera[:, :3], np.float64)
    rotation = pose[:, :, :3]
    parallel = cameras.projection == "parallel"
    eye = -rotation[:, 2] if parallel else -np.einsum("vji,vj->vi", rotation, pose[:, :, 3])
    return Geometry(
        vertices=np.ascontiguousarray(mesh.vertices, np.float64),
        faces=np.ascontiguousarray(mesh.faces, np.int64),
        pose=pose,
        intrinsics=cameras.intrinsics.astype(np.float64) * np.array([[factor], [factor], [1.0]]),
        eye=np.ascontiguousarray(eye),
        parallel=parallel,
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _fill(geometry, face, out):  # type: ignore[no-untyped-def]
    camera = np.empty_like(geometry.vertices)
    for view in range(len(face)):
        to_camera_frame(geometry, view, camera)
        band_weights(geometry, view, 0, face[view], camera, out[view])


@njit(nogil=True, cache=True, error_model="numpy")
def band_weights(geometry, view, first, face, camera, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (rows, W, 3) with the weights of some rows of a view; 0 where empty.

    Args:
        geometry: mesh and cameras.
        view: which camera.
        first: the row of the view that ``face`` begins with.
        face: (rows, W) int32.
        camera: (N, 3) the vertices in that camera's frame.
        out: (rows, W, 3) float32.
    """
    faces, parallel = geometry.faces, geometry.parallel
    weights = np.empty((3, 3), np.float64)
    center_x, center_y = geometry.intrinsics[view, 0, 2], geometry.intrinsics[view, 1, 2]
    step_x, step_y = 1.0 / geometry.intrinsics[view, 0, 0], 1.0 / geometry.intrinsics[view, 1, 1]
    current = -1
    for row in range(face.shape[0]):
        y = (first + row + 0.5 - center_y) * step_y
        for column in range(face.shape[1]):
            index = face[row, column]
            if index < 0:
                out[row, column, 0], out[row, column, 1], out[row, column, 2] = 0.0, 0.0, 0.0
                continue
            if index != current:
                corner_weights(camera, faces, index, parallel, weights)
                current = index
            w0, w1, w2 = _pixel_weights(weights, (column + 0.5 - center_x) * step_x, y, parallel)
            out[row, column, 0], out[row, column, 1], out[row, column, 2] = w0, w1, w2


@njit(nogil=True, cache=True, error_model="numpy")
def to_camera_frame(geometry, view, camera):  # type: ignore[no-untyped-def]
    """Fill ``camera`` (N, 3) with the vertices in the frame of one camera."""
    pose = geometry.pose[view]
    for i in range(len(camera)):
        x, y, z = geometry.vertices[i, 0], geometry.vertices[i, 1], geometry.vertices[i, 2]
        for axis in range(3):
            camera[i, axis] = pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2] * z + pose[axis, 3]


@njit(nogil=True, cache=True, error_model="numpy")
def corner_weights(camera, faces, index, parallel, weights):  # type: ignore[no-untyped-def]
    """Fill ``weights`` (3, 3): each corner's as a linear function of the sensor position (x, y, 1), positive inside.

    Parallel rays meet the plane at (x, y): signed areas, of sum 1. Perspective rays (x, y, 1) t: volumes spanned with the
    two other corners, whose sum varies over the face.
    """
    a = faces[index, 0]
    for k in range(3):
        i, j = faces[index, (k + 1) % 3], faces[index, (k + 2) % 3]
        px, py, pz = camera[i, 0], camera[i, 1], camera[i, 2]
        qx, qy, qz = camera[j, 0], camera[j, 1], camera[j, 2]
        if parallel:
            weights[k, 0], weights[k, 1] = py - qy, qx - px
        else:
            weights[k, 0], weights[k, 1] = py * qz - pz * qy, pz * qx - px * qz
        weights[k, 2] = px * qy - py * qx
    z = 1.0 if parallel else camera[a, 2]
    scale = (
        weights[0, 0] * camera[a, 0] + weights[0, 1] * camera[a, 1] + weights[0, 2] * z
    )  # at a corner: its full weight
    if scale != 0.0:
        scale = 1.0 / scale if parallel else np.sign(scale)
        for k in range(3):
            for axis in range(3):
                weights[k, axis] *= scale


@njit(nogil=True, cache=True, error_model="numpy")
def _pixel_weights(weights, x, y, parallel):  # type: ignore[no-untyped-def]
    """The three weights at one sensor position: at least 0, of sum 1."""
    w0 = weights[0, 0] * x + weights[0, 1] * y + weights[0, 2]
    w1 = weights[1, 0] * x + weights[1, 1] * y + weights[1, 2]
    w2 = weights[2, 0] * x + weights[2, 1] * y + weights[2, 2]
    total = w0 + w1 + w2
    if parallel and w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0 and total > 0.5:  # it is 1 by construction
        return w0, w1, w2
    w0, w1, w2 = max(w0, 0.0), max(w1, 0.0), max(w2, 0.0)
    total = w0 + w1 + w2
    if not 0.0 < total < 1e300:  # seen edge-on
        return 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0
    return w0 / total, w1 / total, w2 / total
