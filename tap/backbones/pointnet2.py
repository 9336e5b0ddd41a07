"""PointNet++ with single-scale grouping: set abstractions, each a sampling, a ball query and a small PointNet.

Its defaults have exactly the parameters of the encoder that Take-A-Photo pre-trains. Legend: B batch, N points,
G centers, K neighbours, C channels.
"""

from typing import ClassVar, Self, cast

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.backbones.inputs import WIDTHS, Inputs, point_inputs
from tap.backbones.shared_mlp import SharedLayer, check_size, layer_dtype, neighbor_max, sample_level
from tap.batch import Encoded, Level, PointBatch
from tap.ops import ball_query, group_add
from tap.ops.multiply import linear


class PointNet2Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of `PointNet2`; the defaults are those of the authors' pre-training, .805 M parameters."""

    inputs: Inputs = Field(default="xyz_height", description="what is read of a point: xyz, xyz_height or xyz_normal")
    strides: tuple[int, ...] = Field(default=(2, 4, 2), min_length=1, description="points over centers of each stage")
    mlps: tuple[tuple[int, ...], ...] = Field(
        default=((64, 64, 128), (128, 128, 256), (256, 512, 1024)), description="widths of each stage's layers"
    )
    radii: tuple[float | None, ...] = Field(
        default=(0.2, 0.4, 0.2),
        description="radius of each stage's balls, world units; null for all points as one group, a single token",
    )
    num_neighbors: tuple[int, ...] = Field(default=(32, 64, 32), description="points taken of each stage's balls")

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        counts = {len(self.strides), len(self.mlps), len(self.radii), len(self.num_neighbors)}
        if len(counts) > 1:
            raise ValueError("strides, mlps, radii and num_neighbors must name equally many stages")
        radii = [radius for radius in self.radii if radius is not None]
        numbers = [*self.strides, *radii, *self.num_neighbors, *(width for mlp in self.mlps for width in mlp)]
        if min(numbers) <= 0 or not all(self.mlps):
            raise ValueError("strides, widths, radii and num_neighbors must be above 0, and each stage has a layer")
        return self


class SetAbstraction(nn.Module):
    """One stage: fewer points, each with the features of the ball around it.

    Args:
        in_channels: width of the features that come in.
        widths: of the layers.
        stride: points over centers.
        radius: of a ball, world units; None takes all points as one group around the origin, as a classifier's last stage.
        num_neighbors: K.
    Source: PointNet++ (NeurIPS 2017), section 3.2; offsets are not divided by the radius, as in the authors' code.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], stride: int, radius: float | None, num_neighbors: int
    ) -> None:
        super().__init__()
        self.stride, self.radius, self.num_neighbors = stride, radius, num_neighbors
        inputs = (3 + in_channels, *widths[:-1])
        self.layers = nn.ModuleList(SharedLayer(width, out) for width, out in zip(inputs, widths, strict=True))

    def forward(self, points: Tensor, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Points (B, N, 3), features (B, N, C), mask to centers (B, G, 3), their features (B, G, C'), their mask."""
        first, *rest = cast("list[SharedLayer]", [*self.layers])
        # The first layer sees (p_j - p_i, f_j). It is linear, so it is computed once a point and not once a neighbour.
        for_offset, for_feature = first.linear.weight[:, :3], first.linear.weight[:, 3:]
        dtype = layer_dtype(features)
        with torch.autocast(points.device.type, enabled=False):  # it would round both parts of the difference
            own = linear(points, for_offset) + linear(features.float(), for_feature)  # (B, N, C')
            if self.radius is None:
                centers, kept, edges = (
                    points.new_zeros(len(points), 1, 3),
                    None,
                    own[:, None].to(dtype),
                )  # (B, 1, N, C')
            else:
                _, centers, kept = sample_level(points, mask, points.shape[1] // self.stride)
                around = ball_query(points, centers, self.radius, self.num_neighbors, mask)  # (B, G, K)
                edges = group_add(own, around, -linear(centers, for_offset), dtype)  # (B, G, K, C')
        shape = edges.shape[:3]
        rows = first.norm(edges.flatten(0, 2))  # (B G K, C')
        for layer in rest:
            rows = layer.norm(layer.linear(first.activate(rows)))
            first = layer
        if self.radius is None and mask is not None:
            rows = rows.masked_fill(~mask.reshape(-1, 1), -torch.inf)
        pooled = first.activate(neighbor_max(rows, shape))  # (B G, C')
        return centers, pooled.view(*shape[:2], -1), kept


class PointNet2(nn.Module):
    """Tokens of a cloud: the centers of the last of a few set abstractions.

    The order of the points matters where sampling starts, where a ball holds more than K points, and in ties. Points
    outside the mask change nothing in evaluation; in training they count in the batch norms.

    Args:
        config: settings.
    Source: PointNet++ (NeurIPS 2017); Take-A-Photo, section 4.1.
    """

    config_class: ClassVar[type[BaseModel]] = PointNet2Config

    def __init__(self, config: PointNet2Config) -> None:
        super().__init__()
        self.config = config
        self.num_tokens: int | None = None
        self.has_class_token = False
        width, stages = WIDTHS[config.inputs], []
        sizes = zip(config.mlps, config.strides, config.radii, config.num_neighbors, strict=True)
        for widths, stride, radius, num_neighbors in sizes:
            stages.append(SetAbstraction(width, widths, stride, radius, num_neighbors))
            width = widths[-1]
        self.stages = nn.ModuleList(stages)
        self.channels = width

    def forward(self, batch: PointBatch) -> Encoded:
        """Encode a batch.

        Args:
            batch: N is at least the product of the strides.

        Returns:
            Encoded: tokens (B, G, C) and their centers, G = N over each stride in turn, rounded down (1 where the last
            stage groups all). Levels: the input
            with what is read of it, then each stage.

        Raises:
            TapError: fewer points, or no normals where they are read.
        """
        least = 1
        for stride in self.config.strides:
            least *= stride
        check_size("pointnet2", batch.points.shape[1], least)
        points, mask = batch.points, batch.mask
        features = point_inputs(batch, self.config.inputs)
        levels = [Level(points, features)]
        for stage in self.stages:
            points, features, mask = stage(points, features, mask)
            levels.append(Level(points, features))
        return Encoded(features, points, mask, None, tuple(levels))
