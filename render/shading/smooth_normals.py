"""Normals blended across soft edges so that a coarse mesh looks round.

Vertices are merged by position first, since files split them at seams. Winding is not trusted: it cannot be made
consistent in common sets of shapes, so neighbours are flipped to the side of the face that is shaded.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from render.duplicates import equal_positions
from render.mesh import Mesh
from render.normalization import face_normals

# A point shared by more faces blends nothing: the cost grows with the square, and faces so slim need no blending.
MAX_VALENCE = 256


def corner_normals(mesh: Mesh, crease_angle: float) -> npt.NDArray[np.float32]:
    """The blended unit normal at each corner of each face.

    Args:
        mesh: F faces, any winding.
        crease_angle: degrees; only faces whose planes meet at less are blended, so 90 or more blends all.

    Returns:
        (F, 3, 3) float32: at each corner the mean of the normals of the faces around that position, each flipped to the
        hemisphere of the corner's own face and weighted with area times angle: by the angle it is the same however a quad
        was split, by the area a large flat face stays flat beside a narrow bevel. 0 for a degenerate face.
    """
    vertices = np.ascontiguousarray(mesh.vertices, np.float64)
    faces = np.ascontiguousarray(mesh.faces, np.int64)
    position = equal_positions(vertices)
    start, corners = np.zeros(len(vertices) + 1, np.int64), np.empty(faces.size, np.int64)
    _corners_by_position(faces, position, start, corners)
    blended = np.empty((len(faces), 3, 3), np.float32)
    limit = np.cos(np.deg2rad(min(crease_angle, 90.0)))
    # cos(90 degrees) is 6e-17 in floating point, which is to mean: no limit.
    _blend(
        vertices, faces, face_normals(vertices, faces), start, corners, limit if crease_angle < 90 else -1.0, blended
    )
    return blended


@njit(nogil=True, cache=True)
def _corners_by_position(faces, position, start, corners):  # type: ignore[no-untyped-def]
    """Fill ``corners`` with 3 face + k, grouped by position; those of position p begin at ``start[p]``."""
    for f in range(len(faces)):
        for k in range(3):
            start[position[faces[f, k]] + 1] += 1
    for p in range(1, len(start)):
        start[p] += start[p - 1]
    filled = start.copy()
    for f in range(len(faces)):
        for k in range(3):
            p = position[faces[f, k]]
            corners[filled[p]] = 3 * f + k
            filled[p] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _weight(vertices, faces, f, k):  # type: ignore[no-untyped-def]
    """The angle of face f at its corner k, radians, times twice its area."""
    a, b, c = faces[f, k], faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
    px, py, pz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    qx, qy, qz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
    area = np.sqrt(nx * nx + ny * ny + nz * nz)
    return area * np.arctan2(area, px * qx + py * qy + pz * qz)


@njit(nogil=True, cache=True, error_model="numpy")
def _blend(vertices, faces, normals, start, corners, limit, blended):  # type: ignore[no-untyped-def]
    """Fill the normal of every corner from the faces around its position."""
    weight = np.empty(MAX_VALENCE, np.float64)
    for p in range(len(start) - 1):
        around = corners[start[p] : start[p + 1]]
        blends = len(around) <= MAX_VALENCE
        if blends:
            for j in range(len(around)):
                weight[j] = _weight(vertices, faces, around[j] // 3, around[j] % 3)
        for i in range(len(around)):
            own, k = around[i] // 3, around[i] % 3
            x, y, z = normals[own, 0], normals[own, 1], normals[own, 2]
            sx, sy, sz = 0.0, 0.0, 0.0
            if blends and x * x + y * y + z * z > 0.0:
                for j in range(len(around)):
                    other = around[j] // 3
                    alike = x * normals[other, 0] + y * normals[other, 1] + z * normals[other, 2]
                    if abs(alike) > limit or other == own:
                        signed = -weight[j] if alike < 0.0 else weight[j]
                        sx += signed * normals[other, 0]
                        sy += signed * normals[other, 1]
                        sz += signed * normals[other, 2]
            length = np.sqrt(sx * sx + sy * sy + sz * sz)
            if length > 0.0:
                x, y, z = sx / length, sy / length, sz / length
            blended[own, k, 0], blended[own, k, 1], blended[own, k, 2] = x, y, z


@njit(nogil=True, cache=True, error_model="numpy")
def band_normals(geometry, view, face, weights, normals, blended, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (rows, W, 3) with the unit normals, world, that shade some rows of a view; 0 where empty.

    They are turned to the camera as the face's own normal needs it, so that no pixel of a face turns alone.

    Args:
        geometry: mesh and cameras.
        view: which camera.
        face: (rows, W) int32.
        weights: (rows, W, 3) float32, see `band_weights`; not read for flat normals.
        normals: (F, 3) float64, of the faces.
        blended: (F, 3, 3) float32, of the corners; (0, 3, 3) for flat normals.
        out: (rows, W, 3) float32.
    """
    vertices, faces, parallel, is_smooth = geometry.vertices, geometry.faces, geometry.parallel, len(blended) > 0
    eye_x, eye_y, eye_z = geometry.eye[view, 0], geometry.eye[view, 1], geometry.eye[view, 2]
    current, turn = -1, 1.0
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            index = face[row, column]
            if index < 0:
                out[row, column, 0], out[row, column, 1], out[row, column, 2] = 0.0, 0.0, 0.0
                continue
            x, y, z = normals[index, 0], normals[index, 1], normals[index, 2]
            if index != current:
                current, corner = index, faces[index, 0]
                facing = x * eye_x + y * eye_y + z * eye_z
                if not parallel:
                    facing -= x * vertices[corner, 0] + y * vertices[corner, 1] + z * vertices[corner, 2]
                turn = -1.0 if facing < 0.0 else 1.0
            if is_smooth:
                w0, w1, w2 = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
                bx = w0 * blended[index, 0, 0] + w1 * blended[index, 1, 0] + w2 * blended[index, 2, 0]
                by = w0 * blended[index, 0, 1] + w1 * blended[index, 1, 1] + w2 * blended[index, 2, 1]
                bz = w0 * blended[index, 0, 2] + w1 * blended[index, 1, 2] + w2 * blended[index, 2, 2]
                square = bx * bx + by * by + bz * bz
                if square > 1e-12:  # else the corners cancel
                    scale = 1.0 / np.sqrt(square)
                    x, y, z = bx * scale, by * scale, bz * scale
            out[row, column, 0], out[row, column, 1], out[row, column, 2] = turn * x, turn * y, turn * z
