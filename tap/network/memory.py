"""Memory builder: what a view's queries may look at.

Tokens and their places become memory, plus one learnable entry that belongs to no object: the background. Legend:
B batch, G tokens, C channels.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tap.batch import Encoded
from tap.network.encoding import FourierEncoding

if TYPE_CHECKING:
    from tap.network.photograph import PhotographConfig


class MemoryBuilder(nn.Module):
    """Memory of an object from its tokens, shared by all its views.

    Args:
        token_channels: width of the backbone's tokens.
        channels: C of the memory.
        octaves: Fourier octaves of the centers; 0 feeds them as they are, as the paper does.
        pad_token: append the learnable background entry.
        norm: normalise the memory, so that attention can tell its entries apart from the first step.
        hidden: width of the MLP's hidden layer; None for C.
    Source: Take-A-Photo, equation 7. The authors' code creates the pad token and never uses it; their MLP's hidden
        layer is as wide as its input, ours by default as its output. Departures that only the small preset makes: the norm, and
        with octaves an initialisation in which tokens and centers weigh alike. Hundreds of token channels otherwise
        drown the few of a place, and attention takes long to find where things are.
    """

    def __init__(
        self,
        token_channels: int,
        channels: int,
        octaves: int,
        pad_token: bool,
        norm: bool = False,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.encoding = FourierEncoding(octaves)
        width, hidden = token_channels + self.encoding.width(3), hidden or channels
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, channels))
        if octaves:
            # A normalised token channel has variance 1, a sine or cosine 1/2.
            gain = (token_channels / (self.encoding.width(3) / 2)) ** 0.5
            with torch.no_grad():
                self.mlp[0].get_parameter("weight")[:, token_channels:].mul_(gain)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.pad_token: nn.Parameter | None = None
        if pad_token:
            self.pad_token = nn.Parameter(torch.zeros(channels))
            nn.init.trunc_normal_(self.pad_token, std=0.02)

    def forward(self, encoded: Encoded) -> tuple[Tensor, Tensor | None]:
        """Build the memory.

        Args:
            encoded: tokens and centers of the backbone.

        Returns:
            memory (B, G + 1, C), the pad token last, or (B, G, C) without one; and the mask (B, G + 1) or (B, G) bool
            of entries that may be looked at, the pad token always, or None where all may.
        """
        with torch.autocast(encoded.centers.device.type, enabled=False):  # places need all their digits
            places = self.encoding(encoded.centers.float())
        memory: Tensor = self.mlp(torch.cat([encoded.tokens, places], dim=-1))  # (B, G, C)
        mask = encoded.token_mask
        if self.pad_token is None:
            return self.norm(memory), mask
        pad = self.pad_token.to(memory.dtype).expand(len(memory), 1, -1)  # (B, 1, C)
        memory = self.norm(torch.cat([memory, pad], dim=1))  # (B, G + 1, C)
        return memory, None if mask is None else F.pad(mask, (0, 1), value=True)


def build_memory(config: "PhotographConfig", token_channels: int) -> MemoryBuilder:
    """The memory builder that the settings of a photograph module ask for."""
    return MemoryBuilder(
        token_channels,
        config.channels,
        config.memory_octaves,
        config.pad_token,
        config.memory_norm,
        config.memory_hidden,
    )
