"""The Point-BERT style transformer: local neighbourhoods become tokens, then plain self-attention.

With its defaults it has exactly the parameters of the encoder that Take-A-Photo pre-trains; `small` settings for a CPU
are in `tap.presets`. Legend: B batch, N points, G centers, K neighbours, C channels.
"""

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.batch import Encoded, Level, PointBatch
from tap.errors import TapError
from tap.network.attention import DropPath, FeedForward, SelfAttention, rising_drop_path
from tap.ops import ball_query, farthest_point_sampling, gather, group, group_max, nearest_neighbors
from tap.ops.multiply import Linear


class TransformerConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of `Transformer`; the defaults are the paper's and the authors'.

    They give 21.86 M parameters; the published 22.1 M count Point-BERT's head 256-256, the authors' 512-256 makes 22.39 M.
    """

    num_groups: int = Field(default=256, gt=0, description="tokens: centers chosen by farthest point sampling")
    group_size: int = Field(default=32, gt=0, description="points in the neighbourhood of a center")
    radius: float = Field(default=0.1, gt=0, description="radius of a neighbourhood in world units")
    grouping: Literal["ball", "nearest"] = Field(
        default="ball",
        description="a neighbourhood is the first points of a ball, or the nearest ones as in Point-BERT and Point-MAE",
    )
    embed_hidden: tuple[int, int, int] = Field(
        default=(128, 256, 512), description="hidden widths of the mini-PointNet that embeds a neighbourhood"
    )
    embed_channels: int = Field(default=256, gt=0, description="output width of the mini-PointNet")
    channels: int = Field(default=384, gt=0, description="width of a token")
    depth: int = Field(default=12, gt=0, description="transformer blocks")
    num_heads: int = Field(default=6, gt=0, description="attention heads; they divide the width of a token")
    mlp_ratio: float = Field(default=4.0, gt=0, description="hidden width of a block's MLP over the width of a token")
    drop_path: float = Field(default=0.1, ge=0, lt=1, description="drop path of the last block, rising linearly to it")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.channels % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide channels {self.channels}")
        return self


class MiniPointNet(nn.Module):
    """One vector for each small neighbourhood: shared layers, max, shared layers on (max, own), max.

    Args:
        hidden: widths of the first, second and third layer.
        channels: output width C.
    Source: Point-BERT (CVPR 2022), section 3.1. The layers are linear on rows of points, the same function and
        parameters as 1 x 1 convolutions without their transposes.
    """

    def __init__(self, hidden: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        first, second, third = hidden
        self.first = Linear(3, first)
        self.first_norm = nn.BatchNorm1d(first)
        self.second = Linear(first, second)
        self.third = nn.Linear(2 * second, third)
        self.third_norm = nn.BatchNorm1d(third)
        self.fourth = Linear(third, channels)

    def forward(self, groups: Tensor) -> Tensor:
        """Embed neighbourhoods.

        Args:
            groups: (B, G, K, 3), relative to their centers.

        Returns:
            (B, G, C).
        """
        batch, num_groups, size, _ = groups.shape
        rows = groups.flatten(0, 2)  # (B G K, 3)
        rows = self.second(F.relu(self.first_norm(self.first(rows)), inplace=True))  # (B G K, second)
        pooled = _pool(rows, size)  # (B G, second)
        # The layer sees (pooled, own). Its pooled half is the same for all K rows, so it is computed once for them.
        for_pooled, for_own = self.third.weight.chunk(2, dim=1)
        shared = F.linear(pooled, for_pooled, self.third.bias)  # (B G, third)
        mixed = F.linear(rows, for_own)  # (B G K, third), written over next, which an operator of ours forbids
        mixed.view(-1, size, mixed.shape[-1]).add_(shared[:, None])
        rows = self.fourth(F.relu(self.third_norm(mixed), inplace=True))  # (B G K, C)
        return _pool(rows, size).reshape(batch, num_groups, -1)  # (B, G, C)


def _pool(rows: Tensor, size: int) -> Tensor:
    """Maximum over each ``size`` rows: (rows, C) to (rows / size, C).

    A padded ball holds equal rows, one of which takes the gradient; shared out, its sum would be the same.
    """
    return group_max(rows.view(-1, size, rows.shape[-1]))


class Block(nn.Module):
    """Pre-norm transformer block: self-attention and MLP, each with drop path.

    Args:
        config: settings of the backbone.
        drop_path: of this block.
    """

    def __init__(self, config: TransformerConfig, drop_path: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.channels)
        self.attention = SelfAttention(config.channels, config.num_heads)
        self.mlp_norm = nn.LayerNorm(config.channels)
        self.mlp = FeedForward(config.channels, config.mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, sequence: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L, C) to the same shape; mask (B, L) bool or None says which entries may be looked at."""
        sequence = sequence + self.drop_path(self.attention(self.attention_norm(sequence), mask))
        output: Tensor = sequence + self.drop_path(self.mlp(self.mlp_norm(sequence)))
        return output


