"""What a compiler needs to know of the custom operators before they run: empty results of the right shape and dtype."""

from typing import Any

import torch
from torch import Tensor


def sampled(points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
    """Of farthest point sampling: (B, S) int64."""
    return points.new_empty((points.shape[0], num_samples), dtype=torch.int64)


def in_balls(points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """Of a ball query: (B, G, K) int64."""
    return neighbors(points, centers, num_neighbors, mask)


def neighbors(points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
    """Of the nearest neighbours: (B, G, K) int64."""
    return points.new_empty((*centers.shape[:2], num_neighbors), dtype=torch.int64)


def keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Saves all inputs, which are tensors, for the backward pass."""
    ctx.save_for_backward(*inputs)
