"""Sums, maxima and spreads of neighbourhoods by compiled loops against plain torch, with gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import group_add, group_max, offset_variance, reference

GENERATOR = torch.Generator().manual_seed(0)
INDEX = torch.randint(0, 6, (2, 4, 3), generator=GENERATOR)
KEPT = torch.tensor([[True, False, True, True], [False, True, False, False]])


def numbers(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR).to(dtype).requires_grad_()


def same_gradients(found: Tensor, expected: Tensor, inputs: tuple[Tensor, ...]) -> None:
    given = torch.randn(expected.shape, generator=GENERATOR).to(expected.dtype)
    for one, other in zip(
        torch.autograd.grad(found, inputs, given), torch.autograd.grad(expected, inputs, given), strict=True
    ):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other)


def test_gradients_are_the_numerical_ones() -> None:
    features, own = numbers(2, 6, 5), numbers(2, 4, 5)
    checks: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = [
        (lambda rows, shift: group_add(rows, INDEX, shift), (features, own)),
        (lambda rows, center: offset_variance(rows, INDEX, center), (features, own)),
        (lambda rows, center: offset_variance(rows, INDEX, center, KEPT), (features, own)),
        (group_max, (numbers(4, 3, 5),)),
    ]
    for function, inputs in checks:
        assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sums_are_rounded_once(dtype: torch.dtype) -> None:
    features, shift = numbers(2, 6, 5, dtype=torch.float32), numbers(2, 4, 5, dtype=torch.float32)
    found, expected = group_add(features, INDEX, shift, dtype), reference.group_add(features, INDEX, shift, dtype)
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    same_gradients(found, expected, (features, shift))


def test_sums_in_bfloat16_round_to_even_and_keep_what_is_no_number() -> None:
    # One unit in the last place at 1 is 2^-7: halves of it go to the even neighbour, down at 1 and up at 1 + 2^-7.
    given = [1 + 2**-8, 1 + 2**-7 + 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 3.4e38, torch.inf, -torch.inf, torch.nan]
    features, index = torch.tensor([[given]]), torch.zeros(1, 1, 1, dtype=torch.int64)
    found = group_add(features, index, torch.zeros(1, 1, len(given)), torch.bfloat16)
    expected = [1, 1 + 2**-6, 1 + 2**-7, -1, torch.inf, torch.inf, -torch.inf, torch.nan]
    torch.testing.assert_close(found.float().flatten(), torch.tensor(expected), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_maxima_and_gradients_are_those_of_torch(dtype: torch.dtype) -> None:
    rows = numbers(7, 5, 40, dtype=dtype)  # of both signs
    found, expected = group_max(rows), reference.group_max(rows)
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    same_gradients(found, expected, (rows,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_of_equal_maxima_takes_the_gradient_and_nan_is_the_largest(dtype: torch.dtype) -> None:
    rows = torch.tensor([[[-0.0, 1.0, -torch.inf], [0.0, 1.0, -torch.inf]]], dtype=dtype, requires_grad=True)
    values = group_max(rows)
    assert values.tolist() == [[0.0, 1.0, -torch.inf]]
    (gradient,) = torch.autograd.grad(values.nan_to_num(neginf=-1.0)[:, :2].sum(), rows)
    assert gradient.sum(1).tolist() == [[1.0, 1.0, 0.0]]
    for sign in (1.0, -1.0):
        strange = torch.tensor([[[5.0], [torch.nan], [torch.inf]]], dtype=dtype).copysign(torch.tensor(sign))
        assert group_max(strange).isnan().all()


@pytest.mark.parametrize("kept", [None, KEPT, torch.zeros(2, 4, dtype=torch.bool)])
def test_the_spread_is_of_all_offsets_of_the_centers_that_count(kept: Tensor | None) -> None:
    features, own = numbers(2, 6, 5, dtype=torch.float32), numbers(2, 4, 5, dtype=torch.float32)
    found, expected = offset_variance(features, INDEX, own, kept), reference.offset_variance(features, INDEX, own, kept)
    offsets = torch.stack([features[cloud, INDEX[cloud]] - own[cloud, :, None] for cloud in range(2)])
    for cloud in range(2):
        numbers_of = offsets[cloud] if kept is None else offsets[cloud, kept[cloud]]
        by_hand = numbers_of.flatten().var() if len(numbers_of) else torch.tensor(0.0)
        torch.testing.assert_close(found[cloud], by_hand)
    torch.testing.assert_close(found, expected)
    same_gradients(found, expected, (features, own))


def test_tensors_may_be_strided_and_empty() -> None:
    rows = torch.randn(5, 4, 3, generator=GENERATOR).permute(2, 1, 0).requires_grad_()  # (3, 4, 5)
    found, expected = group_max(rows), reference.group_max(rows)
    assert torch.equal(found, expected)
    (one,), (other,) = torch.autograd.grad(found.sum(), rows), torch.autograd.grad(expected.sum(), rows)
    assert torch.equal(one, other)
    assert group_max(rows[:0]).shape == (0, 5)
    features, shift = numbers(2, 5, 6).transpose(1, 2), numbers(2, 5, 4).transpose(1, 2)
    assert torch.equal(group_add(features, INDEX, shift), reference.group_add(features, INDEX, shift, torch.float64))


@pytest.mark.parametrize("wrong", [-1, 6])
def test_an_index_outside_of_the_cloud_is_told(wrong: int) -> None:
    index = INDEX.clone()
    index[1, 3, 2] = wrong
    features, own = numbers(2, 6, 5, dtype=torch.float32), numbers(2, 4, 5, dtype=torch.float32)
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(TapError, match="outside of the 6 rows"):
            group_add(features, index, own, dtype)
    with pytest.raises(TapError, match="outside of the 6 rows"):
        offset_variance(features, index, own)


def test_shapes_that_do_not_fit_are_told() -> None:
    features, own = numbers(2, 6, 5), numbers(2, 3, 5)
    with pytest.raises(TapError, match=r"shift \(2, 3, 5\); expected \(B, N, C\)"):
        group_add(features, INDEX, own)
    with pytest.raises(TapError, match=r"own \(2, 3, 5\), kept None; expected"):
        offset_variance(features, INDEX, own)
    with pytest.raises(TapError, match=r"rows \(2, 0, 5\); expected \(R, K, C\)"):
        group_max(features[:, :0])
