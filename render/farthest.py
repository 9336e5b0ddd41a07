"""Farthest point sampling of clouds, exact, on the CPU: points that spread evenly over what they are taken from.

The one compiled kernel, shared by the point samplers of this package and by the training operations in ``tap``. Points are
sorted along a space-filling curve and cut into buckets; a new sample only touches the buckets that it is near enough to
change. The pruning is exact in float32: rounding is monotone, so the distance to a bucket's box, computed with the same
operations in the same order, never exceeds the computed distance to a point inside. Legend: B batch, N points, S samples.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from render.errors import RenderError

_BUCKET_SIZE = 64
_CURVE_CELLS = 1023.0  # ten bits an axis


def farthest_subset(points: npt.NDArray[np.float32], num_samples: int) -> npt.NDArray[np.int64]:
    """Indices of points that spread over one cloud: every next one is farthest from all before it.

    Args:
        points: (N, 3) float32, finite.
        num_samples: S, at most N.

    Returns:
        (S,) int64. The first is 0; ties go to the lowest index. Any prefix is the answer for a smaller S.

    Raises:
        RenderError: S is not between 1 and N.

    Source: PointNet++ (NeurIPS 2017), section 3.2.
    """
    if not 0 < num_samples <= len(points):
        raise RenderError(f"farthest points: {num_samples} samples of {len(points)} points; give more points")
    batch = np.ascontiguousarray(points, np.float32)[None]
    indices: npt.NDArray[np.int64] = sample_clouds(batch, np.ones(batch.shape[:2], np.bool_), num_samples)[0]
    return indices


def sample_clouds(points: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], num_samples: int) -> Any:
    """`farthest_subset` of each cloud of a batch, with masks.

    Args:
        points: (B, N, 3) float32, C-contiguous, finite.
        mask: (B, N) bool, true at real points; the others are never taken while a cloud has a real one.
        num_samples: S, at most N (not checked).

    Returns:
        (B, S) int64. The first is the first real point; ties go to the lowest index. A cloud with fewer than S real
        points has each of them first and then repeats the first one.
    """
    indices = np.empty((len(points), num_samples), np.int64)
    # Any order is exact; this one makes buckets small, and so the search fast.
    order = np.argsort(_places_on_curve(points), axis=1, kind="stable")
    _sample_clouds(points, mask, order, indices)
    return indices


@njit(nogil=True, cache=True, error_model="numpy")
def _places_on_curve(points):  # type: ignore[no-untyped-def]
    """The place of each point along a Morton curve through its cloud's box, (B, N) int64."""
    batch, num_points = points.shape[0], points.shape[1]
    places = np.empty((batch, num_points), np.int64)
    for cloud in range(batch):
        low, high = points[cloud, 0].copy(), points[cloud, 0].copy()
        for point in range(num_points):
            for axis in range(3):
                low[axis] = min(low[axis], points[cloud, point, axis])
                high[axis] = max(high[axis], points[cloud, point, axis])
        extent = max(high[0] - low[0], high[1] - low[1], high[2] - low[2])
        cells = _CURVE_CELLS / extent if extent > 0 else 0.0
        for point in range(num_points):
            place = 0
            for axis in range(3):
                bits = int((points[cloud, point, axis] - low[axis]) * cells)  # spread out, two zeros after each bit
                bits = (bits | (bits << 16)) & 0x030000FF
                bits = (bits | (bits << 8)) & 0x0300F00F
                bits = (bits | (bits << 4)) & 0x030C30C3
                bits = (bits | (bits << 2)) & 0x09249249
                place |= bits << axis
            places[cloud, point] = place
    return places


@njit(nogil=True, cache=True, error_model="numpy")
def _sample_clouds(points, mask, order, indices):  # type: ignore[no-untyped-def]
    """Fill ``indices``; a bucket's ``far`` and ``best`` are its largest distance to all samples so far, and whose it is."""
    num_points, num_samples = points.shape[1], indices.shape[1]
    num_buckets = (num_points + _BUCKET_SIZE - 1) // _BUCKET_SIZE
    place, distance = np.empty((3, num_points), np.float32), np.empty(num_points, np.float32)
    box = np.empty((num_buckets, 6), np.float32)
    far, best = np.empty(num_buckets, np.float32), np.empty(num_buckets, np.int64)
    zero = np.float32(0.0)
    for cloud in range(len(points)):
        latest = _fill_buckets(points[cloud], mask[cloud], order[cloud], place, distance, box, far, best)
        for step in range(num_samples):
            indices[cloud, step] = latest
            x, y, z = points[cloud, latest, 0], points[cloud, latest, 1], points[cloud, latest, 2]
            farthest = np.float32(-np.inf)
            for bucket in range(num_buckets):
                dx = max(max(box[bucket, 0] - x, x - box[bucket, 3]), zero)
                dy = max(max(box[bucket, 1] - y, y - box[bucket, 4]), zero)
                dz = max(max(box[bucket, 2] - z, z - box[bucket, 5]), zero)
                if dx * dx + dy * dy + dz * dz < far[bucket]:
                    begin = bucket * _BUCKET_SIZE
                    end = min(num_points, begin + _BUCKET_SIZE)
                    for i in range(begin, end):
                        dx, dy, dz = place[0, i] - x, place[1, i] - y, place[2, i] - z
                        distance[i] = min(distance[i], dx * dx + dy * dy + dz * dz)
                    far[bucket], best[bucket] = _farthest_of(distance, order[cloud], begin, end)
                if far[bucket] > farthest or (far[bucket] == farthest and best[bucket] < latest):
                    farthest, latest = far[bucket], best[bucket]


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_buckets(points, mask, order, place, distance, box, far, best):  # type: ignore[no-untyped-def]
    """Sort one cloud into its buckets; returns the first real point, or 0."""
    first = -1
    for point in range(len(points)):
        if mask[point]:
            first = point
            break
    for i in range(len(points)):
        for axis in range(3):
            place[axis, i] = points[order[i], axis]
        distance[i] = np.inf if mask[order[i]] else np.float32(-1.0)  # below the 0 of a point already taken
    for bucket in range(len(far)):
        begin = bucket * _BUCKET_SIZE
        end = min(len(points), begin + _BUCKET_SIZE)
        for axis in range(3):
            box[bucket, axis], box[bucket, axis + 3] = place[axis, begin:end].min(), place[axis, begin:end].max()
        far[bucket], best[bucket] = _farthest_of(distance, order, begin, end)
    return max(first, 0)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _farthest_of(distance, order, begin, end):  # type: ignore[no-untyped-def]
    """The largest distance of a bucket, and the lowest index that has it."""
    largest = distance[begin]
    for i in range(begin + 1, end):
        largest = max(largest, distance[i])
    index = np.int64(0x7FFFFFFFFFFFFFFF)
    for i in range(begin, end):
        if distance[i] == largest and order[i] < index:
            index = order[i]
    return largest, index
