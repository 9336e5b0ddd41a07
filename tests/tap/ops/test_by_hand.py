"""Values worked out by hand, which every implementation gives."""

import math
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import (
    ball_query,
    farthest_point_sampling,
    gather,
    group,
    interpolate,
    nearest_neighbors,
    three_nearest,
    use,
)

NAMES = ["reference", "cpu", pytest.param("pytorch3d", marks=pytest.mark.pytorch3d)]


@pytest.fixture(autouse=True, params=NAMES)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "pytorch3d" and find_spec("pytorch3d") is None:
        pytest.skip("needs pytorch3d")
    with use(request.param):
        yield request.param


def on_a_line(*places: float) -> Tensor:
    return torch.tensor([[[place, 0.0, 0.0] for place in places]])


def test_farthest_points_of_a_line() -> None:
    points = on_a_line(0, 1, 2, 10, 4.5)
    assert farthest_point_sampling(points, 4).tolist() == [[0, 3, 4, 2]]
    mask = torch.tensor([[False, True, True, False, True]])
    assert farthest_point_sampling(points, 2, mask).tolist() == [[1, 4]]
    # Three real points: each once, then the first again.
    assert farthest_point_sampling(points, 5, mask).tolist() == [[1, 4, 2, 1, 1]]


def test_farthest_points_tie_to_the_lowest_index() -> None:
    assert farthest_point_sampling(on_a_line(0, 1, -1, 1), 3).tolist() == [[0, 1, 2]]


def test_a_ball_takes_its_first_points_and_repeats_the_first() -> None:
    points = on_a_line(5, 0.2, 0, 0.5, -0.3)
    centers = on_a_line(0, 5, 99)
    found = ball_query(points, centers, 0.5, 3)
    assert found.tolist() == [[[1, 2, 4], [0, 0, 0], [0, 0, 0]]]  # .5 is not inside; an empty ball holds index 0
    mask = torch.tensor([[True, False, True, True, True]])
    assert ball_query(points, centers, 0.5, 4, mask).tolist() == [[[2, 4, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]]]
    mask = torch.tensor([[False, True, True, True, True]])
    assert ball_query(points, centers, 0.5, 2, mask).tolist() == [[[1, 2], [0, 0], [0, 0]]]


def test_nearest_neighbours() -> None:
    points = on_a_line(0, 1, 3, 10)
    assert nearest_neighbors(points, on_a_line(2.5, 9), 2).tolist() == [[[2, 1], [3, 2]]]
    assert nearest_neighbors(points, on_a_line(2.5), 4).tolist() == [[[2, 1, 0, 3]]]  # K = N
    assert nearest_neighbors(on_a_line(7), on_a_line(2.5), 1).tolist() == [[[0]]]


def test_equal_distances_come_in_the_order_of_the_cloud() -> None:
    assert nearest_neighbors(on_a_line(1, -1, 0, 1, 1, -1), on_a_line(0), 5).tolist() == [[[2, 0, 1, 3, 4]]]


def test_missing_neighbours_repeat_the_nearest() -> None:
    points = on_a_line(0, 1, 3, 10)
    mask = torch.tensor([[True, True, False, False]])
    assert nearest_neighbors(points, on_a_line(2.5, -1), 4, mask).tolist() == [[[1, 0, 1, 1], [0, 1, 0, 0]]]
    assert nearest_neighbors(points, on_a_line(2.5), 3, torch.zeros(1, 4, dtype=torch.bool)).tolist() == [[[0, 0, 0]]]


def test_neighbours_of_features_are_those_in_double_precision() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(3.0, 1.0, (2, 300, 20))  # off the origin, where a bare product form would lose digits
    mask = generator.random((2, 300)) < 0.5
    squares = ((features[:, :, None] - features[:, None]) ** 2).sum(-1)  # (B, G, N)
    for chosen in (None, mask):
        expected = np.argsort(squares if chosen is None else np.where(chosen[:, None], squares, np.inf), axis=-1)
        points = torch.from_numpy(features).float()
        index = nearest_neighbors(points, points, 7, None if chosen is None else torch.from_numpy(chosen))
        assert index.tolist() == expected[..., :7].tolist()


