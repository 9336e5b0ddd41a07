"""Pre-norm transformer parts that the transformer backbone and the photograph module share.

Attention runs through torch's fused kernel. A mask says which keys may be looked at. Legend: B batch, L queries,
M memory entries, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tap.ops.multiply import Linear


class DropPath(nn.Module):
    """Stochastic depth: in training a whole branch of a sample is left out with ``probability``.

    Args:
        probability: in [0, 1); the kept branches are scaled up so that the mean stays.
    Source: Deep Networks with Stochastic Depth (ECCV 2016), drawn per sample.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """(B, ...) to the same shape, with whole rows set to zero."""
        if not self.training or self.probability == 0.0:
            return branch
        keep = 1.0 - self.probability
        scale = branch.new_empty(len(branch), *[1] * (branch.dim() - 1)).bernoulli_(keep) / keep  # (B, 1, ...)
        return branch * scale

    def extra_repr(self) -> str:
        """Shown by print(model)."""
        return f"probability={self.probability:.3f}"


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself.

    Args:
        channels: C, a multiple of ``num_heads`` where ``head_width`` is None.
        num_heads: heads.
        head_width: channels of a head; None for C / num_heads.
        dropout: share of the output's units that are dropped in training.
    """

    def __init__(self, channels: int, num_heads: int, head_width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        inner = channels if head_width is None else num_heads * head_width
        self.to_query_key_value = Linear(channels, 3 * inner, bias=False)
        self.to_output = Linear(inner, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequence: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend within each sequence.

        Args:
            sequence: (B, L, C).
            mask: (B, L) bool, true at entries that may be looked at, at least one a row; None means all.

        Returns:
            (B, L, C).
        """
        projected = self.to_query_key_value(sequence).unflatten(-1, (3, self.num_heads, -1))  # (B, L, 3, heads, width)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)  # 3 x (B, heads, L, width)
        output: Tensor = self.dropout(self.to_output(_attend(query, key, value, mask)))
        return output


class CrossAttention(nn.Module):
    """Multi-head attention from queries to a memory.

    Args:
        channels: C of queries and memory, a multiple of ``num_heads`` where ``head_width`` is None.
        num_heads: heads.
        head_width: channels of a head; None for C / num_heads.
        dropout: share of the output's units that are dropped in training.
    """

    def __init__(self, channels: int, num_heads: int, head_width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        inner = channels if head_width is None else num_heads * head_width
        self.to_query = Linear(channels, inner, bias=False)
        self.to_key_value = Linear(channels, 2 * inner, bias=False)
        self.to_output = Linear(inner, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend to the memory.

        Args:
            queries: (B, L, C).
            memory: (B, M, C).
            mask: (B, M) bool, true at entries that may be looked at, at least one a row; None means all.

        Returns:
            (B, L, C).
        """
        query, key, value = self._heads(queries, memory)
        output: Tensor = self.dropout(self.to_output(_attend(query, key, value, mask)))
        return output

    def weights(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much each query looks at each entry of the memory; for pictures, not used in training.

        Args:
            queries: (B, L, C).
            memory: (B, M, C).
            mask: (B, M) bool, true at entries that may be looked at, at least one a row; None means all.

        Returns:
            (B, heads, L, M) float32; a row sums to 1.
        """
        query, key, _ = self._heads(queries, memory)
        scores = (query.float() @ key.float().transpose(2, 3)) * query.shape[-1] ** -0.5  # (B, heads, L, M)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
        weights: Tensor = scores.softmax(-1)
        return weights

    def _heads(self, queries: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query (B, heads, L, width), key and value (B, heads, M, width)."""
        query = self.to_query(queries).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, L, width)
        projected = self.to_key_value(memory).unflatten(-1, (2, self.num_heads, -1))  # (B, M, 2, heads, width)
        key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)  # 2 x (B, heads, M, width)
        return query, key, value


class FeedForward(nn.Module):
    """Two linear layers with GELU between them.

    Args:
        channels: C.
        ratio: hidden width over C.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.expand = Linear(channels, hidden)
        self.contract = Linear(hidden, channels)

    def forward(self, sequence: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        output: Tensor = self.contract(F.gelu(self.expand(sequence)))
        return output


class GatedFeedForward(nn.Module):
    """Feed-forward layer whose hidden units are multiplied by a GELU gate.

    Args:
        channels: C.
        ratio: hidden width over C, after gating.
        dropout: share of the hidden units that are dropped in training.
    Source: GLU Variants Improve Transformer (arXiv 2002.05202), GEGLU.
    """

    def __init__(self, channels: int, ratio: float, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.expand = Linear(channels, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.contract = Linear(hidden, channels)

    def forward(self, sequence: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        value, gate = self.expand(sequence).chunk(2, dim=-1)
        output: Tensor = self.contract(self.dropout(value * F.gelu(gate)))
        return output


def rising_drop_path(largest: float, depth: int) -> list[float]:
    """Drop path of each block, rising linearly from 0 at the first to ``largest`` at the last."""
    return [float(rate) for rate in torch.linspace(0.0, largest, depth, device="cpu")]


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention over (B, heads, L or M, width), heads joined again: (B, L, C)."""
    key_mask = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, M)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # torch's fused kernel takes three to seven times as long there, most of it backwards.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, heads, L, M)
        if key_mask is not None:
            scores = scores.masked_fill(~key_mask, -torch.inf)
        attended: Tensor = scores.softmax(-1).to(value.dtype) @ value  # (B, heads, L, width)
    else:
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=key_mask)
    return attended.transpose(1, 2).flatten(2)  # (B, L, C)
