"""The photograph module: feature maps of views by cross-attention from optical lines to the tokens of an object.

It stands between backbone and 2D generator and is dropped after pre-training. Legend: B batch, V views, G tokens,
M memory entries, C channels, h w cells.
"""

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from tap.batch import Encoded, ViewBatch
from tap.errors import TapError
from tap.network.attention import CrossAttention, DropPath, GatedFeedForward, SelfAttention, rising_drop_path
from tap.network.memory import build_memory
from tap.network.projection import ProjectedPhotograph
from tap.network.query import PARTS, LearnedQueries, QueryGenerator


class PhotographConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of the photograph module; the defaults are the paper's, with heads x head width = channels."""

    kind: Literal["cross_attention", "projection", "projected_self_attention"] = Field(
        default="cross_attention", description="learn where tokens land, or be told, or be told and then attend"
    )
    channels: int = Field(default=256, gt=0, description="width of queries, memory and feature map")
    layers: int = Field(default=6, gt=0, description="attention blocks")
    num_heads: int = Field(
        default=8, gt=0, description="attention heads; they divide the width unless head_width is set"
    )
    head_width: int | None = Field(default=None, gt=0, description="channels of a head; null for channels / num_heads")
    mlp_ratio: float = Field(default=4.0, gt=0, description="hidden width of a block's gated MLP over the width")
    drop_path: float = Field(default=0.1, ge=0, lt=1, description="drop path of the last block, rising linearly to it")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="units dropped after attention and in a block's MLP")
    cells: int | None = Field(
        default=None, gt=0, description="cells of the feature map along a side; null for image size / generator stride"
    )
    query: Literal["lines", "learned"] = Field(
        default="lines", description="queries from each cell's optical line, or by an MLP from the pose alone"
    )
    query_hidden: int | None = Field(default=None, gt=0, description="hidden units of the query MLP; null for channels")
    query_octaves: int = Field(default=0, ge=0, le=16, description="Fourier octaves of the queries; 0 is raw numbers")
    memory_octaves: int = Field(default=0, ge=0, le=16, description="Fourier octaves of the tokens' centers")
    memory_hidden: int | None = Field(
        default=None, gt=0, description="hidden units of the memory MLP; null for channels"
    )
    memory_norm: bool = Field(default=False, description="layer norm on the memory; not in the paper, learns sooner")
    query_origin: bool = Field(default=True, description="queries hold the line's point nearest to the world origin")
    query_direction: bool = Field(default=True, description="queries hold the line's direction")
    query_position: bool = Field(default=True, description="queries hold the cell's place in the image")
    authors_lines: bool = Field(default=False, description="directions and positions as in the authors' code")
    pad_token: bool = Field(default=True, description="memory holds a learnable entry for the background")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.head_width is None and self.channels % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide channels {self.channels}, or set head_width")
        if not self.query_parts:
            raise ValueError("a query needs at least one of query_origin, query_direction, query_position")
        return self

    @property
    def side(self) -> int:
        """Cells along a side, h = w.

        Raises:
            TapError: not set; `tap.network.model.ModelConfig` sets it.
        """
        if self.cells is None:
            raise TapError("photograph.cells is not set; give a number, or let ModelConfig take it from the image size")
        return self.cells

    @property
    def query_parts(self) -> tuple[str, ...]:
        """The parts that a query of lines is made of, in the order of `tap.network.query.PARTS`."""
        return tuple(part for part in PARTS if getattr(self, f"query_{part}"))


def reference_photograph(token_channels: int) -> PhotographConfig:
    """The photograph module of the authors' code, tensor by tensor, for a backbone of so wide tokens.

    Beside the paper: 32 heads of 32, so attention is 1024 wide inside at 256 channels; dropout in place of drop path;
    hidden layers as wide as the inputs, 8 for queries and ``token_channels`` + 3 for the memory; lines as they compute
    them; no pad token, which they create and never use.
    """
    return PhotographConfig(
        num_heads=32,
        head_width=32,
        drop_path=0.0,
        dropout=0.1,
        query_hidden=8,
        memory_hidden=token_channels + 3,
        authors_lines=True,
        pad_token=False,
    )


