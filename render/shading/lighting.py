"""How much light reaches a surface: ambient and diffuse, from a head light or from lights at infinity."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from render.camera import Cameras
from render.shading.shade_config import ShadeConfig


class Lighting(NamedTuple):
    """The lights of every view, as compiled loops take them.

    Attributes:
        toward: (V, L, 3) float64 unit directions toward the lights, world; L is 0 for the head light.
        intensity: (L,) float64.
        ambient: share of light that reaches every face.
        diffuse: share of light by the angle.
    """

    toward: npt.NDArray[np.float64]
    intensity: npt.NDArray[np.float64]
    ambient: float
    diffuse: float


def lighting_of(cameras: Cameras, config: ShadeConfig) -> Lighting:
    """The lights of a config as each camera sees them."""
    toward = np.empty((cameras.num_views, len(config.lights), 3), np.float64)
    rotation = cameras.world_to_camera[:, :3, :3].astype(np.float64)
    for i, light in enumerate(config.lights):
        direction = np.array(light.direction) / np.linalg.norm(light.direction)
        toward[:, i] = direction @ rotation if light.frame == "camera" else direction
    intensity = np.array([light.intensity for light in config.lights], np.float64)
    return Lighting(toward, intensity, config.ambient, config.diffuse)


@njit(nogil=True, cache=True, error_model="numpy")
def face_light(geometry, lighting, normals, view, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (F,) with the light on each flat face in one view, 0..1, whichever side is seen.

    The head light shines along the camera's axis, under perspective too: faces of one plane then have one grey, whichever
    of them a rasterizer shows where they overlap.
    """
    vertices, faces, parallel, pose = geometry.vertices, geometry.faces, geometry.parallel, geometry.pose[view]
    ambient, diffuse, toward, intensity = lighting.ambient, lighting.diffuse, lighting.toward, lighting.intensity
    ex, ey, ez = geometry.eye[view, 0], geometry.eye[view, 1], geometry.eye[view, 2]
    for f in range(len(faces)):
        x, y, z = ex, ey, ez
        if not parallel:
            corner = faces[f, 0]
            x, y, z = x - vertices[corner, 0], y - vertices[corner, 1], z - vertices[corner, 2]
        turn = -1.0 if normals[f, 0] * x + normals[f, 1] * y + normals[f, 2] * z < 0.0 else 1.0
        x, y, z = turn * normals[f, 0], turn * normals[f, 1], turn * normals[f, 2]
        if len(intensity) > 0:
            total = _sum(toward, intensity, view, x, y, z)
        else:
            total = min(max(-(pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z), 0.0), 1.0)
        out[f] = min(ambient + diffuse * total, 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def band_light(geometry, lighting, view, first, face, normals, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (rows, W) with the light on each pixel of some rows of a view, 0..1; left as it is where empty.

    Args:
        geometry: mesh and cameras.
        lighting: the lights.
        view: which camera.
        first: the row of the view that ``face`` begins with.
        face: (rows, W) int32.
        normals: (rows, W, 3) float32 unit, world, turned to the camera.
        out: (rows, W) float64.
    """
    ambient, diffuse, toward, intensity = lighting.ambient, lighting.diffuse, lighting.toward, lighting.intensity
    pose = geometry.pose[view]
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            if face[row, column] < 0:
                continue
            x, y, z = float(normals[row, column, 0]), float(normals[row, column, 1]), float(normals[row, column, 2])
            if len(intensity) > 0:
                total = _sum(toward, intensity, view, x, y, z)
            else:
                # Near a silhouette a blended normal may look away from the camera: dark there, not bright again.
                total = min(max(-(pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z), 0.0), 1.0)
            out[row, column] = min(ambient + diffuse * total, 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _sum(toward, intensity, view, x, y, z):  # type: ignore[no-untyped-def]
    """The lights at infinity on a surface with unit normal (x, y, z) on its visible side."""
    total = 0.0
    for i in range(len(intensity)):
        cosine = x * toward[view, i, 0] + y * toward[view, i, 1] + z * toward[view, i, 2]
        total += max(cosine, 0.0) * intensity[i]
    return total
