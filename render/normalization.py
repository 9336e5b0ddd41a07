"""Bringing a mesh into the world frame: +z up, centroid at the origin, unit radius. And the way back."""

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.mesh import Mesh

UpAxis = Literal["y", "z"]
Normalization = Literal["sphere", "none"]
# Views and points are float32: world units beyond this would overflow when squared, or vanish.
_LARGEST_UNIT = 1e15
# Rows are the world axes in file coordinates: a quarter turn about x brings +y up to +z.
UP_ROTATIONS: dict[str, npt.NDArray[np.float64]] = {
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "z": np.eye(3),
}


@dataclasses.dataclass(frozen=True)
class Normalized:
    """A mesh in the world frame and how it came there: turned = scale * world + center, turned = U @ file.

    Attributes:
        mesh: only vertices in use, world frame.
        center: (3,) float64, the surface's area-weighted centroid in file units, after +z was turned up (0 for ``none``).
        scale: file units in a world unit (1 for ``none``).
        face_areas: (F,) float64, square world units; some may be 0, not all.
    """

    mesh: Mesh
    center: npt.NDArray[np.float64]
    scale: float
    face_areas: npt.NDArray[np.float64]


def normalize(mesh: Mesh, up: UpAxis = "z", how: Normalization = "sphere", where: str = "mesh") -> Normalized:
    """The mesh with +z up, its surface's centroid at the origin, and its farthest vertex at distance 1.

    Args:
        mesh: file coordinates.
        up: the file's up axis.
        how: ``sphere``, or ``none`` to keep the file's origin and units (the up axis still turns to +z).
        where: the source, for messages.

    Returns:
        Normalized; vertices that no face uses are gone and have no say in centroid and scale.

    Raises:
        RenderError: the surface has no extent, no area, or is too large for float64.
    """
    used, compact = np.unique(mesh.faces, return_inverse=True)
    faces = compact.reshape(mesh.faces.shape).astype(np.int64)
    vertices = mesh.vertices[used]
    rotation = UP_ROTATIONS[up]
    # Work about the middle of the box and in its size: 1e-8 and 1e8 are then the same object.
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    middle, extent = low / 2 + high / 2, 2.0 * float((high / 2 - low / 2).max())
    if not (np.isfinite(extent) and extent > 0):
        raise RenderError(f"{where}: the mesh has no extent" if extent == 0 else f"{where}: coordinates overflow")
    relative = (vertices - middle) / extent
    areas, centroids = face_areas(relative, faces), relative[faces].mean(axis=1)
    if not areas.sum() > 0:
        raise RenderError(f"{where}: the surface has no area (every face is degenerate)")
    if how == "none":
        largest = float(np.abs(vertices).max())
        if not (extent > 1 / _LARGEST_UNIT and largest < _LARGEST_UNIT / 2):
            raise RenderError(
                f"{where}: {extent:.3g} wide and up to {largest:.3g} from its origin, beyond float32's reach without "
                "normalisation; use --normalize sphere"
            )
        kept = Mesh(np.ascontiguousarray(vertices @ rotation.T), faces)
        return Normalized(kept, np.zeros(3), 1.0, areas * extent**2)
    centroid = (areas[:, None] * centroids).sum(axis=0) / areas.sum()
    centered = relative - centroid
    radius = float(np.linalg.norm(centered, axis=1).max())
    world = np.ascontiguousarray((centered / radius) @ rotation.T)
    return Normalized(Mesh(world, faces), rotation @ (middle + centroid * extent), radius * extent, areas / radius**2)


def face_areas(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The area of each face, (F,) float64, square units."""
    areas: npt.NDArray[np.float64] = np.linalg.norm(_face_crosses(vertices, faces), axis=1) / 2
    return areas


def face_normals(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The unit normal of each face by its winding, (F, 3) float64; 0 for a degenerate face."""
    crosses = _face_crosses(vertices, faces)
    length = np.linalg.norm(crosses, axis=1, keepdims=True)
    normals: npt.NDArray[np.float64] = np.divide(crosses, length, out=np.zeros_like(crosses), where=length > 0)
    return normals


def _face_crosses(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    corner = vertices[faces[:, 0]]
    crosses: npt.NDArray[np.float64] = np.cross(vertices[faces[:, 1]] - corner, vertices[faces[:, 2]] - corner)
    return crosses
