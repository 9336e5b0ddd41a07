import importlib.util

import pytest
import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import (
    BACKENDS,
    available,
    backend,
    ball_query,
    farthest_point_sampling,
    gather,
    group,
    group_add,
    group_max,
    interpolate,
    nearest_neighbors,
    offset_variance,
    set_backend,
    three_nearest,
    use,
)
from tap.ops.backend import backend_for

CPU = torch.device("cpu")


def test_auto_takes_the_compiled_loops_on_the_cpu_and_triton_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend_for(CPU) is BACKENDS["cpu"]
    for present, name in ((True, "triton"), (False, "reference")):
        monkeypatch.setattr(backend, "_TRITON", present)
        assert backend_for(torch.device("cuda")) is BACKENDS[name]
    assert backend_for(torch.device("mps")) is BACKENDS["reference"]


def test_a_choice_holds_until_the_end_of_its_block() -> None:
    with use("reference"):
        assert backend_for(CPU) is BACKENDS["reference"]
        with use("cpu"):
            assert backend_for(CPU) is BACKENDS["cpu"]
        with pytest.raises(TapError, match="4 of 3"), use("cpu"):
            nearest_neighbors(torch.zeros(1, 3, 3), torch.zeros(1, 1, 3), 4)
        assert backend_for(CPU) is BACKENDS["reference"]
        set_backend("auto")
        assert backend_for(CPU) is BACKENDS["cpu"]
    assert backend_for(CPU) is BACKENDS["cpu"]


def test_unknown_and_missing_backends_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TapError, match="unknown backend 'cuda'; known are auto, reference, cpu, triton, pytorch3d"):
        set_backend("cuda")
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    monkeypatch.setattr(backend, "_TRITON", False)
    assert available() == ("auto", "reference", "cpu")
    with pytest.raises(TapError, match=r"'triton' needs the package triton .*; here are auto, reference, cpu"):
        set_backend("triton")
    with pytest.raises(TapError, match="'pytorch3d' needs the package pytorch3d"):
        set_backend("pytorch3d")
    monkeypatch.setattr(backend, "_TRITON", True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TapError, match="'triton' needs a CUDA device"):
        set_backend("triton")


def test_tensors_in_the_wrong_place_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    for name, device in (("cpu", "cuda"), ("triton", "cpu")):
        monkeypatch.setattr(backend, "_choice", name)
        with pytest.raises(TapError, match=f"backend '{name}' got tensors on {device}; choose auto"):
            backend_for(torch.device(device))


def test_importing_the_operations_imports_neither_triton_nor_pytorch3d() -> None:
    for module in ("triton_ops", "pytorch3d_ops"):
        spec = importlib.util.find_spec(f"tap.ops.{module}")
        assert spec is not None
        assert spec.loader is not None
        source = spec.loader.get_source(f"tap.ops.{module}")  # type: ignore[attr-defined]
        assert not [line for line in source.splitlines() if line.startswith(("import triton", "import pytorch3d"))]


def everything(points: Tensor, features: Tensor) -> Tensor:
    """A number from all of the operations."""
    samples = farthest_point_sampling(points, 8)
    centers, own = gather(points, samples), gather(features, samples)
    near = group(features, nearest_neighbors(points, centers, 4)).amax(2)
    ball = group(features, ball_query(points, centers, 0.5, 4)).amax(2)
    alike = group(features, nearest_neighbors(features, own, 3)).sum(2)
    back = interpolate(near + ball + alike, *three_nearest(points, centers))
    rows = group_add(features, nearest_neighbors(points, centers, 4), own, torch.bfloat16)
    spread = offset_variance(features, nearest_neighbors(points, centers, 4), own)
    return back.square().mean() + group_max(rows.flatten(0, 1)).float().mean() + spread.mean()


def test_compiled_models_keep_the_operations_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    points, features = torch.randn(2, 32, 3, generator=generator), torch.randn(2, 32, 6, generator=generator)
    features.requires_grad_()
    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    value, expected = compiled(points, features), everything(points, features)
    torch.testing.assert_close(value, expected)
    (found,) = torch.autograd.grad(value, features)
    (wanted,) = torch.autograd.grad(expected, features)
    torch.testing.assert_close(found, wanted)
