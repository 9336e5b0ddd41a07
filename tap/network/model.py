"""The whole pre-training model: backbone, photograph module, 2D generator. The backbone is what is kept."""

from typing import Self

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.backbones import Backbone, BackboneConfig, build_backbone
from tap.batch import PointBatch, ViewBatch
from tap.errors import TapError
from tap.network.generator import Generator, GeneratorConfig
from tap.network.photograph import Photograph, PhotographConfig, build_photograph
from tap.network.projection import ProjectedPhotograph


class ModelConfig(BaseModel, frozen=True, extra="forbid"):
    """All that is needed to build the model again."""

    backbone: BackboneConfig = Field(default_factory=BackboneConfig, description="which backbone, and its settings")
    photograph: PhotographConfig = Field(default_factory=PhotographConfig, description="the photograph module")
    generator: GeneratorConfig = Field(default_factory=GeneratorConfig, description="the 2D generator")
    image_size: int = Field(default=224, gt=0, description="side of the images in pixels")

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        stride = self.generator.total_stride
        if self.image_size % stride:
            raise ValueError(
                f"image_size {self.image_size} must be a multiple of {stride}, the pixels of a cell by generator.strides "
                f"{self.generator.strides}; {_nearest_multiples(self.image_size, stride)}"
            )
        cells = self.image_size // stride
        if self.photograph.cells is None:  # before anyone reads it, so a stored config always says the number
            object.__setattr__(self, "photograph", self.photograph.model_copy(update={"cells": cells}))
        elif self.photograph.cells != cells:
            raise ValueError(
                f"image_size {self.image_size}: {self.photograph.cells} cells and strides {self.generator.strides} "
                f"give {self.photograph.cells * stride} pixels; set photograph.cells to {cells}, or change "
                "generator.strides"
            )
        halvings = len(self.generator.strides) - 1
        if self.photograph.channels % 2**halvings:
            raise ValueError(
                f"photograph.channels {self.photograph.channels} cannot be halved {halvings} times by the generator; "
                f"use a multiple of {2**halvings}"
            )
        return self


def _nearest_multiples(size: int, stride: int) -> str:
    below = size // stride * stride
    if not below:
        return f"the nearest multiple is {stride}"
    return f"the nearest multiples are {below} and {below + stride}"


class TakeAPhoto(nn.Module):
    """Images of objects from their point clouds and the cameras that look at them.

    Args:
        backbone: clouds to tokens.
        photograph: tokens and cameras to feature maps.
        generator: feature maps to images.
    Source: Take-A-Photo, section 3.2.
    """

    def __init__(self, backbone: Backbone, photograph: Photograph | ProjectedPhotograph, generator: Generator) -> None:
        super().__init__()
        self.backbone = backbone
        self.photograph = photograph
        self.generator = generator

    def forward(self, points: PointBatch, views: ViewBatch) -> Tensor:
        """Take the photographs.

        Args:
            points: B clouds.
            views: V cameras of each; images and mask are not read.

        Returns:
            (B, V, D, H, W) in [0, 1], D the generator's ``out_channels``, 3 for pictures alone.

        Raises:
            TapError: clouds and views of different number.
        """
        if len(points.points) != len(views.world_to_camera):
            raise TapError(f"model: {len(points.points)} clouds but cameras of {len(views.world_to_camera)} objects")
        features = self.photograph(self.backbone(points), views)  # (B V, C, h, w)
        images: Tensor = self.generator(features)  # (B V, D, H, W)
        return images.reshape(*views.world_to_camera.shape[:2], *images.shape[1:])  # (B, V, D, H, W)


def build_model(config: ModelConfig) -> TakeAPhoto:
    """A fresh model from its config, on the CPU, from torch's random state.

    Raises:
        TapError: an unknown backbone.
    """
    backbone = build_backbone(config.backbone)
    photograph = build_photograph(config.photograph, backbone.channels, config.image_size)
    return TakeAPhoto(backbone, photograph, Generator(config.generator, config.photograph.channels))
