"""Putting meshes into place: moved, turned, scaled, joined, refined, set on the ground. Each returns a new mesh."""

import numpy as np
import numpy.typing as npt

from render.mesh import Mesh

_AXES = "xyz"


def translated(mesh: Mesh, offset: npt.ArrayLike) -> Mesh:
    """The mesh moved by `offset` (3,)."""
    return Mesh(mesh.vertices + np.asarray(offset, np.float64), mesh.faces)


def rotated(mesh: Mesh, axis: str, degrees: float) -> Mesh:
    """The mesh turned about a coordinate axis through the origin, right-handed.

    Args:
        mesh: any mesh.
        axis: "x", "y" or "z".
        degrees: of a positive turn (about z: +x towards +y).
    """
    first = (_AXES.index(axis) + 1) % 3
    second = (first + 1) % 3
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    vertices = mesh.vertices.copy()
    vertices[:, first] = cosine * mesh.vertices[:, first] - sine * mesh.vertices[:, second]
    vertices[:, second] = sine * mesh.vertices[:, first] + cosine * mesh.vertices[:, second]
    return Mesh(vertices, mesh.faces)


def scaled(mesh: Mesh, factors: npt.ArrayLike) -> Mesh:
    """The mesh scaled about the origin by one factor or (3,); factors may be negative, faces stay outward."""
    factor = np.broadcast_to(np.asarray(factors, np.float64), 3)
    faces = mesh.faces[:, ::-1].copy() if np.prod(factor) < 0 else mesh.faces
    return Mesh(mesh.vertices * factor, faces)


def mirrored(mesh: Mesh, axis: str) -> Mesh:
    """The mesh together with its mirror image through the plane across `axis` ("x", "y" or "z")."""
    factors = np.ones(3)
    factors[_AXES.index(axis)] = -1
    return joined(mesh, scaled(mesh, factors))


def joined(*meshes: Mesh) -> Mesh:
    """All meshes as one: vertices and faces in the order given, nothing merged or cut."""
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    faces = [mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces).astype(np.int64))


def subdivided(mesh: Mesh) -> Mesh:
    """The same surface with every triangle cut into four at the middles of its edges; shared edges stay shared."""
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = inverse.reshape(-1, 3) + len(mesh.vertices)  # of edges 01, 12, 20
    a, b, c = mesh.faces.T
    ab, bc, ca = middle.T
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    faces = np.stack([np.stack(quarter, axis=1) for quarter in quarters], axis=1).reshape(-1, 3)
    return Mesh(np.concatenate([mesh.vertices, mesh.vertices[unique].mean(axis=1)]), faces.astype(np.int64))


def grounded(mesh: Mesh) -> Mesh:
    """The mesh moved so that its lowest point is at z = 0 and its bounding box is centred on the z axis."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return translated(mesh, (-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
