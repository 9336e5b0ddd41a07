import pytest
import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import (
    ball_query,
    ball_query_reference,
    farthest_point_sampling,
    farthest_point_sampling_reference,
    gather,
    nearest_neighbors,
)


def on_a_line(*places: float) -> Tensor:
    return torch.tensor([[[place, 0.0, 0.0] for place in places]])


def random_clouds(seed: int, grid: bool = False) -> tuple[Tensor, Tensor]:
    """Clouds (4, 200, 3) and masks with from 3 to 150 real points; on a grid nearly all distances tie."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(4, 200, 3, generator=generator)
    mask = torch.zeros(4, 200, dtype=torch.bool)
    for cloud, count in enumerate((3, 20, 64, 150)):
        mask[cloud, torch.randperm(200, generator=generator)[:count]] = True
    return points.round() if grid else points, mask


def test_farthest_points_of_a_line_by_hand() -> None:
    points = on_a_line(0, 1, 2, 10, 4.5)
    assert farthest_point_sampling(points, 4).tolist() == [[0, 3, 4, 2]]
    mask = torch.tensor([[False, True, True, False, True]])
    assert farthest_point_sampling(points, 2, mask).tolist() == [[1, 4]]
    # Three real points: each once, then the first again.
    assert farthest_point_sampling(points, 5, mask).tolist() == [[1, 4, 2, 1, 1]]


def test_farthest_points_tie_to_the_lowest_index() -> None:
    assert farthest_point_sampling(on_a_line(0, 1, -1, 1), 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_compiled_paths_give_the_indices_of_the_reference(grid: bool, masked: bool) -> None:
    for seed in range(3):
        points, mask = random_clouds(seed, grid)
        chosen = mask if masked else None
        samples = farthest_point_sampling(points, 64, chosen)
        assert torch.equal(samples, farthest_point_sampling_reference(points, 64, chosen))
        centers = gather(points, samples)
        for radius, size in ((0.5, 8), (1.0, 3), (9.0, 300)):
            expected = ball_query_reference(points, centers, radius, size, chosen)
            assert torch.equal(ball_query(points, centers, radius, size, chosen), expected)


def test_a_ball_takes_its_first_points_and_repeats_the_first() -> None:
    points = on_a_line(5, 0.2, 0, 0.5, -0.3)
    centers = on_a_line(0, 5, 99)
    found = ball_query(points, centers, 0.5, 3)
    assert found.tolist() == [[[1, 2, 4], [0, 0, 0], [0, 0, 0]]]  # .5 is not inside; an empty ball holds index 0
    mask = torch.tensor([[True, False, True, True, True]])
    assert ball_query(points, centers, 0.5, 4, mask).tolist() == [[[2, 4, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]]]


def test_nearest_neighbours_by_hand() -> None:
    points = on_a_line(0, 1, 3, 10)
    assert nearest_neighbors(points, on_a_line(2.5, 9), 2).tolist() == [[[2, 1], [3, 2]]]
    mask = torch.tensor([[True, True, False, True]])
    assert nearest_neighbors(points, on_a_line(2.5), 4, mask).tolist() == [[[1, 0, 3, 2]]]


def test_gather_takes_rows_and_returns_gradients_to_them() -> None:
    features = torch.arange(12.0).reshape(2, 3, 2).requires_grad_()
    index = torch.tensor([[[2, 0], [0, 0]], [[1, 1], [2, 1]]])
    taken = gather(features, index)
    assert taken.shape == (2, 2, 2, 2)
    assert taken[1, 1].tolist() == [[10.0, 11.0], [8.0, 9.0]]
    torch.autograd.backward(taken.sum())
    assert features.grad is not None
    assert features.grad[..., 0].tolist() == [[3.0, 0.0, 1.0], [0.0, 3.0, 1.0]]


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(TapError, match="4 samples of 3 points"):
        farthest_point_sampling(torch.zeros(1, 3, 3), 4)
    with pytest.raises(TapError, match="4 of 3 points"):
        nearest_neighbors(torch.zeros(1, 3, 3), torch.zeros(1, 1, 3), 4)


@pytest.mark.gpu
def test_indices_on_cuda_are_those_of_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    points, mask = random_clouds(0)
    samples = farthest_point_sampling(points, 64, mask)
    assert torch.equal(farthest_point_sampling(points.to("cuda"), 64, mask.to("cuda")).cpu(), samples)
    centers = gather(points, samples)
    expected = ball_query(points, centers, 0.5, 8, mask)
    assert torch.equal(ball_query(points.to("cuda"), centers.to("cuda"), 0.5, 8, mask.to("cuda")).cpu(), expected)
