"""Layers that all points share, and the sampling of levels that the convolutional backbones have in common.

A layer is linear on rows of points: the same function and parameters as a 1 x 1 convolution, without its transposes.
Legend: B batch, N points, G centers, K neighbours, C channels.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tap.errors import TapError
from tap.ops import farthest_point_sampling, gather, group_max
from tap.ops.multiply import Linear

Activation = Literal["relu", "leaky_relu"]


class SharedLayer(nn.Module):
    """Linear without bias, batch norm over all rows, activation.

    Args:
        in_channels: C in.
        out_channels: C out.
        activation: ``relu``, ``leaky_relu`` of slope .2, or None.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation | None = "relu") -> None:
        super().__init__()
        self.linear = Linear(in_channels, out_channels, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)
        self.activation = activation

    def forward(self, rows: Tensor) -> Tensor:
        """(rows, C in) to (rows, C out)."""
        return self.activate(self.norm(self.linear(rows)))

    def activate(self, rows: Tensor) -> Tensor:
        """The activation, written over its input, which must be no view: autograd would copy it."""
        if self.activation == "relu":
            return F.relu(rows, inplace=True)
        return rows if self.activation is None else F.leaky_relu(rows, 0.2, inplace=True)


def neighbor_max(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Maximum over the neighbours: rows (B G K, C) of ``shape`` (B, G, K) to (B G, C).

    It comes before an activation that never falls, which then has K times fewer numbers to look at. Among equals one takes
    the whole gradient.
    """
    batch, num_centers, num_neighbors = shape
    return group_max(rows.view(batch * num_centers, num_neighbors, rows.shape[-1]))


def layer_dtype(features: Tensor) -> torch.dtype:
    """The type in which a linear layer would answer for ``features`` here: autocast's where it is on, else their own."""
    kind = features.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype


def sample_level(points: Tensor, mask: Tensor | None, num_samples: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """The points of the next, coarser level.

    Args:
        points: (B, N, 3) float32.
        mask: (B, N) bool or None, true at real points.
        num_samples: G, at most N.

    Returns:
        Indices (B, G) of farthest point samples, their places (B, G, 3), and which of them are real, (B, G) bool or None:
        as many as the cloud has real points.
    """
    chosen = farthest_point_sampling(points, num_samples, mask)  # (B, G)
    kept = None
    if mask is not None:
        kept = torch.arange(num_samples, device=mask.device) < mask.sum(1, keepdim=True)  # (B, G)
    return chosen, gather(points, chosen), kept


def check_size(name: str, num_points: int, least: int) -> None:
    """`TapError` where clouds of ``num_points`` are smaller than a backbone of these settings can take."""
    if num_points < least:
        raise TapError(
            f"{name}: clouds of {num_points} points, these settings need {least}; sample more points a cloud or lower "
            "strides and neighbours"
        )
