"""DGCNN: edge convolutions over neighbours that are found anew among the features of each layer.

Its defaults have exactly the parameters of the encoder that Take-A-Photo pre-trains. Legend: B batch, N points,
K neighbours, C channels.
"""

from typing import ClassVar, Self

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.backbones.inputs import WIDTHS, Inputs, point_inputs
from tap.backbones.shared_mlp import SharedLayer, check_size, layer_dtype, neighbor_max
from tap.batch import Encoded, Level, PointBatch
from tap.ops import group_add, nearest_neighbors
from tap.ops.multiply import linear


class DGCNNConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of `DGCNN`; the defaults are the paper's, .618 M parameters (1.8 M with the head on two poolings)."""

    inputs: Inputs = Field(default="xyz_height", description="what is read of a point: xyz, xyz_height or xyz_normal")
    widths: tuple[int, ...] = Field(default=(64, 64, 128, 256), min_length=1, description="of the edge convolutions")
    channels: int = Field(default=1024, gt=0, description="width of a token")
    num_neighbors: int = Field(default=20, gt=0, description="nearest neighbours of a point, itself among them")

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if min(self.widths) <= 0:
            raise ValueError(f"widths {self.widths}: each must be above 0")
        return self


class EdgeConvolution(nn.Module):
    """Maximum over the neighbours of one shared layer on (own features, difference to the neighbour's).

    Args:
        in_channels: C in.
        out_channels: C out.
    Source: DGCNN (ACM TOG 2019), equation 8.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = SharedLayer(2 * in_channels, out_channels, "leaky_relu")

    def forward(self, features: Tensor, around: Tensor) -> Tensor:
        """Features (B, N, C in) and neighbours (B, N, K) int64 to (B, N, C out)."""
        # The layer is linear in (f_i, f_j - f_i), so it is computed once a point and not once a neighbour.
        for_own, for_difference = self.layer.linear.weight.chunk(2, dim=1)
        dtype = layer_dtype(features)
        with torch.autocast(features.device.type, enabled=False):  # it would round both parts of the difference
            features = features.float()
            own = linear(features, for_own - for_difference)  # (B, N, C out)
            edges = group_add(linear(features, for_difference), around, own, dtype)  # (B, N, K, C out)
        pooled = neighbor_max(self.layer.norm(edges.flatten(0, 2)), edges.shape[:3])  # (B N, C out)
        return self.layer.activate(pooled).view(*features.shape[:2], -1)


class DGCNN(nn.Module):
    """A token at every point, from edge convolutions whose outputs are joined.

    The first layer's neighbours are near in space, those of the others near in features. The order of the points matters
    in ties only. Points outside the mask change nothing in evaluation; in training they count in the batch norms.

    Args:
        config: settings.
    Source: DGCNN (ACM TOG 2019); Take-A-Photo, section 4.1, with its authors' inputs and without the spatial transformer.
    """

    config_class: ClassVar[type[BaseModel]] = DGCNNConfig

    def __init__(self, config: DGCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        self.num_tokens: int | None = None
        self.has_class_token = False
        inputs = (WIDTHS[config.inputs], *config.widths[:-1])
        self.convolutions = nn.ModuleList(
            EdgeConvolution(width, out) for width, out in zip(inputs, config.widths, strict=True)
        )
        self.fusion = SharedLayer(sum(config.widths), config.channels, "leaky_relu")

    def forward(self, batch: PointBatch) -> Encoded:
        """Encode a batch.

        Args:
            batch: N is at least the number of neighbours.

        Returns:
            Encoded: tokens (B, N, C) at the points themselves, which are the one level.

        Raises:
            TapError: fewer points, or no normals where they are read.
        """
        check_size("dgcnn", batch.points.shape[1], self.config.num_neighbors)
        features, place, found = point_inputs(batch, self.config.inputs), batch.points, []
        for convolution in self.convolutions:
            around = nearest_neighbors(place, place, self.config.num_neighbors, batch.mask)  # (B, N, K)
            features = place = convolution(features, around)
            found.append(features)
        tokens = self.fusion(torch.cat(found, dim=-1).flatten(0, 1))  # (B N, C)
        tokens = tokens.view(*batch.points.shape[:2], -1)  # (B, N, C)
        return Encoded(tokens, batch.points, batch.mask, None, (Level(batch.points, tokens),))
