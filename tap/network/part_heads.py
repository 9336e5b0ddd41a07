"""Decoders that give every point of a cloud part scores, from the levels of a backbone.

`LevelDecoder` stands on any backbone, `PointMLPDecoder` is the published one of PointMLP. Legend: B batch, N points,
G tokens, C channels, K categories, P parts.
"""

from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tap.backbones.pointmlp import ResidualBlock
from tap.backbones.shared_mlp import SharedLayer
from tap.batch import Encoded, Level
from tap.errors import TapError
from tap.network.heads import POOLED, Pooling, pool
from tap.ops import interpolate, three_nearest
from tap.ops.multiply import Linear, linear

FINEST_WIDTH, COARSE_WIDTH, HIDDEN = 128, 256, 256
Decoder = Literal["levels", "pointmlp"]


class Propagation(nn.Module):
    """Features of a finer level from those of a coarser one and, where it has them, its own.

    Args:
        coarse: C of the coarser level.
        own: C of the finer one, 0 where it has none.
        out: C of the result.
        num_blocks: residual blocks after the first layer.
        power: to which the distances are taken that weigh the three nearest.
    Source: PointNet++ (NeurIPS 2017), section 3.4.
    """

    def __init__(self, coarse: int, own: int, out: int, num_blocks: int, power: int = 1) -> None:
        super().__init__()
        self.own, self.power = own, power
        self.fuse = SharedLayer(own + coarse, out)
        self.blocks = nn.ModuleList(ResidualBlock(out, 1.0) for _ in range(num_blocks))

    def forward(self, points: Tensor, own: Tensor | None, centers: Tensor, coarse: Tensor) -> Tensor:
        """Points (B, N, 3), their features (B, N, C) or None, centers (B, G, 3), theirs (B, G, C'): (B, N, C'')."""
        index, weight = three_nearest(points, centers)  # (B, N, 3) both
        if self.power != 1:
            weight = weight**self.power
            weight = weight / weight.sum(-1, keepdim=True)
        # Interpolation and the first layer are linear, so the layer reads each center once and not once a point.
        weights = self.fuse.linear.weight
        for_own, for_coarse = weights[:, : self.own], weights[:, self.own :]
        joined = interpolate(linear(coarse, for_coarse), index, weight)  # (B, N, C'')
        if own is not None:
            joined = joined + linear(own, for_own)
        rows = self.fuse.activate(self.fuse.norm(joined.flatten(0, 1)))
        for block in cast("list[ResidualBlock]", [*self.blocks]):
            rows = block(rows)
        return rows.view(*points.shape[:2], -1)


class LevelDecoder(nn.Module):
    """Part scores from the levels of any backbone: from the tokens up to the points, three nearest at a time.

    Places of the points join the finest level; the pooled tokens and the category, as one of K, join every point.

    Args:
        level_channels: C of each level, finest first, 0 where one has no features.
        channels: C of the tokens.
        has_class_token: whether the backbone gives a class token.
        num_parts: P.
        num_classes: K.
        dropout: before the last two layers.
    """

    def __init__(
        self,
        level_channels: Sequence[int],
        channels: int,
        has_class_token: bool,
        num_parts: int,
        num_classes: int,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pooling: Pooling = "class_max" if has_class_token else "max"
        widths = [FINEST_WIDTH, *[COARSE_WIDTH] * (len(level_channels) - 1)]
        own = [level_channels[0] + 3, *level_channels[1:]]  # with the places of the points
        self.enter = SharedLayer(own[-1], widths[-1])
        self.steps = nn.ModuleList(
            Propagation(widths[i + 1], own[i], widths[i], 1) for i in reversed(range(len(own) - 1))
        )
        self.of_points = Linear(widths[0], HIDDEN, bias=False)
        self.of_clouds = nn.Linear(POOLED[self.pooling] * channels + num_classes, HIDDEN, bias=False)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Dropout(dropout), SharedLayer(HIDDEN, FINEST_WIDTH), nn.Linear(FINEST_WIDTH, num_parts)
        )

    def forward(self, levels: Sequence[Level], encoded: Encoded, categories: Tensor) -> Tensor:
        """Part scores before softmax.

        Args:
            levels: finest first, the finest at the points themselves.
            encoded: of the backbone.
            categories: (B,) int64 in [0, K).

        Returns:
            (B, N, P).
        """
        finest = levels[0]
        joined = finest.points if finest.features is None else torch.cat([finest.features, finest.points], dim=-1)
        own = [joined, *(level.features for level in levels[1:])]
        last = own[-1]
        if last is None:
            raise TapError("part segmentation: the last level of a backbone are its tokens; this one has no features")
        rows = self.enter(last.flatten(0, 1)).view(*last.shape[:2], -1)
        for number, step in enumerate(self.steps):
            place = len(levels) - 2 - number
            rows = step(levels[place].points, own[place], levels[place + 1].points, rows)
        one_of = F.one_hot(categories, self.num_classes).to(rows.dtype)  # (B, K)
        cloud = self.of_clouds(torch.cat([pool(encoded, self.pooling), one_of], dim=-1))  # (B, C)
        hidden = self.norm((self.of_points(rows) + cloud[:, None]).flatten(0, 1))  # (B N, C)
        scores: Tensor = self.layers(hidden).view(*rows.shape[:2], -1)
        return scores  # (B, N, P)


