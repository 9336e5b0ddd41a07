"""PointMLP and PointMLP-elite: residual layers on neighbourhoods that are normalised by an affine map.

Their defaults have exactly the parameters of the public modules. Legend: B batch, N points, G centers, K neighbours,
C channels.
"""

from typing import ClassVar, Self, cast

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.backbones.inputs import WIDTHS, Inputs, point_inputs
from tap.backbones.shared_mlp import SharedLayer, check_size, layer_dtype, neighbor_max, sample_level
from tap.batch import Encoded, Level, PointBatch
from tap.ops import gather, group_add, nearest_neighbors, offset_variance
from tap.ops.multiply import linear

EPSILON = 1e-5  # added to the spread of a cloud's neighbourhoods before it divides them
LEAST_VARIANCE = 1e-20  # a cloud of equal points: the root has a finite slope there


class PointMLPConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of `PointMLP`; the defaults are the paper's: 12.57 M parameters, 13.24 M with a head of 15 classes."""

    inputs: Inputs = Field(default="xyz_height", description="what is read of a point: xyz, xyz_height or xyz_normal")
    embed_channels: int = Field(default=64, gt=0, description="width of the first layer")
    expansions: tuple[int, ...] = Field(default=(2, 2, 2, 2), min_length=1, description="growth of the width a stage")
    residual_ratio: float = Field(default=1.0, gt=0, description="hidden width of a residual block over its width")
    pre_blocks: tuple[int, ...] = Field(default=(2, 2, 2, 2), description="residual blocks before the pooling")
    pos_blocks: tuple[int, ...] = Field(default=(2, 2, 2, 2), description="residual blocks after the pooling")
    num_neighbors: tuple[int, ...] = Field(default=(24, 24, 24, 24), description="points of a neighbourhood")
    strides: tuple[int, ...] = Field(default=(2, 2, 2, 2), description="points over centers of each stage")

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        stages = (self.expansions, self.pre_blocks, self.pos_blocks, self.num_neighbors, self.strides)
        if len({len(stage) for stage in stages}) > 1:
            raise ValueError(
                "expansions, pre_blocks, pos_blocks, num_neighbors and strides must name equally many stages"
            )
        if (
            min(*self.expansions, *self.num_neighbors, *self.strides) <= 0
            or min(*self.pre_blocks, *self.pos_blocks) < 0
        ):
            raise ValueError("expansions, num_neighbors and strides must be above 0, numbers of blocks at least 0")
        return self


class PointMLPEliteConfig(PointMLPConfig):
    """Settings of `PointMLPElite`: bottlenecks, half the width, fewer blocks; .44 M parameters."""

    embed_channels: int = Field(default=32, gt=0, description="width of the first layer")
    expansions: tuple[int, ...] = Field(default=(2, 2, 2, 1), min_length=1, description="growth of the width a stage")
    residual_ratio: float = Field(default=0.25, gt=0, description="hidden width of a residual block over its width")
    pre_blocks: tuple[int, ...] = Field(default=(1, 1, 2, 1), description="residual blocks before the pooling")
    pos_blocks: tuple[int, ...] = Field(default=(1, 1, 2, 1), description="residual blocks after the pooling")


class ResidualBlock(nn.Module):
    """Two shared layers and a sum, activation last.

    Args:
        channels: C.
        ratio: hidden width over C.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.expand = SharedLayer(channels, hidden)
        self.contract = SharedLayer(hidden, channels)

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, C) to (rows, C)."""
        return self.contract.activate(self.unactivated(rows))

    def unactivated(self, rows: Tensor) -> Tensor:
        """The sum before its activation."""
        output: Tensor = self.contract.norm(self.contract.linear(self.expand(rows)))
        return output.add_(rows)


