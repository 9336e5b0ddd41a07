import numpy as np
import pytest

from render.errors import RenderError
from render.farthest import farthest_subset, sample_clouds


def reference(points: np.ndarray, num_samples: int) -> list[int]:
    """The definition, in float32 and in the kernel's order of operations."""
    distance = np.full(len(points), np.inf, np.float32)
    chosen = [0]
    while len(chosen) < num_samples:
        x, y, z = (points - points[chosen[-1]]).T
        distance = np.minimum(distance, x * x + y * y + z * z)
        chosen.append(int(distance.argmax()))
    return chosen


def cloud(kind: str, num_points: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(num_points, 3))
    if kind == "grid":  # nearly all distances tie
        points = points.round()
    elif kind == "plane":
        points[:, 1] = 3
    elif kind == "clusters":
        points = points * 1e-3 + np.arange(num_points)[:, None] % 5
    elif kind == "far away":
        points = points + 1e4
    elif kind == "one place":
        points[:] = 1
    return points.astype(np.float32)


@pytest.mark.parametrize("kind", ["ball", "grid", "plane", "clusters", "far away", "one place"])
@pytest.mark.parametrize("num_points", [1, 2, 63, 64, 65, 1000])
def test_buckets_give_the_indices_of_the_definition(kind: str, num_points: int) -> None:
    points = cloud(kind, num_points)
    for num_samples in {1, num_points // 3 + 1, num_points}:
        assert farthest_subset(points, num_samples).tolist() == reference(points, num_samples)


def test_farthest_of_a_line_by_hand() -> None:
    points = np.zeros((5, 3), np.float32)
    points[:, 0] = [0, 1, 2, 10, 4.5]
    assert farthest_subset(points, 4).tolist() == [0, 3, 4, 2]


def test_a_prefix_is_the_answer_for_fewer() -> None:
    points = cloud("ball", 500)
    np.testing.assert_array_equal(farthest_subset(points, 200)[:50], farthest_subset(points, 50))


def test_masked_points_are_never_taken() -> None:
    points = np.stack([cloud("ball", 300, seed) for seed in range(4)])
    mask = np.random.default_rng(0).random((4, 300)) < 0.5
    mask[3] = False
    indices = sample_clouds(points, mask, 20)
    for row, real, found in zip(points[:3], mask[:3], indices[:3], strict=True):
        places = np.flatnonzero(real)
        assert found.tolist() == places[reference(row[places], 20)].tolist()
    assert indices[3].tolist() == [0] * 20


def test_more_samples_than_points_are_refused() -> None:
    with pytest.raises(RenderError, match="4 samples of 3 points"):
        farthest_subset(np.zeros((3, 3), np.float32), 4)
