"""Sampling points with normals from the surface of a mesh."""

import hashlib

import numpy as np
import numpy.typing as npt

from render.mesh import Mesh
from render.normalization import face_normals


def generator_for(seed: int, key: str) -> np.random.Generator:
    """The random generator of one sample: the same for the same (seed, key), whoever asks and when."""
    digest = hashlib.sha256(key.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def sample_surface(
    mesh: Mesh, face_areas: npt.NDArray[np.float64], num_points: int, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Points drawn uniformly by area, each with the unit normal of its face by winding.

    Args:
        mesh: world frame, F faces.
        face_areas: (F,) float64, at least one above 0.
        num_points: how many.
        generator: where the randomness comes from.

    Returns:
        (num_points, 6) float32: xyz and unit normal, in random order.
    """
    edges = np.cumsum(face_areas)
    chosen = np.searchsorted(edges, generator.random(num_points) * edges[-1], side="right")
    # Rounding may land on the very end; faces without area are never chosen otherwise.
    chosen = np.minimum(chosen, np.flatnonzero(face_areas > 0)[-1])
    # A uniform point of a triangle: fold the unit square along its diagonal.
    r, s = generator.random((2, num_points))
    folded = r + s > 1
    r, s = np.where(folded, 1 - r, r)[:, None], np.where(folded, 1 - s, s)[:, None]
    faces = mesh.faces[chosen]
    corner = mesh.vertices[faces[:, 0]]
    points = corner + r * (mesh.vertices[faces[:, 1]] - corner) + s * (mesh.vertices[faces[:, 2]] - corner)
    return np.concatenate([points, face_normals(mesh.vertices, faces)], axis=1).astype(np.float32)
