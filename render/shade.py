"""Shading: from fragments to grey views with an exact mask. Clay under a head light, as MVCNN's renderings."""

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

from render.camera import Cameras
from render.fragments import Fragments
from render.mesh import Mesh
from render.normalization import face_normals

SUPERSAMPLING = 3  # odd, so that the middle sample of a pixel is its centre, where alpha is decided


class ShadeConfig(BaseModel):
    """The material and light of the clay shader (MVCNN: ambient .3, diffuse .6, no specular, head light)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ambient: float = Field(0.3, ge=0, le=1, description="share of light that reaches every face")
    diffuse: float = Field(0.6, ge=0, le=1, description="share of light by the angle between normal and head light")


def shade_flat(mesh: Mesh, cameras: Cameras, fragments: Fragments, config: ShadeConfig) -> npt.NDArray[np.uint8]:
    """Grey views: each face in one grey, lit from the camera, two-sided, on white.

    Args:
        mesh: world frame, F faces.
        cameras: V views, H pixels a side.
        fragments: (V, H, W), or three times finer along each side for antialiased colour.
        config: light and material.

    Returns:
        (V, H, W, 2) uint8, straight grey and alpha. Alpha is 255 where the pixel's centre hits a face, else 0; grey is
        composited on white, so it is 255 where alpha is 0.

    Source: MVCNN's renderings; protocols: ambient .3, diffuse .6, specular 0.
    """
    table = face_greys(mesh, cameras, config)
    size = cameras.image_size
    out = np.empty((cameras.num_views, size, size, 2), np.uint8)
    _paint(fragments.face, table, fragments.face.shape[1] // size, out)
    return out


def face_greys(mesh: Mesh, cameras: Cameras, config: ShadeConfig) -> npt.NDArray[np.uint8]:
    """The grey of each face in each view, (V, F) uint8. Under perspective the light stands at the camera's centre."""
    normals = face_normals(mesh.vertices, mesh.faces)
    rotation = cameras.world_to_camera[:, :3, :3].astype(np.float64)
    if cameras.projection == "parallel":
        cosine = normals @ rotation[:, 2].T  # (F, V)
    else:
        centers = -np.einsum("vji,vj->vi", rotation, cameras.world_to_camera[:, :3, 3].astype(np.float64))
        to_light = centers[None] - mesh.vertices[mesh.faces].mean(axis=1)[:, None]  # (F, V, 3)
        cosine = np.einsum("fc,fvc->fv", normals, to_light) / np.maximum(np.linalg.norm(to_light, axis=2), 1e-300)
    # The normal is turned to the camera: duplicated and opposite faces then have one grey.
    light = config.ambient + config.diffuse * np.minimum(np.abs(cosine), 1.0)
    greys: npt.NDArray[np.uint8] = np.rint(np.minimum(light, 1.0) * 255).astype(np.uint8).T
    return np.ascontiguousarray(greys)


@njit(nogil=True, cache=True)
def _paint(face, table, factor, out):  # type: ignore[no-untyped-def]
    """Look up each pixel's grey; with factor > 1 average its samples over white where the centre is covered."""
    num_views, size = out.shape[0], out.shape[1]
    middle, samples = factor // 2, factor * factor
    for view in range(num_views):
        for row in range(size):
            for column in range(size):
                center = face[view, row * factor + middle, column * factor + middle]
                if center < 0:
                    out[view, row, column, 0], out[view, row, column, 1] = 255, 0
                    continue
                grey = int(table[view, center])
                if factor > 1:
                    total = 0
                    for i in range(factor):
                        for j in range(factor):
                            index = face[view, row * factor + i, column * factor + j]
                            total += 255 if index < 0 else int(table[view, index])
                    grey = (2 * total + samples) // (2 * samples)
                out[view, row, column, 0], out[view, row, column, 1] = grey, 255
