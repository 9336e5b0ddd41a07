"""Every implementation gives the indices of the reference, on clouds that are easy and clouds that are not."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from tap.ops import (
    ball_query,
    farthest_point_sampling,
    gather,
    interpolate,
    nearest_neighbors,
    three_nearest,
    triton_ops,
    use,
)

KINDS = ["random", "ties", "line", "far", "one point", "all neighbours"]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
NAMES = ["cpu", pytest.param("pytorch3d", marks=pytest.mark.pytorch3d)]


def clouds(kind: str, num_points: int) -> tuple[Tensor, Tensor]:
    """Clouds (4, N, 3), and masks that leave 3 points, half, all, and none."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(4, num_points, 3, generator=generator)
    if kind == "ties":  # on a grid nearly all distances tie, and points occur many times
        points = points.round()
    elif kind == "line":
        points = points[..., :1].expand(-1, -1, 3).contiguous()
    elif kind == "far":
        points = 0.1 * points + torch.tensor([300.0, -500.0, 800.0])
    elif kind == "one point":
        points = points[:, :1]
    mask = torch.zeros(points.shape[:2], dtype=torch.bool)
    for cloud, count in enumerate((min(3, points.shape[1]), (points.shape[1] + 1) // 2, points.shape[1])):
        mask[cloud, torch.randperm(points.shape[1], generator=generator)[:count]] = True
    return points, mask


def compare(name: str, kind: str, points: Tensor, mask: Tensor | None, device: str = "cpu") -> None:
    """All searches of one implementation and of the reference, on the same tensors."""
    num_points = points.shape[1]
    num_neighbors = num_points if kind == "all neighbours" else min(24, num_points)
    results = []
    for choice, place in ((name, device), ("reference", "cpu")):
        cloud, real = points.to(place), None if mask is None else mask.to(place)
        with use(choice):
            samples = farthest_point_sampling(cloud, (num_points + 2) // 3, real)
            centers = gather(cloud, samples)
            near = nearest_neighbors(cloud, centers, num_neighbors, real)
            if name == "pytorch3d":
                near = (gather(cloud, near) - centers[:, :, None]).square().sum(-1)  # it may order ties in any way
            results.append(
                [
                    samples,
                    ball_query(cloud, centers, 0.5, 8, real),
                    ball_query(cloud, centers, 9.0, num_points + 5, real),  # all points, and more slots than points
                    near,
                ]
            )
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_searches_agree_with_the_reference(name: str, kind: str, masked: bool) -> None:
    if name == "pytorch3d" and find_spec("pytorch3d") is None:
        pytest.skip("needs pytorch3d")
    for num_points in (200, 600):  # the longer one takes the bound of the compiled search
        points, mask = clouds(kind, num_points)
        compare(name, kind, points, mask if masked else None)


@pytest.mark.parametrize("channels", [1, 2, 4, 70])
def test_searches_among_features_agree_with_the_reference(channels: int) -> None:
    generator = torch.Generator().manual_seed(channels)
    features, mask = torch.randn(3, 500, channels, generator=generator), torch.rand(3, 500, generator=generator) < 0.7
    mask[2] = False
    for real in (None, mask):
        for number in (1, 20, 40):
            with use("reference"):
                expected = nearest_neighbors(features, features[:, :90], number, real)
            assert torch.equal(nearest_neighbors(features, features[:, :90], number, real), expected)


def test_points_outside_the_mask_may_hold_anything() -> None:
    points, mask = clouds("random", 100)
    features = torch.randn(4, 100, 8, generator=torch.Generator().manual_seed(1))
    mask[3, :9] = True
    centers = points[:, :5].clone()
    for name in ("cpu", "reference"):
        with use(name):
            results = []
            for filler in (0.0, 7.0, torch.nan):
                cloud = points.masked_fill(~mask[..., None], filler)
                wide = features.masked_fill(~mask[..., None], filler)
                near = nearest_neighbors(cloud, centers, 6, mask)
                results.append(
                    (near, nearest_neighbors(wide, features[:, :5], 6, mask), ball_query(cloud, centers, 1.0, 6, mask))
                )
            for other in results[1:]:
                assert all(torch.equal(found, first) for found, first in zip(other, results[0], strict=True))


def test_a_cloud_with_nan_gives_indices_inside_the_cloud() -> None:
    points = torch.full((1, 300, 3), torch.nan)
    for index in (nearest_neighbors(points, points, 5), ball_query(points, points, 0.5, 5)):
        assert index.min() >= 0
        assert index.max() < 300


@pytest.fixture
def triton_device() -> str:
    """CUDA where there is one, else the interpreter in a process that was begun for it."""
    if find_spec("triton") is None:
        pytest.skip("needs triton")
    if INTERPRETED:
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device; the interpreter runs in test_triton_in_the_interpreter")
    return "cuda"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_triton_agrees_with_the_reference(triton_device: str, kind: str, masked: bool) -> None:
    points, mask = clouds(kind, 12 if triton_device == "cpu" else 1000)  # the interpreter takes a millisecond a line
    compare("triton", kind, points, mask if masked else None, triton_device)
    if kind == "random":
        features = torch.randn(4, points.shape[1], 8, generator=torch.Generator().manual_seed(1)).to(triton_device)
        real = mask.to(triton_device) if masked else None
        with use("reference"):
            expected = nearest_neighbors(features, features, 5, real)
        with use("triton"):
            assert torch.equal(nearest_neighbors(features, features, 5, real), expected)


def test_triton_leaves_larger_clouds_to_the_reference(triton_device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_ops, "_MOST_POINTS", 8)
    monkeypatch.setattr(triton_ops, "_kernels", lambda: pytest.fail("no kernel for so many points"))
    points = torch.randn(2, 9, 3).to(triton_device)
    with use("triton"):
        assert farthest_point_sampling(points, 4).shape == (2, 4)
        assert nearest_neighbors(points, points, 4).shape == (2, 9, 4)


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
def test_triton_in_the_interpreter() -> None:
    if find_spec("triton") is None:
        pytest.skip("needs triton")
    # In a process of its own: what triton brings is interpreted only if that is asked for before torch imports it.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "triton"]
    run = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout
    assert "13 passed" in run.stdout, run.stdout


@pytest.mark.gpu
def test_cuda_gives_the_indices_of_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    points, mask = clouds("random", 500)
    compare("auto", "random", points, mask, "cuda")
    index, weight = three_nearest(points, points[:, :40])
    features = torch.randn(4, 40, 16)
    expected = interpolate(features, index, weight)
    found = interpolate(features.to("cuda"), index.to("cuda"), weight.to("cuda"))
    torch.testing.assert_close(found.cpu(), expected)
