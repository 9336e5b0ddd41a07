"""What the layers of neighbourhoods do on the CPU, with gradients: sums with a center, maxima, spread of offsets.

Each reads and writes the numbers of a neighbourhood once, where torch takes several passes and a slow maximum. First
gradients only; sums of gradients are in the order of the rows of one cloud, whatever the number of threads.
"""

from typing import Any

import torch
from torch import Tensor

from tap.ops import neighborhood_kernels as kernels
from tap.ops import reference
from tap.ops.rows import array, bits, run
from tap.ops.shapes import keep_inputs
from tap.ops.threads import share_out

_FLOATING = (torch.float32, torch.float64)
_MOST_NEIGHBORS = 2**15 - 1  # whose place is kept in 16 bits


def group_add(features: Tensor, index: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    """`tap.ops.group_add`."""
    kind = features.dtype
    known = dtype == kind or (kind, dtype) == (torch.float32, torch.bfloat16)
    if kind not in _FLOATING or shift.dtype != kind or not known:
        return reference.group_add(features, index, shift, dtype)
    sums: Tensor = _add_centers(features, index, shift, dtype)
    return sums


def group_max(rows: Tensor) -> Tensor:
    """`tap.ops.group_max`."""
    if rows.dtype not in (*_FLOATING, torch.bfloat16) or rows.shape[1] > _MOST_NEIGHBORS:
        return reference.group_max(rows)
    values: Tensor = _largest(rows)[0]
    return values


def offset_variance(features: Tensor, index: Tensor, own: Tensor, kept: Tensor | None) -> Tensor:
    """`tap.ops.offset_variance`."""
    if features.dtype not in _FLOATING or own.dtype != features.dtype:
        return reference.offset_variance(features, index, own, kept)
    if kept is None:
        kept = torch.ones(index.shape[:2], dtype=torch.bool, device=index.device)
    total, squares = _offset_sums(features, index, own, kept).unbind(1)  # (B,) float64
    count = kept.sum(1) * index.shape[2] * features.shape[2]
    deviation = squares - total.square() / count.clamp(min=1)
    variance: Tensor = (deviation / (count - 1).clamp(min=1)).clamp(min=0.0).to(features.dtype)  # (B,)
    return variance


@torch.library.custom_op("tap::add_centers", mutates_args=(), device_types="cpu")
def _add_centers(features: Tensor, index: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    sums = features.new_empty((*index.shape, features.shape[-1]), dtype=dtype)
    kernel = kernels.add_centers if dtype == features.dtype else kernels.add_centers_bfloat16
    run(kernel, array(features), array(index), array(shift), bits(sums))
    return sums


@torch.library.custom_op("tap::add_centers_gradients", mutates_args=(), device_types="cpu")
def _add_centers_gradients(
    gradient: Tensor, index: Tensor, num_points: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    for_features = gradient.new_zeros((len(index), num_points, gradient.shape[-1]), dtype=dtype)
    for_shift = gradient.new_zeros((*index.shape[:2], gradient.shape[-1]), dtype=dtype)
    wide = gradient.dtype != torch.bfloat16
    kernel = kernels.add_centers_gradients if wide else kernels.add_centers_gradients_bfloat16
    run(kernel, for_features.numpy(), array(index), bits(gradient), for_shift.numpy())
    return for_features, for_shift


@torch.library.custom_op("tap::largest", mutates_args=(), device_types="cpu")
def _largest(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of rows (R, K, C) over K, (R, C), and its place among them, int16."""
    values = rows.new_empty((rows.shape[0], rows.shape[2]))
    slots = torch.empty(values.shape, dtype=torch.int16)
    kernel = kernels.largest_bfloat16 if rows.dtype == torch.bfloat16 else kernels.largest
    given, best, place = bits(rows), bits(values), slots.numpy()
    share_out(len(rows), lambda part: kernel(given[part], best[part], place[part]))
    return values, slots


@torch.library.custom_op("tap::spread_out", mutates_args=(), device_types="cpu")
def _spread_out(gradient: Tensor, slots: Tensor, num_neighbors: int) -> Tensor:
    """Rows (R, K, C) that hold the gradient (R, C) at its places, else 0; the transpose of `_largest`."""
    rows = gradient.new_empty((gradient.shape[0], num_neighbors, gradient.shape[1]))
    given, place, spread = bits(gradient), array(slots), bits(rows)
    share_out(len(given), lambda part: kernels.spread_out(given[part], place[part], spread[part]))
    return rows


@torch.library.custom_op("tap::offset_sums", mutates_args=(), device_types="cpu")
def _offset_sums(features: Tensor, index: Tensor, own: Tensor, kept: Tensor) -> Tensor:
    """Sum and sum of squares of a cloud's offsets, (B, 2) float64."""
    sums = features.new_empty((len(index), 2), dtype=torch.float64)
    run(kernels.offset_sums, array(features), array(index), array(own), array(kept), sums.numpy())
    return sums


@torch.library.custom_op("tap::offset_sums_gradients", mutates_args=(), device_types="cpu")
def _offset_sums_gradients(
    gradient: Tensor, features: Tensor, index: Tensor, own: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor]:
    for_features, for_own = features.new_zeros(features.shape), own.new_zeros(own.shape)
    given = [array(tensor) for tensor in (features, index, own, kept, gradient.to(features.dtype))]
    run(kernels.offset_sums_gradients, *given, for_features.numpy(), for_own.numpy())
    return for_features, for_own


@_add_centers.register_fake
def _add_centers_fake(features: Tensor, index: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    return features.new_empty((*index.shape, features.shape[-1]), dtype=dtype)


@_add_centers_gradients.register_fake
def _add_centers_gradients_fake(
    gradient: Tensor, index: Tensor, num_points: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    channels = gradient.shape[-1]
    for_features = gradient.new_empty((index.shape[0], num_points, channels), dtype=dtype)
    return for_features, gradient.new_empty((*index.shape[:2], channels), dtype=dtype)


@_largest.register_fake
def _largest_fake(rows: Tensor) -> tuple[Tensor, Tensor]:
    values = rows.new_empty((rows.shape[0], rows.shape[2]))
    return values, torch.empty_like(values, dtype=torch.int16)


@_spread_out.register_fake
def _spread_out_fake(gradient: Tensor, slots: Tensor, num_neighbors: int) -> Tensor:
    return gradient.new_empty((gradient.shape[0], num_neighbors, gradient.shape[1]))


@_offset_sums.register_fake
def _offset_sums_fake(features: Tensor, index: Tensor, own: Tensor, kept: Tensor) -> Tensor:
    return features.new_empty((index.shape[0], 2), dtype=torch.float64)


@_offset_sums_gradients.register_fake
def _offset_sums_gradients_fake(
    gradient: Tensor, features: Tensor, index: Tensor, own: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor]:
    return features.new_empty(features.shape), own.new_empty(own.shape)


def _keep_index(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, index, *_ = inputs
    ctx.save_for_backward(index)
    ctx.num_points, ctx.dtype = features.shape[1], features.dtype


def _add_centers_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, None]:
    for_features, for_shift = _add_centers_gradients(gradient, ctx.saved_tensors[0], ctx.num_points, ctx.dtype)
    return for_features, None, for_shift, None


def _keep_slots(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.num_neighbors = inputs[0].shape[1]


def _largest_backward(ctx: Any, gradient: Tensor, _: Tensor) -> Tensor:
    rows: Tensor = _spread_out(gradient, ctx.saved_tensors[0], ctx.num_neighbors)
    return rows


def _offset_sums_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, None]:
    for_features, for_own = _offset_sums_gradients(gradient, *ctx.saved_tensors)
    return for_features, None, for_own, None


_add_centers.register_autograd(_add_centers_backward, setup_context=_keep_index)
_largest.register_autograd(_largest_backward, setup_context=_keep_slots)
_offset_sums.register_autograd(_offset_sums_backward, setup_context=keep_inputs)
