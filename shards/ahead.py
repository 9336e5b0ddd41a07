"""Fetching ahead of an order: which shards it comes to next, and when to ask for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from shards.stream import IntArray


class Prefetching(Protocol):
    """A reader that can fetch shards ahead, as `ShardReader` does where it has a cache."""

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Begins to fetch shards, by their place among the reader's entries; returns at once."""


class FetchAhead:
    """Has the shards of the next group fetched when a group of an order is begun.

    Args:
        reader: fetches.
        order: global indices of the epoch.
        num_per_shard: samples in each shard.
    """

    def __init__(self, reader: Prefetching, order: IntArray, num_per_shard: Sequence[int]) -> None:
        self._reader = reader
        self._groups = shard_groups(order, num_per_shard)
        self._begins = [begin for begin, _ in self._groups]
        self._asked = -1

    def reached(self, position: int) -> None:
        """To be called with the position that is read next; asks at the first one of each group."""
        group = bisect_right(self._begins, position) - 1
        for number in range(max(group, self._asked + 1), min(group + 2, len(self._groups))):
            self._reader.prefetch(self._groups[number][1])
            self._asked = number


def shard_groups(order: IntArray, num_per_shard: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Where an order may let go of its shards: position, and the shards that are in use from there to the next.

    Args:
        order: global indices, each at most once.
        num_per_shard: samples in each shard; global indices count through the shards in this order.

    Returns:
        One entry for each group that shares no shard with another, in the order of positions; shards as they are met.
    """
    if not len(order):
        return []
    shard_of = np.searchsorted(np.cumsum(num_per_shard), order, side="right")
    positions = np.arange(len(order))
    first, last = np.full((2, len(num_per_shard)), len(order))
    first[shard_of[::-1]] = positions[::-1]  # of a repeated index the last assignment stays
    last[shard_of] = positions
    # A group ends where no shard met so far comes again.
    ends = np.flatnonzero(np.maximum.accumulate(last[shard_of]) == positions) + 1
    begins = [0, *ends[:-1].tolist()]
    met = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(order))]
    cuts = np.searchsorted(first[met], begins)[1:]
    return [(begin, group.tolist()) for begin, group in zip(begins, np.split(met, cuts), strict=True)]
