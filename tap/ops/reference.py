"""The point operations in plain torch: what each of them means, and what every faster way is compared with.

They run on any device, and none of them checks its arguments: the functions of `tap.ops` do. Legend: B batch, N points,
G centers, S samples, K neighbours, C channels.
"""

import numpy as np
import torch
from torch import Tensor

EXACT_CHANNELS = 3


def farthest_point_sampling(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.farthest_point_sampling` of float32 points."""
    batch, num_points, _ = points.shape
    row = torch.arange(batch, device=points.device)
    distance = points.new_full((batch, num_points), torch.inf)  # (B, N)
    if mask is not None:
        distance = distance.masked_fill(~mask, -1.0)  # below the 0 of a point already taken
    indices = torch.empty(batch, num_samples, dtype=torch.int64, device=points.device)
    latest = distance.argmax(1)  # (B,)
    for step in range(num_samples):
        indices[:, step] = latest
        distance = torch.minimum(distance, _sum_of_squares(points - points[row, latest][:, None]))
        latest = distance.argmax(1)
    return indices


def ball_query(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.ball_query` of float32 points."""
    num_points = points.shape[1]
    inside = squared_distances(points, centers) < squared_radius(radius)  # (B, G, N)
    if mask is not None:
        inside = inside & mask[:, None]
    order = torch.arange(num_points, device=points.device)
    hits = torch.where(inside, order, num_points)  # (B, G, N), num_points means outside
    hits = hits.topk(min(num_neighbors, num_points), largest=False, sorted=True).values  # (B, G, K or N)
    first = hits[..., :1].where(hits[..., :1] < num_points, 0)
    hits = torch.where(hits < num_points, hits, first)
    missing = first.expand(-1, -1, max(0, num_neighbors - num_points))
    return torch.cat([hits, missing], dim=-1)  # (B, G, K)


def nearest_neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.nearest_neighbors` of float32 points."""
    distance = squared_distances(points, centers, mask)  # (B, G, N)
    index = distance.sort(dim=-1, stable=True).indices[..., :num_neighbors]  # (B, G, K)
    return repeat_nearest(index, mask)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """`tap.ops.gather`."""
    flat = index.reshape(len(index), -1, 1).expand(-1, -1, features.shape[-1])  # (B, rows, C)
    return features.gather(1, flat).reshape(*index.shape, features.shape[-1])  # (B, ..., C)


def interpolate(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """`tap.ops.interpolate`."""
    return (gather(features, index) * weight[..., None]).sum(2).to(features.dtype)  # (B, N, C)


def group_add(features: Tensor, index: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    """`tap.ops.group_add`."""
    return (gather(features, index) + shift[:, :, None]).to(dtype)  # (B, G, K, C)


def group_max(rows: Tensor) -> Tensor:
    """`tap.ops.group_max`."""
    return rows.max(1).values


def offset_variance(features: Tensor, index: Tensor, own: Tensor, kept: Tensor | None) -> Tensor:
    """`tap.ops.offset_variance`."""
    offsets = gather(features, index) - own[:, :, None]  # (B, G, K, C)
    if kept is None:
        return offsets.flatten(1).var(1)
    weight = kept[:, :, None, None].to(offsets.dtype)  # (B, G, 1, 1)
    count = weight.sum((1, 2, 3)) * offsets.shape[2] * offsets.shape[3]  # (B,)
    mean = (offsets * weight).sum((1, 2, 3)) / count.clamp(min=1)
    squares = ((offsets - mean[:, None, None, None]).square() * weight).sum((1, 2, 3))
    return squares / (count - 1).clamp(min=1)


def squared_distances(points: Tensor, centers: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared distance of each center to each point, by the rule that all ways of finding neighbours share.

    With up to 3 channels the differences are squared and added in order, so that nearly coincident points keep all
    their digits and every path rounds alike. With more, where that would take many times as long, the product form
    |p|^2 - 2 p.c + |c|^2 of features about their mean: its error is a few units in the last place of |p|^2, not of the
    distance.

    Args:
        points: (B, N, C) float32.
        centers: (B, G, C) float32.
        mask: (B, N) bool, true at real points; None means all.

    Returns:
        (B, G, N) float32, inf at points outside the mask. In the product form it may lie a little below 0.
    """
    if points.shape[-1] <= EXACT_CHANNELS:
        distance = _sum_of_squares(points[:, None] - centers[:, :, None])  # (B, G, N)
    else:
        distance = _product_form(points, centers, mask)
    return distance if mask is None else distance.masked_fill(~mask[:, None], torch.inf)


def squared_radius(radius: float) -> float:
    """The square of a radius as every path takes it: rounded to float32 before and after."""
    return float(np.float32(radius) * np.float32(radius))


def repeat_nearest(index: Tensor, mask: Tensor | None) -> Tensor:
    """Neighbours (B, G, K) sorted by distance, those beyond a cloud's real points replaced by the nearest."""
    if mask is None:
        return index
    rank = torch.arange(index.shape[-1], device=index.device)
    real = rank < mask.sum(1)[:, None, None]  # (B, 1, K)
    return torch.where(real, index, index[..., :1])


def _product_form(points: Tensor, centers: Tensor, mask: Tensor | None) -> Tensor:
    with torch.autocast(points.device.type, enabled=False):  # which would multiply in half the digits
        if mask is None:
            mean = points.mean(1, keepdim=True)  # (B, 1, C)
        else:
            points = points.masked_fill(~mask[..., None], 0.0)
            mean = points.sum(1, keepdim=True) / mask.sum(1).clamp(min=1)[:, None, None]  # (B, 1, C)
        points, centers = points - mean, centers - mean
        norms = points.square().sum(-1)[:, None] + centers.square().sum(-1)[:, :, None]  # (B, G, N)
        return norms.baddbmm_(centers, points.transpose(1, 2), alpha=-2.0)


def _sum_of_squares(offset: Tensor) -> Tensor:
    """Squared length over a last axis of at most 3, added in order so that every path rounds alike."""
    squares = [part * part for part in offset.unbind(-1)]
    return sum(squares[1:], squares[0])
