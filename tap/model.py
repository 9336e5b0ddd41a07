"""The whole pre-training model: backbone, photograph module, 2D generator. The backbone is what is kept."""

from typing import Self

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.backbones import Backbone, BackboneConfig, build_backbone
from tap.batch import PointBatch, ViewBatch
from tap.errors import TapError
from tap.generator import Generator, GeneratorConfig
from tap.photograph import Photograph, PhotographConfig


class ModelConfig(BaseModel, frozen=True, extra="forbid"):
    """All that is needed to build the model again."""

    backbone: BackboneConfig = Field(default_factory=BackboneConfig, description="which backbone, and its settings")
    photograph: PhotographConfig = Field(default_factory=PhotographConfig, description="the photograph module")
    generator: GeneratorConfig = Field(default_factory=GeneratorConfig, description="the 2D generator")
    image_size: int = Field(default=224, gt=0, description="side of the images in pixels")

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        generated = self.photograph.cells * self.generator.total_stride
        if generated != self.image_size:
            raise ValueError(
                f"image_size {self.image_size}: {self.photograph.cells} cells and strides {self.generator.strides} "
                f"give {generated} pixels; change image_size, photograph.cells or generator.strides"
            )
        halvings = len(self.generator.strides) - 1
        if self.photograph.channels % 2**halvings:
            raise ValueError(
                f"photograph.channels {self.photograph.channels} cannot be halved {halvings} times by the generator; "
                f"use a multiple of {2**halvings}"
            )
        return self


class TakeAPhoto(nn.Module):
    """Images of objects from their point clouds and the cameras that look at them.

    Args:
        backbone: clouds to tokens.
        photograph: tokens and cameras to feature maps.
        generator: feature maps to images.
    Source: Take-A-Photo, section 3.2.
    """

    def __init__(self, backbone: Backbone, photograph: Photograph, generator: Generator) -> None:
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
            (B, V, 3, H, W) in [0, 1].

        Raises:
            TapError: clouds and views of different number.
        """
        if len(points.points) != len(views.world_to_camera):
            raise TapError(f"model: {len(points.points)} clouds but cameras of {len(views.world_to_camera)} objects")
        features = self.photograph(self.backbone(points), views)  # (B V, C, h, w)
        images: Tensor = self.generator(features)  # (B V, 3, H, W)
        return images.reshape(*views.world_to_camera.shape[:2], *images.shape[1:])  # (B, V, 3, H, W)


def build_model(config: ModelConfig) -> TakeAPhoto:
    """A fresh model from its config, on the CPU, from torch's random state.

    Raises:
        TapError: an unknown backbone.
    """
    backbone = build_backbone(config.backbone)
    photograph = Photograph(config.photograph, backbone.channels, config.image_size)
    return TakeAPhoto(backbone, photograph, Generator(config.generator, config.photograph.channels))
