"""Gathering and interpolating on the CPU against torch's own, with gradients."""

import pytest
import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import gather, group, interpolate, reference

GENERATOR = torch.Generator().manual_seed(0)


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Features (2, 6, 5), an index (2, 4, 3) with repeats, and weights of its shape."""
    features = torch.randn(2, 6, 5, generator=GENERATOR).to(dtype).requires_grad_()
    index = torch.randint(0, 6, (2, 4, 3), generator=GENERATOR)
    weight = torch.rand(2, 4, 3, generator=GENERATOR).to(dtype).requires_grad_()
    return features, index, weight


def test_gradients_are_the_numerical_ones() -> None:
    features, index, weight = example()
    assert torch.autograd.gradcheck(lambda rows: group(rows, index), features)
    assert torch.autograd.gradgradcheck(lambda rows: group(rows, index), features)
    assert torch.autograd.gradcheck(lambda rows, shares: interpolate(rows, index, shares), (features, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_rows_and_gradients_are_those_of_torch(dtype: torch.dtype) -> None:
    features, index, _ = example(dtype)
    given = torch.randn(2, 4, 3, 5, generator=GENERATOR).to(dtype)
    rows, expected = gather(features, index), reference.gather(features, index)
    assert rows.dtype == dtype
    assert torch.equal(rows, expected)
    (found,) = torch.autograd.grad(rows, features, given)
    (wanted,) = torch.autograd.grad(expected, features, given)
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_interpolation_and_gradients_are_those_of_torch(dtype: torch.dtype) -> None:
    features, index, _ = example(dtype)
    weight = torch.rand(2, 4, 3, generator=GENERATOR).requires_grad_()
    rows, expected = interpolate(features, index, weight), reference.interpolate(features, index, weight)
    assert rows.dtype == expected.dtype == dtype
    torch.testing.assert_close(rows, expected)
    given = torch.randn(2, 4, 5, generator=GENERATOR).to(dtype)
    found = torch.autograd.grad(rows, (features, weight), given)
    wanted = torch.autograd.grad(expected, (features, weight), given)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02 if dtype == torch.bfloat16 else 1e-6)


def test_many_small_gradients_are_not_lost_in_bfloat16() -> None:
    features = torch.zeros(1, 1, 2, dtype=torch.bfloat16, requires_grad=True)
    rows = gather(features, torch.zeros(1, 4096, dtype=torch.int64))
    torch.autograd.backward(rows.sum())
    assert features.grad is not None
    assert features.grad.tolist() == [[[4096.0, 4096.0]]]  # added up in bfloat16 it would stand still at 256


def test_tensors_may_be_strided_and_empty() -> None:
    features = torch.randn(2, 5, 6, generator=GENERATOR).transpose(1, 2).requires_grad_()  # (2, 6, 5)
    index = torch.randint(0, 6, (3, 2), generator=GENERATOR).t()  # (2, 3)
    rows = gather(features, index)
    assert torch.equal(rows, reference.gather(features, index))
    (found,) = torch.autograd.grad(rows.sum(), features)  # an expanded gradient
    (wanted,) = torch.autograd.grad(reference.gather(features, index).sum(), features)
    assert torch.equal(found, wanted)
    assert gather(features, index[:, :0]).shape == (2, 0, 5)
    assert gather(features[:, :0], index[:, :0]).shape == (2, 0, 5)


@pytest.mark.parametrize("wrong", [-1, 6])
def test_an_index_outside_of_the_cloud_is_told(wrong: int) -> None:
    features, index, weight = example(torch.float32)
    index[1, 3, 2] = wrong
    with pytest.raises(TapError, match="outside of the 6 rows"):
        gather(features, index)
    with pytest.raises(TapError, match="outside of the 6 rows"):
        interpolate(features, index, weight)
