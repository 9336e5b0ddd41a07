"""The loops behind `tap.ops.cpu`, compiled with numba on first use; each runs on one thread and frees the interpreter.

Distances are float32 and add the squares in the order of the axes, without fused multiply-adds, as `tap.ops.reference`.
"""

import numpy as np
from numba import njit

_BLOCK = 64  # points looked at together: a loop of so many steps becomes a few wide instructions
_LANES = 64  # of the bound in `_bound`
_HALVINGS = 7


@njit(nogil=True, cache=True, error_model="numpy")
def query_balls(points, centers, mask, squared_radius, indices):  # type: ignore[no-untyped-def]
    """Fill indices (B, G, K): the first points (B, N, 3) inside the mask that lie in the ball of each center (B, G, 3)."""
    num_neighbors = indices.shape[2]
    distance = np.empty(_BLOCK, np.float32)
    for cloud in range(len(points)):
        place, origin = _real_points(points[cloud], mask[cloud])
        for center in range(indices.shape[1]):
            x, y, z = centers[cloud, center, 0], centers[cloud, center, 1], centers[cloud, center, 2]
            row = indices[cloud, center]
            row[0] = 0
            found = 0
            for begin in range(0, place.shape[1], _BLOCK):
                any_inside = np.int32(0)
                for i in range(_BLOCK):
                    dx, dy, dz = place[0, begin + i] - x, place[1, begin + i] - y, place[2, begin + i] - z
                    distance[i] = dx * dx + dy * dy + dz * dz
                    any_inside |= np.int32(distance[i] < squared_radius)
                if any_inside:
                    for i in range(_BLOCK):
                        if distance[i] < squared_radius and found < num_neighbors:
                            row[found] = origin[begin + i]
                            found += 1
                    if found == num_neighbors:
                        break
            for slot in range(max(found, 1), num_neighbors):
                row[slot] = row[0]


@njit(nogil=True, cache=True, error_model="numpy")
def nearest_points(points, centers, mask, indices):  # type: ignore[no-untyped-def]
    """Fill indices (B, G, K): the points (B, N, 3) inside the mask nearest to each center (B, G, 3), nearest first."""
    kept, least = np.empty(indices.shape[2], np.float32), np.empty(_LANES, np.float32)
    for cloud in range(len(points)):
        place, origin = _real_points(points[cloud], mask[cloud])
        distance = np.empty(place.shape[1], np.float32)
        for center in range(indices.shape[1]):
            x, y, z = centers[cloud, center, 0], centers[cloud, center, 1], centers[cloud, center, 2]
            for i in range(place.shape[1]):
                dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
                distance[i] = dx * dx + dy * dy + dz * dz
            _smallest(distance[: len(origin)], origin, kept, least, indices[cloud, center])


@njit(nogil=True, cache=True, error_model="numpy")
def smallest_of_rows(rows, mask, indices):  # type: ignore[no-untyped-def]
    """Fill indices (G, K): the places inside the mask (N,) of the smallest numbers of each row (G, N), smallest first."""
    kept, least = np.empty(indices.shape[1], np.float32), np.empty(_LANES, np.float32)
    origin = np.flatnonzero(mask)
    real = np.empty(len(origin), np.float32)
    for row in range(len(rows)):
        for i in range(len(origin)):
            real[i] = rows[row, origin[i]]
        _smallest(real, origin, kept, least, indices[row])


@njit(nogil=True, cache=True, error_model="numpy")
def _real_points(points, mask):  # type: ignore[no-untyped-def]
    """Coordinates (3, M) of the points (N, 3) inside the mask, side by side in memory, and their indices.

    M is a multiple of the block: infinitely far points, which have no index, fill the last one.
    """
    origin = np.flatnonzero(mask)
    place = np.full((3, (len(origin) + _BLOCK - 1) // _BLOCK * _BLOCK), np.float32(np.inf), np.float32)
    for i in range(len(origin)):
        for axis in range(3):
            place[axis, i] = points[origin[i], axis]
    return place, origin


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _smallest(values, origin, kept, least, row):  # type: ignore[no-untyped-def]
    """Fill row (K,) with the origins of the K smallest values; of equal ones the earlier comes first.

    Fewer than K repeat the smallest; none at all gives 0. Scratch: ``kept`` (K,), the values of the row while it is made,
    and ``least``, for `_bound`.
    """
    size, found = len(row), 0
    row[0] = 0
    limit = np.nextafter(_bound(values, least, size), np.float32(np.inf))
    for begin in range(0, len(values), _BLOCK):
        end = min(begin + _BLOCK, len(values))
        any_below = np.int32(0)
        for i in range(begin, end):
            any_below |= np.int32(values[i] < limit)
        if not any_below:
            continue
        for i in range(begin, end):
            value = values[i]
            if value < limit:
                slot = min(found, size - 1)
                while slot > 0 and kept[slot - 1] > value:
                    kept[slot], row[slot] = kept[slot - 1], row[slot - 1]
                    slot -= 1
                kept[slot], row[slot] = value, origin[i]
                found = min(found + 1, size)
                if found == size:
                    limit = kept[size - 1]
    for slot in range(max(found, 1), size):
        row[slot] = row[0]


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _bound(values, least, size):  # type: ignore[no-untyped-def]
    """A number that at least ``size`` of the values do not exceed, and not many more; inf where that is not worth finding.

    It spares most of the insertions. The values are dealt out to lanes; if ``size`` lanes have a smallest value up to some
    number, so many values are up to it.
    """
    rounds = len(values) // _LANES
    if size > _LANES // 2 or rounds < 4:
        return np.float32(np.inf)
    for lane in range(_LANES):
        least[lane] = values[lane]
    for turn in range(1, rounds):
        for lane in range(_LANES):
            least[lane] = min(least[lane], values[turn * _LANES + lane])
    low = high = np.float32(0.0)
    for lane in range(_LANES):
        high = max(high, least[lane])
    for _ in range(_HALVINGS):
        middle = np.float32(0.5) * (low + high)
        count = np.int32(0)
        for lane in range(_LANES):
            count += np.int32(least[lane] <= middle)
        if count >= size:
            high = middle
        else:
            low = middle
    return high
