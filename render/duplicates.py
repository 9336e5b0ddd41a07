"""Vertices at equal positions and faces that occur more than once, found by hashing; compiled with numba."""

import numpy as np
import numpy.typing as npt
from numba import njit


def equal_positions(vertices: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The first vertex at the position of each vertex, (N,) int64; positions are equal bit by bit, 0 and -0 too.

    Args:
        vertices: (N, 3) float64.
    """
    first = np.empty(len(vertices), np.int64)
    _equal_positions(np.ascontiguousarray(vertices + 0.0).view(np.uint64), _table(len(vertices)), first)  # -0 becomes 0
    return first


def first_copies(vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each face is the first with its three positions, in any order and orientation, (F,) bool.

    Args:
        vertices: (N, 3) float64.
        faces: (F, 3) int64.
    """
    is_first = np.empty(len(faces), np.bool_)
    _first_copies(np.ascontiguousarray(faces), equal_positions(vertices), _table(len(faces)), is_first)
    return is_first


def _table(size: int) -> npt.NDArray[np.int32]:
    """An empty hash table, at most half of it used."""
    return np.full(1 << max(4, (2 * size - 1).bit_length()), -1, np.int32)


@njit(nogil=True, cache=True, error_model="numpy")
def _slot(a, b, c, num_slots):  # type: ignore[no-untyped-def]
    """A slot for three 64-bit words, near to one another or not."""
    key = a * np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(32)) ^ b) * np.uint64(0xD6E8FEB86659FD93)
    key = (key ^ (key >> np.uint64(32)) ^ c) * np.uint64(0xA0761D6478BD642F)
    return np.int64((key ^ (key >> np.uint64(32))) & np.uint64(num_slots - 1))


@njit(nogil=True, cache=True, error_model="numpy")
def _equal_positions(bits, table, first):  # type: ignore[no-untyped-def]
    for vertex in range(len(bits)):
        slot = _slot(bits[vertex, 0], bits[vertex, 1], bits[vertex, 2], len(table))
        while True:
            other = table[slot]
            if other < 0:
                table[slot], first[vertex] = vertex, vertex
                break
            if (
                bits[other, 0] == bits[vertex, 0]
                and bits[other, 1] == bits[vertex, 1]
                and bits[other, 2] == bits[vertex, 2]
            ):
                first[vertex] = other
                break
            slot = (slot + 1) & (len(table) - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _first_copies(faces, first, table, is_first):  # type: ignore[no-untyped-def]
    for face in range(len(faces)):
        a, b, c = _sorted_corners(faces, face, first)
        slot = _slot(np.uint64(a), np.uint64(b), np.uint64(c), len(table))
        while True:
            other = table[slot]
            if other < 0:
                table[slot], is_first[face] = face, True
                break
            p, q, r = _sorted_corners(faces, other, first)
            if p == a and q == b and r == c:
                is_first[face] = False
                break
            slot = (slot + 1) & (len(table) - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _sorted_corners(faces, face, first):  # type: ignore[no-untyped-def]
    a, b, c = first[faces[face, 0]], first[faces[face, 1]], first[faces[face, 2]]
    low, high = min(a, b, c), max(a, b, c)
    return low, a + b + c - low - high, high