class Stage(nn.Module):
    """Fewer points: their neighbourhoods normalised, embedded, pooled, and embedded once more.

    Args:
        in_channels: C in.
        config: settings of the backbone.
        index: which stage.
    Source: PointMLP (ICLR 2022), section 3.3. As in the public code with ``normalize="anchor"``, offsets to the center's
        features are divided by one spread of the whole cloud.
    """

    def __init__(self, in_channels: int, config: PointMLPConfig, index: int) -> None:
        super().__init__()
        self.num_neighbors, self.stride = config.num_neighbors[index], config.strides[index]
        channels = in_channels * config.expansions[index]
        self.affine_scale = nn.Parameter(torch.ones(in_channels))
        self.affine_shift = nn.Parameter(torch.zeros(in_channels))
        self.transfer = SharedLayer(2 * in_channels, channels)
        ratio = config.residual_ratio
        self.pre = nn.ModuleList(ResidualBlock(channels, ratio) for _ in range(config.pre_blocks[index]))
        self.pos = nn.ModuleList(ResidualBlock(channels, ratio) for _ in range(config.pos_blocks[index]))
        self.channels = channels

    def forward(self, points: Tensor, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Points (B, N, 3), features (B, N, C in), mask to centers (B, G, 3), their features (B, G, C), their mask."""
        chosen, centers, kept = sample_level(points, mask, points.shape[1] // self.stride)
        around = nearest_neighbors(points, centers, self.num_neighbors, mask)  # (B, G, K)
        edges = self._transferred(features, chosen, around, kept)  # (B, G, K, C)
        rows = self.transfer.norm(edges.flatten(0, 2))  # (B G K, C)
        for block in cast("list[ResidualBlock]", [*self.pre]):
            rows = block.unactivated(self.transfer.activate(rows))
        pooled = self.transfer.activate(neighbor_max(rows, edges.shape[:3]))  # (B G, C)
        for block in cast("list[ResidualBlock]", [*self.pos]):
            pooled = block(pooled)
        return centers, pooled.view(*centers.shape[:2], -1), kept

    def _transferred(self, features: Tensor, chosen: Tensor, around: Tensor, kept: Tensor | None) -> Tensor:
        """The first layer on (scale offset / spread + shift, own), before its norm: (B, G, K, C).

        It is linear, so it is computed once a point and once a center, and not once a neighbour.
        """
        dtype = layer_dtype(features)
        for_offset, for_own = self.transfer.linear.weight.chunk(2, dim=1)
        with torch.autocast(features.device.type, enabled=False):  # it would round both parts of the difference
            features = features.float()
            own = gather(features, chosen)  # (B, G, C in)
            variance = offset_variance(features, around, own, kept).clamp(min=LEAST_VARIANCE)  # (B,)
            scaled = features / (variance.sqrt() + EPSILON)[:, None, None]
            offsets = linear(scaled, for_offset * self.affine_scale)  # (B, N, C)
            center = linear(own, for_own) + for_offset @ self.affine_shift - gather(offsets, chosen)  # (B, G, C)
            return group_add(offsets, around, center, dtype)


class PointMLP(nn.Module):
    """Tokens of a cloud: the centers of the last stage.

    The order of the points matters where sampling starts and in ties. Points outside the mask change nothing in
    evaluation; in training they count in the batch norms.

    Args:
        config: settings.
    Source: PointMLP (ICLR 2022); Take-A-Photo, section 4.1.
    """

    config_class: ClassVar[type[BaseModel]] = PointMLPConfig

    def __init__(self, config: PointMLPConfig) -> None:
        super().__init__()
        self.config = config
        self.num_tokens: int | None = None
        self.has_class_token = False
        self.embed = SharedLayer(WIDTHS[config.inputs], config.embed_channels)
        width, stages = config.embed_channels, []
        for index in range(len(config.strides)):
            stages.append(Stage(width, config, index))
            width = stages[-1].channels
        self.stages = nn.ModuleList(stages)
        self.channels = width

    def forward(self, batch: PointBatch) -> Encoded:
        """Encode a batch.

        Args:
            batch: each stage has at least as many points as neighbours.

        Returns:
            Encoded: tokens (B, G, C) and their centers, G = N over each stride in turn, rounded down. Levels: the input
            with the first layer's features, then each stage.

        Raises:
            TapError: fewer points, or no normals where they are read.
        """
        self._check(batch.points.shape[1])
        points, mask = batch.points, batch.mask
        with torch.autocast(points.device.type, enabled=False):  # near points would get equal features
            features = self.embed(point_inputs(batch, self.config.inputs).flatten(0, 1))  # (B N, C)
        features = features.view(*points.shape[:2], -1)  # (B, N, C)
        levels = [Level(points, features)]
        for stage in self.stages:
            points, features, mask = stage(points, features, mask)
            levels.append(Level(points, features))
        return Encoded(features, points, mask, None, tuple(levels))

    def _check(self, num_points: int) -> None:
        total, least = 1, 1
        for stride, num_neighbors in zip(self.config.strides, self.config.num_neighbors, strict=True):
            least = max(least, total * max(num_neighbors, stride))
            total *= stride
        check_size("pointmlp", num_points, least)


class PointMLPElite(PointMLP):
    """`PointMLP` with the settings of its lightweight version as defaults.

    Source: PointMLP (ICLR 2022), section 3.4.
    """

    config_class: ClassVar[type[BaseModel]] = PointMLPEliteConfig
