"""The point operations on CUDA as Triton kernels, which keep a cloud on the chip.

They give the indices of `tap.ops.reference`; between features of more than 3 channels the distances are torch's product
and only the choice of the smallest is a kernel. Clouds of more than 16,384 points take the reference, except in ball
queries. Triton is imported on first use. Gathering is torch's own, whose gradient on CUDA adds in no fixed order.
"""

from typing import Any

import torch
from torch import Tensor

from tap.ops import reference, shapes
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

_MOST_POINTS = 16384  # that fit into the registers of one program
_BALL_BLOCK = 256
# A fused multiply-add rounds once where the reference rounds twice, and so orders nearly equal distances in another way.
_EXACT: dict[str, Any] = {"enable_fp_fusion": False}


def farthest_point_sampling(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.farthest_point_sampling` of float32 points."""
    if points.shape[1] > _MOST_POINTS:
        return reference.farthest_point_sampling(points, num_samples, mask)
    indices: Tensor = _farthest(points, num_samples, mask)
    return indices


def ball_query(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.ball_query` of float32 points."""
    indices: Tensor = _ball(points, centers, radius, num_neighbors, mask)
    return indices


def nearest_neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """`tap.ops.nearest_neighbors` of float32 points."""
    if points.shape[1] > _MOST_POINTS:
        return reference.nearest_neighbors(points, centers, num_neighbors, mask)
    if points.shape[-1] == reference.EXACT_CHANNELS:
        found: Tensor = _nearest(points, centers, num_neighbors, mask)
        return found
    indices: Tensor = _smallest(reference.squared_distances(points, centers, mask), num_neighbors, mask)
    return indices


@torch.library.custom_op("tap::triton_farthest_point_sampling", mutates_args=())
def _farthest(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    batch, num_points, _ = points.shape
    indices = points.new_empty((batch, num_samples), dtype=torch.int64)
    block = _power_of_two(num_points)
    sizes = (num_points, num_samples)
    with torch.cuda.device(points.get_device()):
        _kernels().sample_farthest[(batch,)](
            points.contiguous(),
            _dense(mask),
            indices,
            *sizes,
            mask is not None,
            block,
            num_warps=_warps(block),
            **_EXACT,
        )
    return indices


@torch.library.custom_op("tap::triton_ball_query", mutates_args=())
def _ball(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    batch, num_centers, _ = centers.shape
    indices = points.new_empty((batch, num_centers, num_neighbors), dtype=torch.int64)
    given = (points.contiguous(), centers.contiguous(), _dense(mask), indices, reference.squared_radius(radius))
    sizes = (points.shape[1], num_centers, num_neighbors)
    block, slots = min(_BALL_BLOCK, _power_of_two(points.shape[1])), _power_of_two(num_neighbors)
    with torch.cuda.device(points.get_device()):
        _kernels().query_balls[(num_centers, batch)](
            *given, *sizes, mask is not None, block, slots, num_warps=1, **_EXACT
        )
    return indices


@torch.library.custom_op("tap::triton_nearest_neighbors", mutates_args=())
def _nearest(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    batch, num_centers, _ = centers.shape
    indices = points.new_empty((batch, num_centers, num_neighbors), dtype=torch.int64)
    given = (points.contiguous(), centers.contiguous(), _dense(mask), indices)
    sizes, block = (points.shape[1], num_centers, num_neighbors), _power_of_two(points.shape[1])
    with torch.cuda.device(points.get_device()):
        _kernels().nearest_points[(num_centers, batch)](
            *given, *sizes, mask is not None, block, num_warps=_warps(block), **_EXACT
        )
    return indices


@torch.library.custom_op("tap::triton_smallest", mutates_args=())
def _smallest(rows: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    batch, num_centers, num_points = rows.shape
    indices = rows.new_empty((batch, num_centers, num_neighbors), dtype=torch.int64)
    sizes, block = (num_points, num_centers, num_neighbors), _power_of_two(num_points)
    with torch.cuda.device(rows.get_device()):
        _kernels().smallest_of_rows[(num_centers, batch)](
            rows.contiguous(), _dense(mask), indices, *sizes, mask is not None, block, num_warps=_warps(block)
        )
    return indices


_farthest.register_fake(shapes.sampled)
_ball.register_fake(shapes.in_balls)
_nearest.register_fake(shapes.neighbors)


@_smallest.register_fake
def _smallest_fake(rows: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    return rows.new_empty((*rows.shape[:2], num_neighbors), dtype=torch.int64)


def _kernels() -> Any:
    from tap.ops import triton_kernels  # on use: triton is optional, and asks for its interpreter when kernels are made

    return triton_kernels


def _dense(mask: Tensor | None) -> Tensor | None:
    """A mask as the kernels read it: one byte a point."""
    return None if mask is None else mask.contiguous().view(torch.uint8)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _warps(block: int) -> int:
    """So many that a thread holds few points, and no more than one program may have."""
    return max(1, min(16, block // 256))
