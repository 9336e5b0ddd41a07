"""Point operations on batches of clouds: sampling, neighbourhoods, gathering, interpolation.

`tap.ops.reference` defines each in plain torch; compiled loops on the CPU, Triton on CUDA and pytorch3d give the same, and
`set_backend` or `use` chooses among them. Indices carry no gradients and are found in float32, under autocast too;
the others have gradients. Legend: B batch, N points, G centers, S samples, K neighbours, C channels.
"""

import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops.backend import BACKENDS, BackendName, available, backend_for, set_backend, use

__all__ = [
    "BACKENDS",
    "BackendName",
    "available",
    "ball_query",
    "farthest_point_sampling",
    "gather",
    "group",
    "group_add",
    "group_max",
    "interpolate",
    "nearest_neighbors",
    "offset_variance",
    "set_backend",
    "three_nearest",
    "use",
]

_SMALLEST_DISTANCE = 1e-8


def farthest_point_sampling(points: Tensor, num_samples: int, mask: Tensor | None = None) -> Tensor:
    """Indices of points that spread over each cloud: every next one is farthest from all before it.

    Args:
        points: (B, N, 3) floating, finite.
        num_samples: S, at most N.
        mask: (B, N) bool, true at real points; None means all. The others are never taken while a cloud has a real one.

    Returns:
        (B, S) int64. The first is the first real point; ties go to the lowest index. A cloud with fewer than S real
        points has each of them first and then repeats the first one.

    Raises:
        TapError: S is not between 1 and N.
    Source: PointNet++ (NeurIPS 2017), section 3.2.
    """
    if not 0 < num_samples <= points.shape[1]:
        raise TapError(f"farthest point sampling: {num_samples} samples of {points.shape[1]} points; give more points")
    _check(points, None, mask, 3)
    return backend_for(points.device).farthest_point_sampling(points.detach().float(), num_samples, mask)


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
    _check(points, centers, mask, 3)
    points, centers = points.detach().float(), centers.detach().float()
    return backend_for(points.device).ball_query(points, centers, radius, num_neighbors, mask)


def nearest_neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None = None) -> Tensor:
    """Indices of the K points nearest to each center, nearest first; ties go to the lowest index.

    Distances in up to 3 channels are sums of squares, alike everywhere, so all backends give equal indices, except that
    pytorch3d orders ties in its own way. In more channels they are a product in float32 (TF32 where torch is told to use
    it, `tap.ops.reference.squared_distances`), whose rounding may order nearly equal distances, and so copies of a
    feature, in another way on another backend or device.

    Args:
        points: (B, N, C) floating, coordinates or features.
        centers: (B, G, C) floating.
        num_neighbors: K, at most N.
        mask: (B, N) bool, true at real points; None means all. The others are never taken while a cloud has a real one.

    Returns:
        (B, G, K) int64. A cloud with fewer than K real points repeats the nearest one; with none it gives index 0.

    Raises:
        TapError: K is not between 1 and N.
    """
    if not 0 < num_neighbors <= points.shape[1]:
        raise TapError(f"nearest neighbours: {num_neighbors} of {points.shape[1]} points; give more points")
    _check(points, centers, mask, points.shape[-1])
    points, centers = points.detach().float(), centers.detach().float()
    return backend_for(points.device).nearest_neighbors(points, centers, num_neighbors, mask)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """Rows of each cloud by index, differentiable in ``features``.

    Args:
        features: (B, N, C) any dtype.
        index: (B, ...) int64 in [0, N).

    Returns:
        (B, ..., C) of the same dtype.

    Raises:
        TapError: the index reaches outside of [0, N); on CUDA torch's own error.
    """
    if features.ndim != 3 or len(features) != len(index):
        raise TapError(
            f"gather: features {tuple(features.shape)}, index {tuple(index.shape)}; expected (B, N, C), (B, ...)"
        )
    return backend_for(features.device).gather(features, index)


def group(features: Tensor, index: Tensor) -> Tensor:
    """`gather` under the name that it has for neighbourhoods: (B, N, C) by index (B, G, K) to (B, G, K, C)."""
    return gather(features, index)


