"""Bringing a mesh into the world frame: +z up, centroid at the origin, unit radius. And the way back."""

import dataclasses

import numpy as np
import numpy.typing as npt
from numba import njit

from render.config import Normalization, UpAxis
from render.duplicates import first_copies
from render.errors import RenderError
from render.mesh import Mesh

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
        face_areas: (F,) float64, square world units; 0 for degenerate faces and for those that repeat an earlier one.
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
        Normalized; vertices that no face uses are gone and have no say in centroid and scale. A face that occurs again, in
        either orientation, has no area after its first time (ShapeNet doubles many), and so no say either.

    Raises:
        RenderError: the surface has no extent, no area, or is too large for float64.
    """
    vertices, faces = _in_use(mesh.vertices, mesh.faces)
    rotation = UP_ROTATIONS[up]
    # Work about the middle of the box and in its size: 1e-8 and 1e8 are then the same object.
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    middle, extent = low / 2 + high / 2, 2.0 * float((high / 2 - low / 2).max())
    if not (np.isfinite(extent) and extent > 0):
        raise RenderError(f"{where}: the mesh has no extent" if extent == 0 else f"{where}: coordinates overflow")
    relative = (vertices - middle) / extent
    areas = np.where(first_copies(vertices, faces), face_areas(relative, faces), 0.0)
    total, moment = _moments(relative, faces, areas)
    if not total > 0:
        raise RenderError(f"{where}: the surface has no area (every face is degenerate)")
    if how == "none":
        largest = float(np.abs(vertices).max())
        if not (extent > 1 / _LARGEST_UNIT and largest < _LARGEST_UNIT / 2):
            raise RenderError(
                f"{where}: {extent:.3g} wide and up to {largest:.3g} from its origin, beyond float32's reach without "
                "normalisation; use --normalize sphere"
            )
        kept = dataclasses.replace(mesh, vertices=np.ascontiguousarray(vertices @ rotation.T), faces=faces)
        return Normalized(kept, np.zeros(3), 1.0, areas * extent**2)
    centroid = moment / total
    centered = relative - centroid
    radius = float(np.sqrt(np.einsum("ij,ij->i", centered, centered).max()))
    world = dataclasses.replace(mesh, vertices=np.ascontiguousarray((centered / radius) @ rotation.T), faces=faces)
    return Normalized(world, rotation @ (middle + centroid * extent), radius * extent, areas / radius**2)


def face_areas(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The area of each face, (F,) float64, square units."""
    areas = np.empty(len(faces), np.float64)
    _areas(np.ascontiguousarray(vertices), np.ascontiguousarray(faces), areas)
    return areas


def face_normals(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The unit normal of each face by its winding, (F, 3) float64; 0 for a degenerate face."""
    normals = np.empty((len(faces), 3), np.float64)
    _normals(np.ascontiguousarray(vertices), np.ascontiguousarray(faces), normals)
    return normals


def _in_use(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The vertices that a face uses, in their order, and the faces by their new numbers."""
    number = np.zeros(len(vertices), np.int64)
    num_used = _number_used(faces, number)
    if num_used == len(vertices):
        return np.ascontiguousarray(vertices), np.ascontiguousarray(faces)
    return np.ascontiguousarray(vertices[number >= 0]), number[faces]


@njit(nogil=True, cache=True, error_model="numpy")
def _number_used(faces, number):  # type: ignore[no-untyped-def]
    """How many vertices are used; ``number`` (N,) gets their new numbers, -1 for the others."""
    for face in range(len(faces)):
        for corner in range(3):
            number[faces[face, corner]] = 1
    count = 0
    for vertex in range(len(number)):
        if number[vertex] == 1:
            number[vertex] = count
            count += 1
        else:
            number[vertex] = -1
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def _cross(vertices, a, b, c):  # type: ignore[no-untyped-def]
    """The cross product of two sides, and its length."""
    px, py, pz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    qx, qy, qz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    x, y, z = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
    return x, y, z, np.sqrt(x * x + y * y + z * z)


@njit(nogil=True, cache=True, error_model="numpy")
def _areas(vertices, faces, areas):  # type: ignore[no-untyped-def]
    for face in range(len(faces)):
        areas[face] = _cross(vertices, faces[face, 0], faces[face, 1], faces[face, 2])[3] / 2


@njit(nogil=True, cache=True, error_model="numpy")
def _normals(vertices, faces, normals):  # type: ignore[no-untyped-def]
    for face in range(len(faces)):
        x, y, z, length = _cross(vertices, faces[face, 0], faces[face, 1], faces[face, 2])
        if length > 0:
            normals[face, 0], normals[face, 1], normals[face, 2] = x / length, y / length, z / length
        else:
            normals[face] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _moments(vertices, faces, areas):  # type: ignore[no-untyped-def]
    """(the sum of the areas, the sum of the faces' centroids weighted by area); summed in the faces' order."""
    total, moment = 0.0, np.zeros(3, np.float64)
    for face in range(len(faces)):
        a, b, c, area = faces[face, 0], faces[face, 1], faces[face, 2], areas[face]
        total += area
        for axis in range(3):
            moment[axis] += area * ((vertices[a, axis] + vertices[b, axis] + vertices[c, axis]) / 3)
    return total, moment
