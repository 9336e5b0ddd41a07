"""Point operations on batches of clouds: sampling, neighbourhoods, gathering.

Each is defined by a plain torch function, which also serves CUDA; farthest point sampling and ball query have a
compiled path for the CPU that gives the identical indices (both add the three squares in the same order, in float32).
The former's lies in `render.farthest`, since the samplers of surfaces use it too.
Indices carry no gradients; `gather` does. Legend: B batch, N points, G centers, S samples, K neighbours, C channels.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from render.farthest import sample_clouds
from tap.errors import TapError


def farthest_point_sampling(points: Tensor, num_samples: int, mask: Tensor | None = None) -> Tensor:
    """Indices of points that spread over each cloud: every next one is farthest from all before it.

    Args:
        points: (B, N, 3) floating, finite.
        num_samples: S, at most N.
        mask: (B, N) bool, true at real points; None means all. The others are never taken.

    Returns:
        (B, S) int64. The first is the first real point; ties go to the lowest index. A cloud with fewer than S real
        points has each of them first and then repeats the first one.

    Raises:
        TapError: S is not between 1 and N.
    Source: PointNet++ (NeurIPS 2017), section 3.2.
    """
    if not 0 < num_samples <= points.shape[1]:
        raise TapError(f"farthest point sampling: {num_samples} samples of {points.shape[1]} points; give more points")
    points = points.detach().float()
    if points.device.type != "cpu":
        return farthest_point_sampling_reference(points, num_samples, mask)
    indices = sample_clouds(points.contiguous().numpy(), _dense_mask(points, mask), num_samples)
    return torch.from_numpy(indices)


def farthest_point_sampling_reference(points: Tensor, num_samples: int, mask: Tensor | None = None) -> Tensor:
    """`farthest_point_sampling` in plain torch: the definition, and the path on CUDA."""
    batch, num_points, _ = points.shape
    row = torch.arange(batch, device=points.device)
    distance = points.new_full((batch, num_points), torch.inf)  # (B, N)
    if mask is not None:
        distance = distance.masked_fill(~mask, -1.0)  # below the 0 of a point already taken
    indices = torch.empty(batch, num_samples, dtype=torch.int64, device=points.device)
    latest = distance.argmax(1)  # (B,)
    for step in range(num_samples):
        indices[:, step] = latest
        distance = torch.minimum(distance, _squared_distance(points, points[row, latest][:, None]))
        latest = distance.argmax(1)
    return indices


def ball_query(
    points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None = None
) -> Tensor:
    """Indices of points closer to each center than ``radius``: the first K in the order of the cloud.

    Args:
        points: (B, N, 3) floating.
        centers: (B, G, 3) floating.
        radius: world units.
        num_neighbors: K.
        mask: (B, N) bool, true at real points; None means all. The others are never taken.

    Returns:
        (B, G, K) int64. A ball with fewer than K points repeats its first; an empty one is filled with index 0.

    Source: PointNet++ (NeurIPS 2017) and its public kernel: strictly inside, lowest indices first, padded by the first.
    """
    points, centers = points.detach().float(), centers.detach().float()
    if points.device.type != "cpu":
        return ball_query_reference(points, centers, radius, num_neighbors, mask)
    indices: Any = _query_clouds(
        points.contiguous().numpy(),
        centers.contiguous().numpy(),
        _dense_mask(points, mask),
        np.float32(radius) * np.float32(radius),
        num_neighbors,
    )
    return torch.from_numpy(indices)


def ball_query_reference(
    points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None = None
) -> Tensor:
    """`ball_query` in plain torch: the definition, and the path on CUDA."""
    num_points = points.shape[1]
    squared_radius = float(np.float32(radius) * np.float32(radius))
    inside = _squared_distance(points[:, None], centers[:, :, None]) < squared_radius  # (B, G, N)
    if mask is not None:
        inside = inside & mask[:, None]
    order = torch.arange(num_points, device=points.device)
    hits = torch.where(inside, order, num_points)  # (B, G, N), num_points means outside
    hits = hits.topk(min(num_neighbors, num_points), largest=False, sorted=True).values  # (B, G, K or N)
    first = hits[..., :1].where(hits[..., :1] < num_points, 0)
    hits = torch.where(hits < num_points, hits, first)
    missing = first.expand(-1, -1, max(0, num_neighbors - num_points))
    return torch.cat([hits, missing], dim=-1)  # (B, G, K)


def nearest_neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None = None) -> Tensor:
    """Indices of the K points nearest to each center, nearest first; order among equals is torch's.

    Args:
        points: (B, N, C) floating, coordinates or features.
        centers: (B, G, C) floating.
        num_neighbors: K, at most N.
        mask: (B, N) bool, true at real points; None means all. The others come only after all real ones.

    Returns:
        (B, G, K) int64.

    Raises:
        TapError: K is not between 1 and N.
    """
    if not 0 < num_neighbors <= points.shape[1]:
        raise TapError(f"nearest neighbours: {num_neighbors} of {points.shape[1]} points; give more points")
    # The product form of the distance loses all digits between points that almost coincide, so it is switched off.
    distance = torch.cdist(
        centers.detach().float(), points.detach().float(), compute_mode="donot_use_mm_for_euclid_dist"
    )  # (B, G, N)
    if mask is not None:
        distance = distance.masked_fill(~mask[:, None], torch.inf)
    return distance.topk(num_neighbors, largest=False, sorted=True).indices  # (B, G, K)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """Rows of each cloud by index, differentiable in ``features``.

    Args:
        features: (B, N, C) any dtype.
        index: (B, ...) int64 in [0, N).

    Returns:
        (B, ..., C).
    """
    flat = index.reshape(len(index), -1, 1).expand(-1, -1, features.shape[-1])  # (B, rows, C)
    return features.gather(1, flat).reshape(*index.shape, features.shape[-1])  # (B, ..., C)


def _squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance over the last axis of 3, added in a fixed order so that every path rounds alike."""
    x, y, z = (first - second).unbind(-1)
    return x * x + y * y + z * z


def _dense_mask(points: Tensor, mask: Tensor | None) -> Any:
    return np.ones(points.shape[:2], np.bool_) if mask is None else mask.contiguous().numpy()


@numba.njit(nogil=True, cache=True)
def _query_clouds(
    points: Any, centers: Any, mask: Any, squared_radius: Any, num_neighbors: Any
) -> Any:  # pragma: no cover - compiled
    batch, num_points, _ = points.shape
    num_centers = centers.shape[1]
    indices = np.zeros((batch, num_centers, num_neighbors), np.int64)
    for cloud in range(batch):
        for center in range(num_centers):
            x, y, z = centers[cloud, center]
            found = 0
            for point in range(num_points):
                dx, dy, dz = points[cloud, point, 0] - x, points[cloud, point, 1] - y, points[cloud, point, 2] - z
                if dx * dx + dy * dy + dz * dz < squared_radius and mask[cloud, point]:
                    indices[cloud, center, found] = point
                    found += 1
                    if found == num_neighbors:
                        break
            for slot in range(max(found, 1), num_neighbors):
                indices[cloud, center, slot] = indices[cloud, center, 0]
    return indices
