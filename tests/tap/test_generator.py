import pytest
import torch
from pydantic import ValidationError

from tap.network.generator import Generator, GeneratorConfig


def test_the_papers_generator() -> None:
    generator = Generator(GeneratorConfig(), 256)
    weights = [tuple(weight.shape) for name, weight in generator.named_parameters() if name.endswith("weight")]
    assert weights == [(256, 128, 5, 5), (128, 64, 3, 3), (64, 32, 3, 3), (32, 3, 3, 3)]
    images = generator(torch.randn(2, 256, 7, 7))
    assert images.shape == (2, 3, 224, 224)
    assert 0 <= images.min() < images.max() <= 1


@pytest.mark.parametrize(("strides", "side"), [((2, 2, 2, 2), 112), ((4, 4), 112), ((3, 2), 42), ((5,), 35)])
def test_strides_enlarge_exactly(strides: tuple[int, ...], side: int) -> None:
    config = GeneratorConfig(strides=strides, out_channels=4)
    assert config.total_stride * 7 == side
    assert Generator(config, 16)(torch.randn(1, 16, 7, 7)).shape == (1, 4, side, side)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="each must be at least 2"):
        GeneratorConfig(strides=(4, 1))
    with pytest.raises(ValueError, match="12 channels cannot be halved 3 times"):
        Generator(GeneratorConfig(), 12)
