"""A backbone and a decoder that names the part of every point, of an object whose category is known.

Legend: B batch, N points, C channels, K categories, P parts.
"""

import torch
from torch import Tensor, nn

from tap.backbones import Backbone, BackboneConfig, build_backbone
from tap.batch import Encoded, Level, PointBatch
from tap.errors import TapError
from tap.network.part_heads import DECODERS, Decoder


class PartSegmenter(nn.Module):
    """Part scores of every point.

    Args:
        backbone: config of the backbone.
        num_parts: P, of all categories together.
        num_classes: K.
        decoder: key of `DECODERS`.
        dropout: of the decoder.
        num_points: of a cloud; one of so many random points goes through the backbone, to see what its levels are.
        normals: whether clouds come with normals.

    Raises:
        TapError: the backbone cannot take such a cloud, or the decoder not such levels.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_parts: int,
        num_classes: int,
        decoder: Decoder = "levels",
        dropout: float = 0.5,
        num_points: int = 2048,
        normals: bool = False,
    ) -> None:
        super().__init__()
        self.backbone: Backbone = build_backbone(backbone)
        cloud = _random_cloud(num_points, normals)
        encoded = _encode_once(self.backbone, cloud)
        found = _levels_of(encoded)
        fine = found[0].points
        self.adds_points = fine.shape != cloud.points.shape or not torch.equal(fine, cloud.points)
        channels = [0 if level.features is None else level.features.shape[-1] for level in found]
        channels = [0, *channels] if self.adds_points else channels
        has_class_token = encoded.class_token is not None
        build = DECODERS[decoder]
        self.head = build(channels, encoded.tokens.shape[-1], has_class_token, num_parts, num_classes, dropout)

    def forward(self, points: PointBatch, categories: Tensor) -> Tensor:
        """Part scores before softmax.

        Args:
            points: clouds without padding.
            categories: (B,) int64 in [0, K).

        Returns:
            (B, N, P); those of parts of other categories mean nothing.

        Raises:
            TapError: a cloud is padded.
        """
        if points.mask is not None:
            raise TapError("part segmentation: clouds of a batch have to be of one size, without a mask")
        encoded = self.backbone(points)
        levels = _levels_of(encoded)
        if self.adds_points:
            levels = (Level(points.points), *levels)
        scores: Tensor = self.head(levels, encoded, categories)
        return scores


def _levels_of(encoded: Encoded) -> tuple[Level, ...]:
    return encoded.levels or (Level(encoded.centers, encoded.tokens),)


def _random_cloud(num_points: int, normals: bool) -> PointBatch:
    """Points on the unit sphere, the same always; the global state of random numbers stays as it is."""
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(1, num_points, 3, generator=generator), dim=-1)
    return PointBatch(points, points.clone() if normals else None)


def _encode_once(backbone: Backbone, cloud: PointBatch) -> Encoded:
    """What a backbone makes of a cloud; its running statistics stay as they are."""
    module = backbone
    assert isinstance(module, nn.Module)  # noqa: S101 - `build_backbone` gives modules
    was_training = module.training
    module.eval()
    with torch.no_grad():
        encoded = backbone(cloud)
    module.train(was_training)
    return encoded
