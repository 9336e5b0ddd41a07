"""Splitting polygons into triangles, compiled with numba: a fan where a polygon is convex, ear clipping where it is not."""

import numpy as np
import numpy.typing as npt
from numba import njit

# Ear clipping looks at so many points of one polygon and then fans what is left: a polygon that crosses itself has no right
# answer, and must not take hours.
_MOST_LOOKS = 50_000_000


def triangulate(
    vertices: npt.NDArray[np.float64], corners: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The triangles of polygons, in the polygons' order and winding.

    Args:
        vertices: (N, 3) float64.
        corners: (K,) int64 indices into vertices, polygon after polygon.
        sizes: (P,) int64 corners of each polygon, K in all.

    Returns:
        (F, 3) int64 indices into ``corners``, and (F,) int32 which polygon each is part of. Polygons with fewer than three
        corners give no triangle and are not numbered.
    """
    num_triangles = int(np.maximum(sizes - 2, 0).sum())
    triangles = np.empty((num_triangles, 3), np.int64)
    polygon = np.empty(num_triangles, np.int32)
    _split(vertices, corners, sizes, triangles, polygon)
    return triangles, polygon


@njit(nogil=True, cache=True, error_model="numpy")
def _split(vertices, corners, sizes, triangles, polygon):  # type: ignore[no-untyped-def]
    most = sizes.max() if len(sizes) else 0
    flat = np.empty((most, 2), np.float64)
    links = np.empty((2, most), np.int64)
    first, count, number = 0, 0, 0
    for size in sizes:
        if size == 3:
            triangles[count, 0], triangles[count, 1], triangles[count, 2] = first, first + 1, first + 2
        elif size > 3:
            _flatten(vertices, corners, first, size, flat)
            if _is_convex(flat, size):
                for step in range(size - 2):
                    triangles[count + step, 0] = first
                    triangles[count + step, 1], triangles[count + step, 2] = first + step + 1, first + step + 2
            else:
                _clip_ears(flat, size, links, triangles, count, first)
        if size >= 3:
            polygon[count : count + size - 2] = number
            count += size - 2
            number += 1
        first += size


@njit(nogil=True, cache=True, error_model="numpy")
def _flatten(vertices, corners, first, size, flat):  # type: ignore[no-untyped-def]
    """Project a polygon along the largest axis of its normal (Newell's), so that it turns counter-clockwise in ``flat``."""
    normal = np.zeros(3, np.float64)
    origin = corners[first]
    for step in range(size):
        a, b = corners[first + step], corners[first + (step + 1) % size]
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            au, av = vertices[a, u] - vertices[origin, u], vertices[a, v] - vertices[origin, v]
            bu, bv = vertices[b, u] - vertices[origin, u], vertices[b, v] - vertices[origin, v]
            normal[axis] += au * bv - av * bu
    largest = np.argmax(np.abs(normal))
    right, up = (largest + 1) % 3, (largest + 2) % 3
    sign = -1.0 if normal[largest] < 0 else 1.0
    for step in range(size):
        vertex = corners[first + step]
        flat[step, 0] = sign * (vertices[vertex, right] - vertices[origin, right])
        flat[step, 1] = vertices[vertex, up] - vertices[origin, up]


@njit(nogil=True, cache=True, error_model="numpy")
def _turn(flat, a, b, c):  # type: ignore[no-untyped-def]
    """Twice the signed area of a triangle, positive where a, b, c turn counter-clockwise."""
    return (flat[b, 0] - flat[a, 0]) * (flat[c, 1] - flat[a, 1]) - (flat[b, 1] - flat[a, 1]) * (flat[c, 0] - flat[a, 0])


@njit(nogil=True, cache=True, error_model="numpy")
def _is_convex(flat, size):  # type: ignore[no-untyped-def]
    convex = True
    for step in range(size):
        convex = convex and not _turn(flat, step, (step + 1) % size, (step + 2) % size) < 0
    return convex


@njit(nogil=True, cache=True, error_model="numpy")
def _clip_ears(flat, size, links, triangles, count, first):  # type: ignore[no-untyped-def]
    """Cut off one ear after the other; where none is left, or looking took too long, cut the next corner anyhow."""
    before, after = links[0], links[1]
    for step in range(size):
        before[step], after[step] = (step - 1) % size, (step + 1) % size
    corner, left, misses, looks = 1, size, 0, 0
    while left > 2:
        a, c = before[corner], after[corner]
        is_ear = misses >= left or looks > _MOST_LOOKS
        if not is_ear:
            is_ear, steps = _is_ear(flat, after, a, corner, c)
            looks += steps
        if is_ear:
            triangles[count, 0], triangles[count, 1], triangles[count, 2] = first + a, first + corner, first + c
            count, left, misses = count + 1, left - 1, 0
            after[a], before[c] = c, a
        else:
            misses += 1
        corner = c


@njit(nogil=True, cache=True, error_model="numpy")
def _is_ear(flat, after, a, b, c):  # type: ignore[no-untyped-def]
    """(whether the triangle a, b, c lies within the polygon, points looked at)."""
    if _turn(flat, a, b, c) < 0:
        return False, 1
    steps = 1
    other = after[c]
    while other != a:
        steps += 1
        inside = _turn(flat, a, b, other) >= 0 and _turn(flat, b, c, other) >= 0 and _turn(flat, c, a, other) >= 0
        if inside and not (_same(flat, other, a) or _same(flat, other, b) or _same(flat, other, c)):
            return False, steps
        other = after[other]
    return True, steps


@njit(nogil=True, cache=True, error_model="numpy")
def _same(flat, a, b):  # type: ignore[no-untyped-def]
    return flat[a, 0] == flat[b, 0] and flat[a, 1] == flat[b, 1]
