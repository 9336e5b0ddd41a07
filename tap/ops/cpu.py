"""The point operations on the CPU: loops compiled with numba, over clouds side by side on torch's threads.

Each gives the indices of `tap.ops.reference`, bit for bit and whatever the number of threads, and is a custom operator of
torch, so `torch.compile` keeps it whole.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from render.farthest import sample_clouds
from tap.ops import kernels, reference, shapes
from tap.ops.neighborhoods import group_add, group_max, offset_variance
from tap.ops.rows import array, gather, interpolate
from tap.ops.threads import share_out

__all__ = [
    "ball_query",
    "farthest_point_sampling",
    "gather",
    "group_add",
    "group_max",
    "interpolate",
    "nearest_neighbors",
    "offset_variance",
]


def farthest_point_sampling(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.farthest_point_sampling` of float32 points."""
    indices: Tensor = _farthest(points, num_samples, mask)
    return indices


def ball_query(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.ball_query` of float32 points."""
    indices: Tensor = _ball(points, centers, radius, num_neighbors, mask)
    return indices


def nearest_neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.nearest_neighbors` of float32 points."""
    indices: Tensor = _nearest(points, centers, num_neighbors, mask)
    return indices


@torch.library.custom_op("tap::farthest_point_sampling", mutates_args=(), device_types="cpu")
def _farthest(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    indices = points.new_empty((len(points), num_samples), dtype=torch.int64)
    cloud, real, found = array(points), _mask_array(points, mask), indices.numpy()

    def sample(part: slice) -> None:
        found[part] = sample_clouds(cloud[part], real[part], num_samples)

    share_out(len(points), sample)
    return indices


@torch.library.custom_op("tap::ball_query", mutates_args=(), device_types="cpu")
def _ball(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    indices = points.new_empty((*centers.shape[:2], num_neighbors), dtype=torch.int64)
    cloud, middle, real, found = array(points), array(centers), _mask_array(points, mask), indices.numpy()
    limit = np.float32(reference.squared_radius(radius))
    share_out(len(points), lambda part: kernels.query_balls(cloud[part], middle[part], real[part], limit, found[part]))
    return indices


@torch.library.custom_op("tap::nearest_neighbors", mutates_args=(), device_types="cpu")
def _nearest(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    indices = points.new_empty((*centers.shape[:2], num_neighbors), dtype=torch.int64)
    real, found = _mask_array(points, mask), indices.numpy()
    if points.shape[-1] == reference.EXACT_CHANNELS:
        cloud, middle = array(points), array(centers)
        share_out(len(points), lambda part: kernels.nearest_points(cloud[part], middle[part], real[part], found[part]))
        return indices
    # One cloud's distances at a time stay in the cache; torch spreads each product over its threads by itself.
    for row in range(len(points)):
        one = slice(row, row + 1)
        distance = reference.squared_distances(points[one], centers[one], None if mask is None else mask[one])
        _pick(distance[0].numpy(), real[row], found[row])
    return indices


def _pick(rows: Any, real: Any, found: Any) -> None:
    share_out(len(rows), lambda part: kernels.smallest_of_rows(rows[part], real, found[part]))


_farthest.register_fake(shapes.sampled)
_ball.register_fake(shapes.in_balls)
_nearest.register_fake(shapes.neighbors)


def _mask_array(points: Tensor, mask: Tensor | None) -> Any:
    return np.ones(points.shape[:2], np.bool_) if mask is None else array(mask)
