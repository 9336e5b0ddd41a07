"""Fourier features of coordinates, which let an MLP tell nearby positions apart."""

import torch
from torch import Tensor, nn


class FourierEncoding(nn.Module):
    """Coordinates followed by their sines and cosines at rising octaves; no octaves leave them as they are.

    The paper feeds raw coordinates. On a prototype four octaves more than halved the steps until the generated views
    followed the pose, so the encoding is a choice; see the presets.

    Args:
        octaves: number of frequencies pi, 2 pi, 4 pi, ...; coordinates are expected in about [-1, 1].
    Source: NeRF (ECCV 2020), equation 4.
    """

    def __init__(self, octaves: int) -> None:
        super().__init__()
        self.octaves = octaves
        frequencies = torch.pi * 2.0 ** torch.arange(octaves, dtype=torch.float32)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.frequencies: Tensor

    def width(self, coordinates: int) -> int:
        """Output width for ``coordinates`` inputs."""
        return coordinates * (1 + 2 * self.octaves)

    def forward(self, coordinates: Tensor) -> Tensor:
        """(..., D) float32 to (..., D (1 + 2 octaves)) float32: coordinates, then sines, then cosines."""
        if not self.octaves:
            return coordinates
        angles = (coordinates[..., None, :] * self.frequencies[:, None]).flatten(-2)  # (..., octaves D)
        return torch.cat([coordinates, angles.sin(), angles.cos()], dim=-1)  # (..., D (1 + 2 octaves))