def test_gather_takes_rows_and_returns_gradients_to_them() -> None:
    features = torch.arange(12.0).reshape(2, 3, 2).requires_grad_()
    index = torch.tensor([[[2, 0], [0, 0]], [[1, 1], [2, 1]]])
    taken = gather(features, index)
    assert torch.equal(taken, group(features, index))
    assert taken.shape == (2, 2, 2, 2)
    assert taken[1, 1].tolist() == [[10.0, 11.0], [8.0, 9.0]]
    torch.autograd.backward(taken.sum())
    assert features.grad is not None
    assert features.grad[..., 0].tolist() == [[3.0, 0.0, 1.0], [0.0, 3.0, 1.0]]
    whole = gather(torch.arange(6).reshape(1, 3, 2), torch.tensor([[2]]))
    assert whole.tolist() == [[[4, 5]]]  # integers too


def test_the_three_nearest_count_by_the_inverse_of_their_distance() -> None:
    index, weight = three_nearest(on_a_line(0, 10), on_a_line(1, 10, -4, 2))
    assert index.tolist() == [[[0, 3, 2], [1, 3, 0]]]
    torch.testing.assert_close(weight[0, 0], torch.tensor([4 / 7, 2 / 7, 1 / 7]))  # distances 1, 2, 4
    torch.testing.assert_close(weight[0, 1], torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)  # a center itself


def test_fewer_than_three_centers_leave_no_weight_for_the_missing() -> None:
    index, weight = three_nearest(on_a_line(0), on_a_line(-3, 1))
    assert index.tolist() == [[[1, 0, 1]]]
    torch.testing.assert_close(weight, torch.tensor([[[0.75, 0.25, 0.0]]]))
    index, weight = three_nearest(on_a_line(0), on_a_line(-3, 1, 0.5), torch.tensor([[True, False, False]]))
    assert (index.tolist(), weight.tolist()) == ([[[0, 0, 0]]], [[[1.0, 0.0, 0.0]]])
    _, weight = three_nearest(on_a_line(0), on_a_line(-3, 1, 0.5), torch.zeros(1, 3, dtype=torch.bool))
    assert weight.tolist() == [[[1.0, 0.0, 0.0]]]


def test_interpolation_sums_rows_by_weight() -> None:
    features = torch.tensor([[[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]])
    index, weight = torch.tensor([[[2, 0, 1], [1, 1, 1]]]), torch.tensor([[[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]])
    assert interpolate(features, index, weight).tolist() == [[[52.75, 105.5], [10.0, 20.0]]]
    halved = interpolate(features.bfloat16(), index, weight)
    assert halved.dtype == torch.bfloat16
    assert math.isclose(float(halved[0, 0, 0]), 52.75, rel_tol=0.01)


def test_indices_are_found_in_float32_under_autocast() -> None:
    # In bfloat16 all of these would lie in one place.
    places = [1000.0, 1000.01, 1000.03, 1000.07]
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest_neighbors(on_a_line(*places), on_a_line(1000.06), 4).tolist() == [[[3, 2, 1, 0]]]
        assert farthest_point_sampling(on_a_line(*places), 3).tolist() == [[0, 3, 2]]
        wide = torch.zeros(1, 4, 8)
        wide[0, :, 0] = torch.tensor(places)
        assert nearest_neighbors(wide, wide[:, 3:], 4).tolist() == [[[3, 2, 1, 0]]]


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(TapError, match="4 samples of 3 points"):
        farthest_point_sampling(torch.zeros(1, 3, 3), 4)
    with pytest.raises(TapError, match="4 of 3 points"):
        nearest_neighbors(torch.zeros(1, 3, 3), torch.zeros(1, 1, 3), 4)


def test_shapes_that_do_not_fit_are_told() -> None:
    points, index = torch.zeros(2, 5, 3), torch.zeros(2, 4, 3, dtype=torch.int64)
    with pytest.raises(TapError, match=r"points \(2, 5, 3\), centers \(1, 4, 3\), mask None; expected"):
        ball_query(points, torch.zeros(1, 4, 3), 0.1, 2)
    with pytest.raises(TapError, match=r"mask \(2, 4\)"):
        farthest_point_sampling(points, 2, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(TapError, match=r"gather: features \(2, 5, 3\), index \(3, 4\)"):
        gather(points, torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(TapError, match=r"interpolate: .* weight \(2, 4, 2\)"):
        interpolate(points, index, torch.zeros(2, 4, 2))
