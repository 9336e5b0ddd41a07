"""Sampling points from the surface of a mesh, with the normals, colours and part labels of where they lie.

A sample is a place on a face, not a position: whatever else the mesh knows there follows from it. Samplers draw such places;
the functions below them look up what is there.
"""

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

from render.errors import RenderError
from render.farthest import farthest_subset
from render.mesh import Mesh
from render.poisson import poisson_subset
from render.shading.albedo import PLAIN_GREY
from render.shading.texture_lookup import texture_colors

OVERSAMPLING = 4  # points that Poisson-disk and farthest point sampling start from, as multiples of those they keep
NO_PART = -1


@dataclasses.dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Places on the surface of a mesh.

    Attributes:
        face: (P,) int64.
        weights: (P, 3) float64, at least 0, the barycentrics of the face's corners; they sum to 1.
    """

    face: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


class Sampler(Protocol):
    """Draws places on a surface; equal input gives equal output."""

    def __call__(
        self, mesh: Mesh, face_areas: npt.NDArray[np.float64], num_points: int, generator: np.random.Generator, /
    ) -> SurfacePoints:
        """Exactly num_points places on the faces with an area above 0. Raises RenderError when no face has any."""
        ...


def area_points(
    mesh: Mesh, face_areas: npt.NDArray[np.float64], num_points: int, generator: np.random.Generator
) -> SurfacePoints:
    """Places drawn independently and uniformly by area, in random order.

    Args:
        mesh: world frame, F faces.
        face_areas: (F,) float64, finite, at least 0, one above; a face with 0 is never drawn.
        num_points: P.
        generator: where the randomness comes from; the first places are the same for every P.

    Raises:
        RenderError: no face has an area.
    """
    edges = np.cumsum(face_areas)
    if not (len(edges) and 0 < edges[-1] < np.inf):
        raise RenderError(f"sample: none of the mesh's {len(face_areas)} faces has an area; there is nothing to sample")
    faces, weights = np.empty(num_points, np.int64), np.empty((num_points, 3), np.float64)
    last = int(np.flatnonzero(face_areas)[-1])
    _draw(edges, last, generator.random((num_points, 3)), faces, weights)
    return SurfacePoints(faces, weights)


def poisson_points(
    mesh: Mesh, face_areas: npt.NDArray[np.float64], num_points: int, generator: np.random.Generator
) -> SurfacePoints:
    """Places that keep about the same distance from each other, thinned from four times as many `area_points`.

    Args, Raises: as `area_points`; RenderError also when Open3D does not import.

    Source: Take-A-Photo's clouds (Poisson-disk sampling of the mesh by Open3D, init factor 4).
    """
    many = area_points(mesh, face_areas, OVERSAMPLING * num_points, generator)
    kept = poisson_subset(positions(mesh, many), float(face_areas.sum()), num_points)
    return SurfacePoints(many.face[kept], many.weights[kept])


def farthest_points(
    mesh: Mesh, face_areas: npt.NDArray[np.float64], num_points: int, generator: np.random.Generator
) -> SurfacePoints:
    """Places that cover the surface: farthest point sampling of four times as many `area_points`, in its order.

    Args, Raises: as `area_points`.
    """
    many = area_points(mesh, face_areas, OVERSAMPLING * num_points, generator)
    kept = farthest_subset(positions(mesh, many).astype(np.float32), num_points)
    return SurfacePoints(many.face[kept], many.weights[kept])


SAMPLERS: dict[str, Sampler] = {
    "area": area_points,
    "poisson": poisson_points,
    "farthest": farthest_points,
}


def sample_surface(
    mesh: Mesh, face_areas: npt.NDArray[np.float64], num_points: int, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Points drawn uniformly by area, each with the unit normal of its face: `points_with_normals` of `area_points`."""
    return points_with_normals(mesh, area_points(mesh, face_areas, num_points, generator))


def points_with_normals(mesh: Mesh, points: SurfacePoints) -> npt.NDArray[np.float32]:
    """Where the points lie, and the unit normals of their faces by winding.

    Args:
        mesh: the mesh that was sampled.
        points: P places on it.

    Returns:
        (P, 6) float32: xyz in the mesh's frame and units, and the normal; 0 for a face without any direction.
    """
    out = np.empty((len(points.face), 6), np.float32)
    _place_with_normals(mesh.vertices, mesh.faces, points.face, points.weights, out)
    return out