class PhotographBlock(nn.Module):
    """Pre-norm block: queries of a view among themselves, queries to memory, gated MLP; drop path on each branch.

    Args:
        config: settings of the module.
        drop_path: of this block.
    """

    def __init__(self, config: PhotographConfig, drop_path: float) -> None:
        super().__init__()
        heads = (config.channels, config.num_heads, config.head_width, config.dropout)
        self.self_norm = nn.LayerNorm(config.channels)
        self.self_attention = SelfAttention(*heads)
        self.cross_norm = nn.LayerNorm(config.channels)
        self.cross_attention = CrossAttention(*heads)
        self.mlp_norm = nn.LayerNorm(config.channels)
        self.mlp = GatedFeedForward(config.channels, config.mlp_ratio, config.dropout)
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
        queries = self._among_themselves(queries)
        answers = self.cross_attention(self._asking(queries, memory), memory, mask).reshape(queries.shape)
        queries = queries + self.drop_path(answers)  # (B V, h w, C)
        output: Tensor = queries + self.drop_path(self.mlp(self.mlp_norm(queries)))
        return output

    def attention(self, queries: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """What `forward` would look at with the same arguments: (B, V h w, M) float32, mean over the heads."""
        asking = self._asking(self._among_themselves(queries), memory)
        return self.cross_attention.weights(asking, memory, mask).mean(1)

    def _among_themselves(self, queries: Tensor) -> Tensor:
        output: Tensor = queries + self.drop_path(self.self_attention(self.self_norm(queries)))
        return output

    def _asking(self, queries: Tensor, memory: Tensor) -> Tensor:
        # Queries do not meet in cross-attention: all views of an object ask as one sequence and share keys and values.
        asking: Tensor = self.cross_norm(queries).reshape(len(memory), -1, queries.shape[-1])  # (B, V h w, C)
        return asking


class Photograph(nn.Module):
    """Feature maps of views from the tokens of objects by cross-attention.

    Args:
        config: settings.
        token_channels: width of the backbone's tokens.
        image_size: side in pixels of the images that the intrinsics belong to.
    Source: Take-A-Photo, sections 3.2 and 3.3. Departures of the defaults from the authors' code: drop path as the
        paper says, where the code drops units; 8 heads of 32 at 256 channels, where the code has 32 heads of 32 and so
        an inner width of 1024. `reference_photograph` makes none.
    """

    def __init__(self, config: PhotographConfig, token_channels: int, image_size: int) -> None:
        super().__init__()
        self.cells = config.side
        self.channels = config.channels
        self.query = _build_queries(config, image_size)
        self.memory = build_memory(config, token_channels)
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

    def attention(self, encoded: Encoded, views: ViewBatch) -> Tensor:
        """Which entries of the memory each cell looks at in the last layer, for pictures.

        Args:
            encoded: of B objects.
            views: V cameras of each.

        Returns:
            (B, V, h w, M) float32, mean over the heads; M counts the tokens and, where there is one, the pad token last.
            A row sums to 1.
        """
        queries = self.query(views)  # (B V, h w, C)
        memory, mask = self.memory(encoded)
        *before, last = self.blocks
        for block in before:
            queries = block(queries, memory, mask)
        weights: Tensor = last.attention(queries, memory, mask)  # type: ignore[operator]
        return weights.reshape(len(memory), -1, self.cells**2, memory.shape[1])  # (B, V, h w, M)


def build_photograph(
    config: PhotographConfig, token_channels: int, image_size: int
) -> Photograph | ProjectedPhotograph:
    """A fresh photograph module of the config's kind, called as ``(encoded, views)``; both kinds have `attention`.

    Args:
        config: settings.
        token_channels: width of the backbone's tokens.
        image_size: side in pixels of the images that the intrinsics belong to.

    Raises:
        TapError: ``cells`` is not set.
    """
    kind = Photograph if config.kind == "cross_attention" else ProjectedPhotograph
    return kind(config, token_channels, image_size)


def _build_queries(config: PhotographConfig, image_size: int) -> QueryGenerator | LearnedQueries:
    if config.query == "learned":
        return LearnedQueries(config.channels, config.side, config.query_octaves, config.query_hidden)
    return QueryGenerator(
        config.channels,
        config.side,
        image_size,
        config.query_octaves,
        config.query_parts,
        config.query_hidden,
        config.authors_lines,
    )