class PointMLPDecoder(nn.Module):
    """The decoder of PointMLP for parts: levels joined by residual blocks, all levels pooled, the category embedded.

    On `tap.backbones.PointMLP` with normals it makes a model with the parameters of the module that Take-A-Photo's authors
    fine-tune: 16,722,560 for 16 categories and 50 parts. PointMLP's own public module has 16,755,594: it has biases before
    its batch norms, and coordinates join its neighbourhoods. As in both, the nearest three are weighed by their squared
    distances, and no activation stands between the last two layers.

    Args:
        level_channels: C of each level, finest first.
        num_parts: P.
        num_classes: K.
        dropout: before the last layer.
        num_blocks: residual blocks at each level.
    Source: PointMLP (ICLR 2022), part segmentation; Take-A-Photo, section 4.3.
    """

    LEAST_WIDTH, CONTEXT, HIDDEN = 128, 64, 128

    def __init__(
        self, level_channels: Sequence[int], num_parts: int, num_classes: int, dropout: float = 0.5, num_blocks: int = 4
    ) -> None:
        super().__init__()
        if min(level_channels) == 0:
            raise TapError(
                "decoder pointmlp: it joins the features of every level, and this backbone has a level without; "
                "choose decoder=levels"
            )
        self.num_classes = num_classes
        widths = [max(width, self.LEAST_WIDTH) for width in level_channels[:-1]] + [level_channels[-1]]
        self.steps = nn.ModuleList(
            Propagation(widths[i + 1], level_channels[i], widths[i], num_blocks, power=2)
            for i in reversed(range(len(widths) - 1))
        )
        self.category = nn.Sequential(SharedLayer(num_classes, self.CONTEXT), SharedLayer(self.CONTEXT, self.CONTEXT))
        self.contexts = nn.ModuleList(SharedLayer(width, self.CONTEXT) for width in level_channels)
        self.context = SharedLayer(self.CONTEXT * len(level_channels), self.CONTEXT)
        self.hidden = Linear(widths[0] + 2 * self.CONTEXT, self.HIDDEN, bias=False)
        self.norm = nn.BatchNorm1d(self.HIDDEN)
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.HIDDEN, num_parts, bias=False))

    def forward(self, levels: Sequence[Level], encoded: Encoded, categories: Tensor) -> Tensor:
        """Part scores before softmax, see `LevelDecoder.forward`; in training of two clouds or more."""
        found = [cast("Tensor", level.features) for level in levels]
        rows = found[-1]
        for number, step in enumerate(self.steps):
            place = len(levels) - 2 - number
            rows = step(levels[place].points, found[place], levels[place + 1].points, rows)
        pooled = [
            layer(features.flatten(0, 1)).view(*features.shape[:2], -1).amax(1)
            for layer, features in zip(self.contexts, found, strict=True)
        ]
        one_of = F.one_hot(categories, self.num_classes).to(rows.dtype)  # (B, K)
        cloud = torch.cat([self.context(torch.cat(pooled, dim=-1)), self.category(one_of)], dim=-1)  # (B, 2 C)
        for_points, for_clouds = self.hidden.weight[:, : rows.shape[-1]], self.hidden.weight[:, rows.shape[-1] :]
        hidden = linear(rows, for_points) + F.linear(cloud, for_clouds)[:, None]
        scores: Tensor = self.last(self.norm(hidden.flatten(0, 1))).view(*rows.shape[:2], -1)
        return scores  # (B, N, P)


def _levels(
    channels: Sequence[int], tokens: int, has_class_token: bool, parts: int, classes: int, dropout: float
) -> nn.Module:
    return LevelDecoder(channels, tokens, has_class_token, parts, classes, dropout)


def _pointmlp(
    channels: Sequence[int], tokens: int, has_class_token: bool, parts: int, classes: int, dropout: float
) -> nn.Module:
    return PointMLPDecoder(channels, parts, classes, dropout)


DECODERS: dict[Decoder, Callable[[Sequence[int], int, bool, int, int, float], nn.Module]] = {
    "levels": _levels,
    "pointmlp": _pointmlp,
}
"""Name to what builds it from the levels' channels, the tokens' channels, class token, P, K and dropout."""
