"""Linear layers on rows, at the speed that the processor has in float32.

On x86 torch multiplies float32 matrices with MKL, which gives processors other than Intel's half of their vector width; its
convolutions go through oneDNN, which gives all of it. A 1 x 1 convolution of rows laid out as pixels is the same product of
the same memory, about twice as fast there. Other devices and types take torch's linear layer.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_WIDE = _ONEDNN and torch.backends.cpu.get_cpu_capability() == "AVX512"
_PIXELS = 128  # of an image: few enough to stay in the cache
_FEWEST_PIXELS = 8
_MORE_IMAGES = 16  # torch leaves a batch of up to so many to MKL


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, to float rounding.

    Args:
        rows: (..., C in) floating.
        weight: (C out, C in).
        bias: (C out,) or None.

    Returns:
        (..., C out), not to be written over while its gradient is wanted.
    """
    wide = _WIDE and rows.device.type == "cpu" and rows.dtype == weight.dtype == torch.float32
    if not wide or torch.is_autocast_enabled("cpu"):
        return F.linear(rows, weight, bias)
    products: Tensor = _multiply(rows.reshape(-1, rows.shape[-1]), weight, bias)
    return products.reshape(*rows.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`torch.nn.Linear` by way of `linear`: the same parameters and names."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., C in) to (..., C out)."""
        return linear(input, self.weight, self.bias)


@torch.library.custom_op("tap::multiply_rows", mutates_args=(), device_types="cpu")
def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear` of rows (R, C in) to (R, C out); an operator, so that a compiled model leaves the choice to each batch."""
    pixels = _pixels(len(rows))
    if not pixels:
        return F.linear(rows, weight, bias)
    products = F.conv2d(_images(rows, pixels), weight[:, :, None, None], bias)
    return products.permute(0, 2, 3, 1).reshape(len(rows), len(weight))  # no copy: channels are last in memory


@torch.library.custom_op("tap::multiply_rows_gradients", mutates_args=(), device_types="cpu")
def _multiply_gradients(
    gradient: Tensor, rows: Tensor, weight: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `_multiply` for rows, weight and bias; an empty tensor for one that is not wanted."""
    for_bias = gradient.sum(0) if wanted[2] else gradient.new_empty(0)
    nothing = gradient.new_empty(0)
    pixels = _pixels(len(rows))
    if not pixels:
        for_rows = gradient @ weight if wanted[0] else nothing
        return for_rows, gradient.t() @ rows if wanted[1] else nothing.clone(), for_bias
    layout: tuple[Any, ...] = (None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [wanted[0], wanted[1], False])
    given = (_images(gradient, pixels), _images(rows, pixels), weight[:, :, None, None])
    images, kernel, _ = torch.ops.aten.convolution_backward(*given, *layout)
    for_rows = images.permute(0, 2, 3, 1).reshape(rows.shape) if wanted[0] else nothing
    return for_rows, kernel.reshape(weight.shape).contiguous() if wanted[1] else nothing.clone(), for_bias


@_multiply.register_fake
def _multiply_fake(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows.new_empty((rows.shape[0], weight.shape[0]))


@_multiply_gradients.register_fake
def _multiply_gradients_fake(
    gradient: Tensor, rows: Tensor, weight: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (rows.shape, weight.shape, weight.shape[:1])
    first, second, third = (
        gradient.new_empty(shape if want else (0,)) for shape, want in zip(shapes, wanted, strict=True)
    )
    return first, second, third


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _multiply_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad)
    found = _multiply_gradients(gradient, *ctx.saved_tensors, wanted)
    return tuple(one if want else None for one, want in zip(found, wanted, strict=True))


_multiply.register_autograd(_multiply_backward, setup_context=_keep_inputs)


def _pixels(count: int) -> int:
    """How many of so many rows make an image, or 0 where too few to be worth it."""
    pixels = math.gcd(count, _PIXELS)
    while count <= _MORE_IMAGES * pixels and pixels > 1:
        pixels //= 2
    return pixels if pixels >= _FEWEST_PIXELS else 0


def _images(rows: Tensor, pixels: int) -> Tensor:
    """Rows (R, C) as (images, C, pixels, 1), channels last in memory: no copy of rows that are dense."""
    return rows.contiguous().view(-1, pixels, 1, rows.shape[-1]).permute(0, 3, 1, 2)
