"""The photograph module: feature maps of views by cross-attention from optical lines to the tokens of an object.

It stands between backbone and 2D generator and is dropped after pre-training. Legend: B batch, V views, G tokens,
C channels, h w cells.
"""

from typing import Self

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.attention import CrossAttention, DropPath, GatedFeedForward, SelfAttention, rising_drop_path
from tap.batch import Encoded, ViewBatch
from tap.memory import MemoryBuilder
from tap.query import PARTS, QueryGenerator


class PhotographConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of `Photograph`; the defaults are the paper's, with heads x head width = channels."""

    channels: int = Field(default=256, gt=0, description="width of queries, memory and feature map")
    layers: int = Field(default=6, gt=0, description="attention blocks")
    num_heads: int = Field(default=8, gt=0, description="attention heads; they divide the width")
    mlp_ratio: float = Field(default=4.0, gt=0, description="hidden width of a block's gated MLP over the width")
    drop_path: float = Field(default=0.1, ge=0, lt=1, description="drop path of the last block, rising linearly to it")
    cells: int = Field(default=7, gt=0, description="cells of the feature map along a side")
    query_octaves: int = Field(default=0, ge=0, le=16, description="Fourier octaves of the queries; 0 is raw numbers")
    memory_octaves: int = Field(default=0, ge=0, le=16, description="Fourier octaves of the tokens' centers")
    memory_norm: bool = Field(default=False, description="layer norm on the memory; not in the paper, learns sooner")
    query_origin: bool = Field(default=True, description="queries hold the line's point nearest to the world origin")
    query_direction: bool = Field(default=True, description="queries hold the line's direction")
    query_position: bool = Field(default=True, description="queries hold the cell's place in the image")
    pad_token: bool = Field(default=True, description="memory holds a learnable entry for the background")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.channels % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide channels {self.channels}")
        if not self.query_parts:
            raise ValueError("a query needs at least one of query_origin, query_direction, query_position")
        return self

    @property
    def query_parts(self) -> tuple[str, ...]:
        """The parts that a query is made of, in the order of `tap.query.PARTS`."""
        return tuple(part for part in PARTS if getattr(self, f"query_{part}"))


class PhotographBlock(nn.Module):
    """Pre-norm block: queries of a view among themselves, queries to memory, gated MLP; drop path on each branch.

    Args:
        config: settings of the module.
        drop_path: of this block.
    """

    def __init__(self, config: PhotographConfig, drop_path: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(config.channels)
        self.self_attention = SelfAttention(config.channels, config.num_heads)
        self.cross_norm = nn.LayerNorm(config.channels)
        self.cross_attention = CrossAttention(config.channels, config.num_heads)
        self.mlp_norm = nn.LayerNorm(config.channels)
        self.mlp = GatedFeedForward(config.channels, config.mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """One block.

        Args:
            queries: (B V, h w, C).
            memory: (B, M, C).
            mask: (B, M) bool or None, which entries of the memory may be looked at.

        Returns:
            (B V, h w, C).
        """
        queries = queries + self.drop_path(self.self_attention(self.self_norm(queries)))
        # Queries do not meet in cross-attention: all views of an object ask as one sequence and share keys and values.
        asking = self.cross_norm(queries).reshape(len(memory), -1, queries.shape[-1])  # (B, V h w, C)
        answers = self.cross_attention(asking, memory, mask).reshape(queries.shape)  # (B V, h w, C)
        queries = queries + self.drop_path(answers)
        output: Tensor = queries + self.drop_path(self.mlp(self.mlp_norm(queries)))
        return output


class Photograph(nn.Module):
    """Feature maps of views from the tokens of objects.

    Args:
        config: settings.
        token_channels: width of the backbone's tokens.
        image_size: side in pixels of the images that the intrinsics belong to.
    Source: Take-A-Photo, sections 3.2 and 3.3. Departures: drop path as the paper says, where the authors' code drops
        units; 8 heads of 32 at 256 channels, where the authors' code has 32 heads of 32 and so an inner width of 1024.
    """

    def __init__(self, config: PhotographConfig, token_channels: int, image_size: int) -> None:
        super().__init__()
        self.cells = config.cells
        self.channels = config.channels
        self.query = QueryGenerator(config.channels, config.cells, image_size, config.query_octaves, config.query_parts)
        self.memory = MemoryBuilder(
            token_channels, config.channels, config.memory_octaves, config.pad_token, config.memory_norm
        )
        rates = rising_drop_path(config.drop_path, config.layers)
        self.blocks = nn.ModuleList([PhotographBlock(config, rate) for rate in rates])

    def forward(self, encoded: Encoded, views: ViewBatch) -> Tensor:
        """Take the photographs.

        Args:
            encoded: of B objects.
            views: V cameras of each; images and mask are not read.

        Returns:
            (B V, C, h, w), the views of an object adjacent.
        """
        queries = self.query(views)  # (B V, h w, C)
        memory, mask = self.memory(encoded)
        for block in self.blocks:
            queries = block(queries, memory, mask)
        # Row by row: the cell (row, column) = (v, u) of the image.
        features: Tensor = queries.transpose(1, 2).reshape(len(queries), -1, self.cells, self.cells)  # (B V, C, h, w)
        return features