def positions(mesh: Mesh, points: SurfacePoints) -> npt.NDArray[np.float64]:
    """Where the points lie, (P, 3) float64 in the mesh's frame and units."""
    out = np.empty((len(points.face), 3), np.float64)
    _place(mesh.vertices, mesh.faces, points.face, points.weights, out)
    return out


def point_parts(mesh: Mesh, points: SurfacePoints) -> npt.NDArray[np.int32]:
    """The part label of each point's face, (P,) int32; -1 where the face, or all of the mesh, has none."""
    if mesh.part is None:
        return np.full(len(points.face), NO_PART, np.int32)
    return mesh.part[points.face].astype(np.int32)


def point_colors(mesh: Mesh, points: SurfacePoints) -> npt.NDArray[np.uint8]:
    """The unlit colour of the surface at each point.

    Args:
        mesh: the mesh that was sampled; without an appearance it is light grey (217).
        points: P places on it.

    Returns:
        (P, 3) uint8 sRGB: the material's colour, times its texture (bilinear, not filtered further), times the corners'
        colours; multiplied as stored, like the shader's.
    """
    look = mesh.appearance
    if look is None:
        return np.full((len(points.face), 3), PLAIN_GREY, np.uint8)
    material_of_point = look.face_material[points.face]  # (P,)
    plain = np.clip([material.color for material in look.materials], 0.0, 1.0)  # (M, 3)
    colors = plain[material_of_point]  # (P, 3)
    for index in np.unique(material_of_point):
        texture = look.materials[index].texture
        if texture is not None and look.corner_uv is not None:
            chosen = np.flatnonzero(material_of_point == index)
            corners = look.corner_uv[points.face[chosen]].astype(np.float64)  # (p, 3, 2)
            colors[chosen] *= texture_colors(texture, (points.weights[chosen, :, None] * corners).sum(axis=1))
    if look.corner_color is not None:
        corners = look.corner_color[points.face] / 255.0  # (P, 3, 3)
        colors *= (points.weights[:, :, None] * corners).sum(axis=1)
    rounded: npt.NDArray[np.uint8] = np.rint(colors * 255.0).astype(np.uint8)
    return rounded


@njit(nogil=True, cache=True, error_model="numpy")
def _draw(edges, last, numbers, faces, weights):  # type: ignore[no-untyped-def]
    """Turn three numbers of [0, 1) a point into a face, by area, and a place on it, uniformly.

    The cumulated areas are cut into as many equal cells as there are faces; a table tells where each begins, so that a face is
    found in about one step however many there are.
    """
    num_cells, total = len(edges), edges[-1]
    begin = np.empty(num_cells, np.int64)
    face = 0
    for cell in range(num_cells):
        while face < last and edges[face] <= total * (cell / num_cells):
            face += 1
        begin[cell] = face
    for i in range(len(numbers)):
        target = numbers[i, 0] * total
        face = begin[min(int(numbers[i, 0] * num_cells), num_cells - 1)]
        while face < last and edges[face] <= target:  # a face without area ends where it began, and is passed
            face += 1
        r, s = numbers[i, 1], numbers[i, 2]
        if r + s > 1.0:  # fold the unit square along its diagonal
            r, s = 1.0 - r, 1.0 - s
        faces[i] = face
        weights[i, 0], weights[i, 1], weights[i, 2] = max(1.0 - r - s, 0.0), r, s


@njit(nogil=True, cache=True, error_model="numpy")
def _place(vertices, faces, chosen, weights, out):  # type: ignore[no-untyped-def]
    for i in range(len(chosen)):
        a, b, c = faces[chosen[i], 0], faces[chosen[i], 1], faces[chosen[i], 2]
        for axis in range(3):
            out[i, axis] = (
                vertices[a, axis] * weights[i, 0]
                + vertices[b, axis] * weights[i, 1]
                + vertices[c, axis] * weights[i, 2]
            )


@njit(nogil=True, cache=True, error_model="numpy")
def _place_with_normals(vertices, faces, chosen, weights, out):  # type: ignore[no-untyped-def]
    _place(vertices, faces, chosen, weights, out)
    for i in range(len(chosen)):
        a, b, c = faces[chosen[i], 0], faces[chosen[i], 1], faces[chosen[i], 2]
        x, y, z = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        px, py, pz = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
        qx, qy, qz = vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z
        nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        largest = max(abs(nx), abs(ny), abs(nz))  # squares of a tiny face's would vanish
        if largest > 0.0:
            nx, ny, nz = nx / largest, ny / largest, nz / largest
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            nx, ny, nz = nx / length, ny / length, nz / length
        out[i, 3], out[i, 4], out[i, 5] = nx, ny, nz