def group_add(features: Tensor, index: Tensor, shift: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Neighbourhoods plus one row of each center, differentiable in both; sums are made before they are rounded.

    Args:
        features: (B, N, C) floating.
        index: (B, G, K) int64 in [0, N).
        shift: (B, G, C), dtype of ``features``.
        dtype: of the result; None for that of ``features``.

    Returns:
        (B, G, K, C).

    Raises:
        TapError: the index reaches outside of [0, N); on CUDA torch's own error.
    """
    shape = (*index.shape[:2], features.shape[-1])
    if features.ndim != 3 or index.ndim != 3 or len(features) != len(index) or shift.shape != shape:
        found = [tuple(tensor.shape) for tensor in (features, index, shift)]
        raise TapError(
            f"group_add: features {found[0]}, index {found[1]}, shift {found[2]}; "
            "expected (B, N, C), (B, G, K), (B, G, C)"
        )
    return backend_for(features.device).group_add(features, index, shift, dtype or features.dtype)


def group_max(rows: Tensor) -> Tensor:
    """Maximum over the neighbours, (R, K, C) to (R, C), differentiable: one of equals takes the whole gradient."""
    if rows.ndim != 3 or not rows.shape[1]:
        raise TapError(f"group_max: rows {tuple(rows.shape)}; expected (R, K, C), K at least 1")
    return backend_for(rows.device).group_max(rows)


def offset_variance(features: Tensor, index: Tensor, own: Tensor, kept: Tensor | None = None) -> Tensor:
    """Unbiased variance of all numbers of each cloud's offsets, neighbours less centers, differentiable in both.

    Args:
        features: (B, N, C) floating.
        index: (B, G, K) int64 in [0, N).
        own: (B, G, C) of the centers, dtype of ``features``.
        kept: (B, G) bool, true at centers that count; None means all.

    Returns:
        (B,) in the dtype of ``features``; 0 where no center counts.

    Raises:
        TapError: the index reaches outside of [0, N); on CUDA torch's own error.
    """
    fits = features.ndim == 3 and index.ndim == 3 and len(features) == len(index)
    if (
        not fits
        or own.shape != (*index.shape[:2], features.shape[-1])
        or (kept is not None and kept.shape != own.shape[:2])
    ):
        found = [None if tensor is None else tuple(tensor.shape) for tensor in (features, index, own, kept)]
        raise TapError(
            f"offset_variance: features {found[0]}, index {found[1]}, own {found[2]}, kept {found[3]}; "
            "expected (B, N, C), (B, G, K), (B, G, C), and for kept (B, G)"
        )
    return backend_for(features.device).offset_variance(features, index, own, kept)


def three_nearest(points: Tensor, centers: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The three centers nearest to each point, and how much each counts in an interpolation between them.

    Args:
        points: (B, N, 3) floating.
        centers: (B, G, 3) floating.
        mask: (B, G) bool, true at real centers; None means all. The others are never taken while a cloud has a real one.

    Returns:
        index: (B, N, 3) int64, nearest first.
        weight: (B, N, 3) float32, 1 / (distance + 1e-8) over their sum. Where a cloud has fewer than three real centers
        the nearest is repeated with weight 0.

    Source: PointNet++ (NeurIPS 2017), section 3.4, with the distance to the first power as in its public CUDA kernels for
        torch; the first release, in TensorFlow, took the square.
    """
    num_centers = centers.shape[1]
    index = nearest_neighbors(centers, points, min(3, num_centers), mask)  # (B, N, K), K = 3 if there are so many
    index = torch.cat([index, index[..., :1].expand(-1, -1, 3 - index.shape[-1])], dim=-1)  # (B, N, 3)
    distance = (gather(centers.detach().float(), index) - points.detach().float()[:, :, None]).norm(dim=-1)  # (B, N, 3)
    weight = 1.0 / (distance + _SMALLEST_DISTANCE)
    rank = torch.arange(3, device=points.device)
    count = num_centers if mask is None else mask.sum(1).clamp(min=1)[:, None, None]
    weight = weight * (rank < count)  # (B, N, 3)
    return index, weight / weight.sum(-1, keepdim=True)


def interpolate(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of rows of each cloud, differentiable in ``features`` and ``weight``.

    Args:
        features: (B, G, C) floating, of the centers.
        index: (B, N, K) int64 in [0, G), from `three_nearest`.
        weight: (B, N, K) floating.

    Returns:
        (B, N, C) in the dtype of ``features``.
    """
    if features.ndim != 3 or len(features) != len(index) or index.ndim != 3 or index.shape != weight.shape:
        found = [tuple(tensor.shape) for tensor in (features, index, weight)]
        raise TapError(
            f"interpolate: features {found[0]}, index {found[1]}, weight {found[2]}; expected (B, G, C), (B, N, K) twice"
        )
    return backend_for(features.device).interpolate(features, index, weight)


def _check(points: Tensor, centers: Tensor | None, mask: Tensor | None, channels: int) -> None:
    """Refuse shapes that do not fit together; the compiled loops read memory by them."""
    fits = points.ndim == 3 and points.shape[-1] == channels
    if centers is not None:
        fits = fits and centers.ndim == 3 and (len(centers), centers.shape[-1]) == (len(points), channels)
    if mask is not None:
        fits = fits and mask.dtype == torch.bool and mask.shape == points.shape[:2]
    if not fits:
        found = [None if tensor is None else tuple(tensor.shape) for tensor in (points, centers, mask)]
        raise TapError(
            f"ops: points {found[0]}, centers {found[1]}, mask {found[2]}; "
            f"expected (B, N, {channels}), (B, G, {channels}), and for a mask (B, N) bool"
        )
