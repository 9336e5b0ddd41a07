"""Photograph modules that are told where each token lands: what learning the projection by attention is compared with.

Legend: B batch, V views, G tokens, C channels, h w cells.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from render.camera import project
from tap.batch import Encoded, ViewBatch
from tap.network.attention import DropPath, GatedFeedForward, SelfAttention, rising_drop_path
from tap.network.memory import build_memory
from tap.network.query import LearnedQueries

if TYPE_CHECKING:
    from tap.network.photograph import PhotographConfig


def tokens_in_cells(centers: Tensor, mask: Tensor | None, views: ViewBatch, cells: int, image_size: int) -> Tensor:
    """Which tokens land in which cell of which view.

    Args:
        centers: (B, G, 3) float32, world.
        mask: (B, G) bool, true at real tokens, or None where all are.
        views: cameras; images and mask are not read.
        cells: h = w, cells along a side of the image.
        image_size: side in pixels of the images that the intrinsics belong to.

    Returns:
        (B, V, h w, G) bool. A token outside the image, behind a perspective camera or masked lands nowhere.
    """
    parallel = views.parallel[:, None, None]  # (B, 1, 1), broadcasts over views and tokens
    pixels, depth = project(centers.float()[:, None], views.world_to_camera, views.intrinsics, parallel)
    place = (pixels * (cells / image_size)).floor()  # (B, V, G, 2) as (column, row)
    seen = ((place >= 0) & (place < cells)).all(-1) & (parallel | (depth > 0))  # (B, V, G)
    if mask is not None:
        seen = seen & mask[:, None]
    every = torch.arange(cells * cells, device=centers.device)
    landed = every[:, None] == (place[..., 1] * cells + place[..., 0])[:, :, None]  # (B, V, h w, G)
    found: Tensor = landed & seen[:, :, None]
    return found


class SelfAttentionBlock(nn.Module):
    """Pre-norm block: a view's cells and its pose token among themselves, gated MLP; drop path on each branch.

    Args:
        config: settings of the module.
        drop_path: of this block.
    """

    def __init__(self, config: "PhotographConfig", drop_path: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(config.channels)
        self.self_attention = SelfAttention(config.channels, config.num_heads, config.head_width, config.dropout)
        self.mlp_norm = nn.LayerNorm(config.channels)
        self.mlp = GatedFeedForward(config.channels, config.mlp_ratio, config.dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B V, L, C) to the same shape."""
        sequence = sequence + self.drop_path(self.self_attention(self.self_norm(sequence)))
        output: Tensor = sequence + self.drop_path(self.mlp(self.mlp_norm(sequence)))
        return output


class ProjectedPhotograph(nn.Module):
    """Feature maps of views by explicit projection: a cell holds the mean of the tokens whose centers fall into it.

    A cell into which none falls holds the pad token where there is one, else zeros. Kind ``projection`` ends here; in
    ``projected_self_attention`` the cells of a view and a token of its pose then go through self-attention, and the
    pose token is left out of the map. The cells get no position of their own, for the paper names none: what tells
    them apart are the centers in their tokens.

    Args:
        config: settings; those of queries and cross-attention are not read.
        token_channels: width of the backbone's tokens.
        image_size: side in pixels of the images that the intrinsics belong to.
    Source: Take-A-Photo, section 4.4, models A1 and A2 of table 6 (a); the cell of a token by equations 3 and 4.
    """

    def __init__(self, config: "PhotographConfig", token_channels: int, image_size: int) -> None:
        super().__init__()
        self.cells, self.image_size, self.channels = config.side, image_size, config.channels
        self.memory = build_memory(config, token_channels)
        attends = config.kind == "projected_self_attention"
        one = LearnedQueries(config.channels, 1, config.query_octaves, config.query_hidden)
        self.pose_token = one if attends else None
        rates = rising_drop_path(config.drop_path, config.layers) if attends else []
        self.blocks = nn.ModuleList([SelfAttentionBlock(config, rate) for rate in rates])

    def forward(self, encoded: Encoded, views: ViewBatch) -> Tensor:
        """Take the photographs.

        Args:
            encoded: of B objects.
            views: V cameras of each; images and mask are not read.

        Returns:
            (B V, C, h, w), the views of an object adjacent.
        """
        memory, _ = self.memory(encoded)  # (B, M, C)
        shares = self.attention(encoded, views).to(memory.dtype)  # (B, V, h w, M)
        # A product with the shares rather than a scatter: the same sum in the same order on every device.
        features = (shares.flatten(1, 2) @ memory).reshape(-1, self.cells**2, self.channels)  # (B V, h w, C)
        if self.pose_token is not None:
            sequence = torch.cat([features, self.pose_token(views).to(features.dtype)], dim=1)  # (B V, h w + 1, C)
            for block in self.blocks:
                sequence = block(sequence)
            features = sequence[:, :-1]
        grid: Tensor = features.transpose(1, 2).reshape(len(features), -1, self.cells, self.cells)
        return grid  # (B V, C, h, w)

    def attention(self, encoded: Encoded, views: ViewBatch) -> Tensor:
        """The share of each token in each cell, as of `Photograph.attention`: given here, not learned.

        Returns:
            (B, V, h w, M) float32, the pad token last where there is one; a row sums to 1, or to 0 in an empty cell
            without a pad token.
        """
        landed = tokens_in_cells(encoded.centers, encoded.token_mask, views, self.cells, self.image_size)
        count = landed.sum(-1, keepdim=True)  # (B, V, h w, 1)
        shares = landed.float() / count.clamp(min=1)
        if self.memory.pad_token is None:
            return shares
        return torch.cat([shares, (count == 0).float()], dim=-1)  # (B, V, h w, G + 1)
