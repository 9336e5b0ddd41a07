"""Task heads: what stands on a backbone after pre-training. Legend: B batch, G tokens, C channels."""

import torch
from torch import Tensor, nn

from tap.batch import Encoded
from tap.errors import TapError

HIDDEN = (512, 256)


class ClassificationHead(nn.Module):
    """Class scores of an object from its class token and the maximum over its tokens.

    Args:
        channels: C of the backbone.
        num_classes: classes.
        class_token: whether the backbone has one; without it the maximum stands alone.
        dropout: after each hidden layer.
    Source: Take-A-Photo, section 4.2: 512-256 with batch norm, ReLU and dropout .5. No bias before a batch norm.
    """

    def __init__(self, channels: int, num_classes: int, class_token: bool, dropout: float = 0.5) -> None:
        super().__init__()
        self.uses_class_token = class_token
        width = 2 * channels if class_token else channels
        layers: list[nn.Module] = []
        for hidden in HIDDEN:
            layers += [nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, num_classes))

    def forward(self, encoded: Encoded) -> Tensor:
        """Class scores (B, num_classes), before softmax; tokens outside the mask change nothing.

        Raises:
            TapError: the class token that the head was built for is missing.
        """
        tokens = encoded.tokens
        if encoded.token_mask is not None:
            tokens = tokens.masked_fill(~encoded.token_mask[..., None], -torch.inf)
        pooled = tokens.amax(1)  # (B, C)
        if self.uses_class_token:
            if encoded.class_token is None:
                raise TapError("classification head: built for a backbone with a class token, this one gives none")
            pooled = torch.cat([encoded.class_token, pooled], dim=-1)  # (B, 2 C)
        scores: Tensor = self.layers(pooled)
        return scores
