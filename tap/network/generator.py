"""2D generator: images from feature maps by transposed convolutions. Dropped after pre-training."""

import math
from typing import Self

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn


class GeneratorConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of `Generator`; the defaults take 7 x 7 cells to 224 x 224 pixels, as the paper does."""

    strides: tuple[int, ...] = Field(
        default=(4, 2, 2, 2), min_length=1, description="enlargement of each layer; their product takes cells to pixels"
    )
    out_channels: int = Field(default=3, gt=0, description="channels of an image")

    @model_validator(mode="after")
    def _enlarges(self) -> Self:
        if min(self.strides) < 2:
            raise ValueError(f"strides {self.strides}: each must be at least 2")
        return self

    @property
    def total_stride(self) -> int:
        """Pixels along the side of a cell."""
        return math.prod(self.strides)


class Generator(nn.Module):
    """Transposed convolutions that halve the channels, ReLU between, sigmoid last.

    Args:
        config: settings.
        in_channels: C of the feature map, a multiple of 2 ** (layers - 1).
    Source: Take-A-Photo, section 4.1: (256,128,5,4) (128,64,3,2) (64,32,3,2) (32,3,3,2), padding 1, output padding 1. A
        kernel of stride + 1 with these paddings enlarges exactly by the stride.

    Raises:
        ValueError: the channels cannot be halved that often.
    """

    def __init__(self, config: GeneratorConfig, in_channels: int) -> None:
        super().__init__()
        last = len(config.strides) - 1
        if in_channels % 2**last:
            raise ValueError(f"generator: {in_channels} channels cannot be halved {last} times; use fewer strides")
        layers: list[nn.Module] = []
        for index, stride in enumerate(config.strides):
            width = in_channels >> index
            out = config.out_channels if index == last else width // 2
            layers.append(nn.ConvTranspose2d(width, out, stride + 1, stride, padding=1, output_padding=1))
            layers.append(nn.Sigmoid() if index == last else nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(B V, C, h, w) to images (B V, out_channels, H, W) in [0, 1]."""
        images: Tensor = self.layers(features)
        return images
