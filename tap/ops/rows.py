"""Gathering and interpolating rows on the CPU, with their gradients: copies and sums by compiled loops.

Torch's own gather looks up an index for every number, and its gradient adds them one by one; here a row is moved at once.
Gradients are sums in the order of the rows of one cloud, so they are the same whatever the number of threads.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import reference, row_kernels
from tap.ops.shapes import keep_inputs
from tap.ops.threads import share_out

_FLOATING = (torch.float32, torch.float64, torch.bfloat16)


def gather(features: Tensor, index: Tensor) -> Tensor:
    """`tap.ops.gather`, with gradients of any order; types other than float32, float64 and bfloat16 take torch's way."""
    if features.dtype not in _FLOATING:
        return reference.gather(features, index)
    rows: Tensor = _take_rows(features, index.reshape(len(index), -1))  # (B, rows, C)
    return rows.reshape(*index.shape, features.shape[-1])  # (B, ..., C)


def interpolate(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """`tap.ops.interpolate`, with first gradients only; a product of bfloat16 is summed in float32."""
    if features.dtype not in _FLOATING:
        return reference.interpolate(features, index, weight)
    wide = torch.promote_types(features.dtype, torch.float32)
    rows: Tensor = _mix_rows(features.to(wide), index, weight.to(wide))  # (B, N, C)
    return rows.to(features.dtype)


@torch.library.custom_op("tap::take_rows", mutates_args=(), device_types="cpu")
def _take_rows(features: Tensor, index: Tensor) -> Tensor:
    """Rows (B, R, C) of features (B, N, C) by index (B, R)."""
    rows = features.new_empty((*index.shape, features.shape[-1]))
    run(row_kernels.take_rows, bits(features), array(index), bits(rows))
    return rows


@torch.library.custom_op("tap::add_rows", mutates_args=(), device_types="cpu")
def _add_rows(rows: Tensor, index: Tensor, num_points: int) -> Tensor:
    """Sums (B, N, C) of the rows (B, R, C) that an index (B, R) sends to each place; the transpose of `_take_rows`."""
    wide = torch.promote_types(rows.dtype, torch.float32)  # a sum of many rows in bfloat16 would stand still
    sums = rows.new_zeros((len(rows), num_points, rows.shape[-1]), dtype=wide)
    kernel = row_kernels.add_bfloat16_rows if rows.dtype == torch.bfloat16 else row_kernels.add_rows
    run(kernel, sums.numpy(), array(index), bits(rows))
    return sums.to(rows.dtype)


@torch.library.custom_op("tap::mix_rows", mutates_args=(), device_types="cpu")
def _mix_rows(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Sums (B, N, C) of the rows of features (B, G, C) at index (B, N, K), times weight (B, N, K)."""
    rows = features.new_empty((*index.shape[:2], features.shape[-1]))
    run(row_kernels.mix_rows, array(features), array(index), array(weight), rows.numpy())
    return rows


@torch.library.custom_op("tap::mix_rows_gradients", mutates_args=(), device_types="cpu")
def _mix_rows_gradients(gradient: Tensor, features: Tensor, index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `_mix_rows` for its features and its weight."""
    for_features, for_weight = features.new_zeros(features.shape), weight.new_empty(weight.shape)
    given = [array(tensor) for tensor in (features, index, weight, gradient)]
    run(row_kernels.mix_rows_gradients, *given, for_features.numpy(), for_weight.numpy())
    return for_features, for_weight


@_take_rows.register_fake
def _take_rows_fake(features: Tensor, index: Tensor) -> Tensor:
    return features.new_empty((*index.shape, features.shape[-1]))


@_add_rows.register_fake
def _add_rows_fake(rows: Tensor, index: Tensor, num_points: int) -> Tensor:
    return rows.new_empty((rows.shape[0], num_points, rows.shape[-1]))


@_mix_rows.register_fake
def _mix_rows_fake(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    return features.new_empty((*index.shape[:2], features.shape[-1]))


@_mix_rows_gradients.register_fake
def _mix_rows_gradients_fake(
    gradient: Tensor, features: Tensor, index: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    return features.new_empty(features.shape), weight.new_empty(weight.shape)


def _keep_index(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, index = inputs[:2]
    ctx.save_for_backward(index)
    ctx.num_points = features.shape[1]


def _take_rows_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return _add_rows(gradient, ctx.saved_tensors[0], ctx.num_points), None


def _add_rows_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return _take_rows(gradient, ctx.saved_tensors[0]), None, None


def _mix_rows_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
    features, index, weight = ctx.saved_tensors
    for_features, for_weight = _mix_rows_gradients(gradient, features, index, weight)
    return for_features, None, for_weight


_take_rows.register_autograd(_take_rows_backward, setup_context=_keep_index)
_add_rows.register_autograd(_add_rows_backward, setup_context=_keep_index)
_mix_rows.register_autograd(_mix_rows_backward, setup_context=keep_inputs)


def run(kernel: Callable[..., bool], *arrays: Any) -> None:
    """Run a kernel on slices of all arrays along the clouds; the first array says how many rows a cloud has."""
    outside: list[slice] = []

    def work(part: slice) -> None:
        if not kernel(*(array[part] for array in arrays)):
            outside.append(part)

    share_out(len(arrays[0]), work)
    if outside:
        raise TapError(f"gather: the index reaches outside of the {arrays[0].shape[1]} rows of a cloud")


def array(tensor: Tensor) -> Any:
    """The same memory as an array, or a copy's where the tensor is strided."""
    return tensor.contiguous().numpy()


def bits(tensor: Tensor) -> Any:
    """The same memory as an array; bfloat16, which numpy lacks, as integers to be copied."""
    tensor = tensor.contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
