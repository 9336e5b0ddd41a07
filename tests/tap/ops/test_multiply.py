import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tap.ops import multiply
from tap.ops.multiply import Linear, linear

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("shape", [(256, 5), (2, 17, 16, 5), (3, 45, 5), (7, 5), (0, 5)])
def test_products_and_gradients_are_those_of_torch(
    shape: tuple[int, ...], wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiply, "_WIDE", wide)
    rows = torch.randn(*shape, generator=GENERATOR, requires_grad=True)
    weight = torch.randn(4, 5, generator=GENERATOR, requires_grad=True)
    for bias in (None, torch.randn(4, generator=GENERATOR, requires_grad=True)):
        found, expected = linear(rows, weight, bias), F.linear(rows, weight, bias)
        torch.testing.assert_close(found, expected)
        assert found.is_contiguous()
        given = torch.randn(expected.shape, generator=GENERATOR)
        inputs = (rows, weight) if bias is None else (rows, weight, bias)
        for one, other in zip(
            torch.autograd.grad(found, inputs, given), torch.autograd.grad(expected, inputs, given), strict=True
        ):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_only_wanted_gradients_are_made() -> None:
    rows, weight = torch.randn(4096, 5, generator=GENERATOR), torch.randn(4, 5, generator=GENERATOR)
    for needs in ((True, False), (False, True)):
        inputs = [one.clone().requires_grad_(need) for one, need in zip((rows, weight), needs, strict=True)]
        linear(inputs[0], inputs[1]).sum().backward()  # type: ignore[no-untyped-call]
        assert [one.grad is not None for one in inputs] == [*needs]


def test_large_products_are_convolutions_where_these_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def convolve(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        shapes.append(tuple(images.shape))
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.data_ptr() == rows.data_ptr()
        return original(images, weight, bias)

    original = F.conv2d
    monkeypatch.setattr(F, "conv2d", convolve)
    monkeypatch.setattr(multiply, "_WIDE", True)
    layer = Linear(5, 4)
    for count in (4096, 17 * 128, 16 * 128, 1176, 128, 1025):
        rows = torch.randn(count, 5, generator=GENERATOR)
        layer(rows)
    assert shapes == [(32, 5, 128, 1), (17, 5, 128, 1), (32, 5, 64, 1), (147, 5, 8, 1)]
    rows = torch.randn(4096, 5, generator=GENERATOR)
    layer.double()(rows.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(rows).dtype == torch.bfloat16
    assert len(shapes) == 4


def test_compiled_layers_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiply, "_WIDE", True)
    layer = Linear(5, 4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for count in (4096, 2048, 640, 2560):
        rows = torch.randn(count, 5, generator=GENERATOR)
        torch.testing.assert_close(compiled(rows), layer(rows))
