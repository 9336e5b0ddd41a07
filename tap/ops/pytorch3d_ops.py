"""The point operations of pytorch3d behind the interface of `tap.ops`, for those who have it installed.

Clouds with masks are packed before and unpacked after, and missing neighbours are filled in. Differences that remain: which
of equally near neighbours comes first, or is left out, is open, and distances between features are exact sums of squares,
slower than the product of the other ways. Gathering is torch's own.
"""

from typing import Any

import torch
from torch import Tensor

from tap.ops import reference
from tap.ops.reference import gather, group_add, group_max, interpolate, offset_variance

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


@torch.compiler.disable  # type: ignore[untyped-decorator]
def farthest_point_sampling(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.farthest_point_sampling` of float32 points."""
    packed, lengths, order = _pack(points, mask)
    _, found = _functions().sample_farthest_points(packed, lengths, num_samples)  # (B, S), -1 where there are too few
    return _unpack(torch.where(found < 0, found[:, :1].clamp(min=0), found), order)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def ball_query(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.ball_query` of float32 points."""
    packed, lengths, order = _pack(points, mask)
    found = _functions().ball_query(centers, packed, None, lengths, num_neighbors, radius, False).idx
    empty = found[..., :1] < 0
    index = _unpack(torch.where(found < 0, found[..., :1].clamp(min=0), found), order)
    return index.masked_fill(empty, 0)  # (B, G, K)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def nearest_neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.nearest_neighbors` of float32 points."""
    packed, lengths, order = _pack(points, mask)
    found = _functions().knn_points(centers, packed, None, lengths, K=num_neighbors).idx  # (B, G, K)
    return _unpack(reference.repeat_nearest(found, mask), order)


def _functions() -> Any:
    import pytorch3d.ops  # on use: it is optional, and slow to import

    return pytorch3d.ops


def _pack(points: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Clouds with their real points first, how many those are, and where each point was."""
    if mask is None:
        return points, None, None
    order = (~mask).long().argsort(dim=1, stable=True)  # (B, N)
    return gather(points, order), mask.sum(1), order


def _unpack(index: Tensor, order: Tensor | None) -> Tensor:
    if order is None:
        return index
    return order.gather(1, index.flatten(1)).reshape(index.shape)