class Transformer(nn.Module):
    """Tokens of a cloud: farthest point centers, their balls embedded, attention among all and a class token.

    Reads coordinates only, as the authors do; `PointBatch.features` is left unread.

    The order of the points matters in three places: sampling starts at the first real point, a ball keeps its first K
    points, and ties go to the lower index. With the first point in place, balls of at most K points and no ties, any
    order of the others gives the same tokens. Points outside the mask change nothing in evaluation; in training the
    batch norm of the embedding also counts the tokens that only pad a cloud with fewer real points than tokens.

    Args:
        config: settings.
    Source: Point-BERT (CVPR 2022); Take-A-Photo, section 4.1.
    """

    config_class: ClassVar[type[BaseModel]] = TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        self.num_tokens: int | None = config.num_groups
        self.has_class_token = True
        self.embed = MiniPointNet(config.embed_hidden, config.embed_channels)
        self.widen = nn.Linear(config.embed_channels, config.channels)
        self.class_token = nn.Parameter(torch.zeros(config.channels))
        self.class_position = nn.Parameter(torch.randn(config.channels))
        self.position = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, config.channels))
        rates = rising_drop_path(config.drop_path, config.depth)
        self.blocks = nn.ModuleList([Block(config, rate) for rate in rates])
        self.norm = nn.LayerNorm(config.channels)

    def forward(self, batch: PointBatch) -> Encoded:
        """Encode a batch.

        Args:
            batch: N is at least the number of tokens G.

        Returns:
            Encoded: tokens (B, G, C), their centers, class token (B, C); a token is real where the cloud has that many
            real points. Levels: the input without features, and the tokens.

        Raises:
            TapError: fewer points than tokens.
        """
        centers, groups = self._group(batch)
        num_tokens = self.config.num_groups
        token_mask = visible = None
        if batch.mask is not None:
            order = torch.arange(num_tokens, device=batch.mask.device)
            token_mask = order < batch.mask.sum(1, keepdim=True)  # (B, G)
            visible = F.pad(token_mask, (1, 0), value=True)  # (B, 1 + G), the class token always
        embedded = self.widen(self.embed(groups))  # (B, G, C)
        rows = len(embedded)
        sequence = torch.cat([self.class_token.expand(rows, 1, -1).to(embedded), embedded], dim=1)  # (B, 1 + G, C)
        position = self.position(centers)  # (B, G, C)
        position = torch.cat([self.class_position.expand(rows, 1, -1).to(position), position], dim=1)  # (B, 1 + G, C)
        for block in self.blocks:
            sequence = block(sequence + position, visible)  # the position enters anew at every block
        sequence = self.norm(sequence)
        tokens = sequence[:, 1:]  # (B, G, C)
        levels = (Level(batch.points), Level(centers, tokens))
        return Encoded(tokens, centers, token_mask, sequence[:, 0], levels)

    def _group(self, batch: PointBatch) -> tuple[Tensor, Tensor]:
        """Centers (B, G, 3) and the points around them (B, G, K, 3), relative to the center."""
        config, num_points = self.config, batch.points.shape[1]
        if num_points < config.num_groups:
            raise TapError(
                f"transformer: clouds of {num_points} points cannot give {config.num_groups} tokens; "
                "sample more points a cloud or lower num_groups"
            )
        chosen = farthest_point_sampling(batch.points, config.num_groups, batch.mask)  # (B, G)
        centers = gather(batch.points, chosen)  # (B, G, 3)
        if config.grouping == "nearest":
            around = nearest_neighbors(batch.points, centers, config.group_size, batch.mask)  # (B, G, K)
        else:
            around = ball_query(batch.points, centers, config.radius, config.group_size, batch.mask)  # (B, G, K)
        return centers, group(batch.points, around) - centers[:, :, None]  # (B, G, K, 3)
