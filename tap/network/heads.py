"""Task heads: what stands on a backbone after pre-training. Legend: B batch, G tokens, C channels."""

from typing import Literal

import torch
from torch import Tensor, nn

from tap.batch import Encoded
from tap.errors import TapError

HIDDEN = (512, 256)


Pooling = Literal["class_max", "max", "max_mean"]
POOLED: dict[Pooling, int] = {"class_max": 2, "max": 1, "max_mean": 2}
"""How many vectors of C channels each pooling joins."""


def pool(encoded: Encoded, pooling: Pooling) -> Tensor:
    """One vector of each object.

    Args:
        encoded: of B objects; tokens outside the mask change nothing.
        pooling: ``max`` over the tokens; ``class_max`` the class token before it; ``max_mean`` the mean after it.

    Returns:
        (B, C times `POOLED`).

    Raises:
        TapError: the class token is missing.
    """
    tokens, mask = encoded.tokens, encoded.token_mask
    largest = (tokens if mask is None else tokens.masked_fill(~mask[..., None], -torch.inf)).amax(1)  # (B, C)
    if pooling == "max":
        return largest
    if pooling == "class_max":
        if encoded.class_token is None:
            raise TapError("pooling class_max: this backbone gives no class token; use max or max_mean")
        return torch.cat([encoded.class_token, largest], dim=-1)  # (B, 2 C)
    if mask is None:
        return torch.cat([largest, tokens.mean(1)], dim=-1)  # (B, 2 C)
    mean = tokens.masked_fill(~mask[..., None], 0.0).sum(1) / mask.sum(1, keepdim=True)
    return torch.cat([largest, mean], dim=-1)  # (B, 2 C)


class ClassificationHead(nn.Module):
    """Class scores of an object from its pooled tokens.

    Args:
        channels: C of the backbone.
        num_classes: classes.
        pooling: see `pool`.
        dropout: after each hidden layer.
        hidden: their widths; none leaves one linear layer.
    Source: Take-A-Photo, section 4.2: 512-256 with batch norm, ReLU and dropout .5. No bias before a batch norm.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        pooling: Pooling,
        dropout: float = 0.5,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        width = POOLED[pooling] * channels
        layers: list[nn.Module] = []
        for channels_out in hidden:
            layers += [nn.Linear(width, channels_out, bias=False), nn.BatchNorm1d(channels_out), nn.ReLU()]
            layers.append(nn.Dropout(dropout))
            width = channels_out
        self.layers = nn.Sequential(*layers, nn.Linear(width, num_classes))

    def forward(self, encoded: Encoded) -> Tensor:
        """Class scores (B, num_classes), before softmax; tokens outside the mask change nothing.

        Raises:
            TapError: the class token that the head was built for is missing.
        """
        scores: Tensor = self.layers(pool(encoded, self.pooling))
        return scores
