"""The order of an epoch as a permutation, from (seed, epoch) alone: ranks and workers only cut it into pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError

SHARDS_IN_GROUP = 16
"""Shards that are shuffled together where nothing else is asked for."""


def epoch_order(
    num_per_shard: Sequence[int], seed: int, epoch: int, shards_in_group: int = SHARDS_IN_GROUP
) -> NDArray[np.int64]:
    """Global sample indices of one epoch.

    Shards are shuffled and cut into groups of even length; the samples of a group are shuffled together. So a group
    bounds how many tars are in use at a time, and the order is as good as this:

    - Up to `shards_in_group` shards there is one group, and the order is a uniform permutation of all samples.
    - Above, a group has at least half of `shards_in_group` shards. In one of k equal shards, two samples that follow each
      other share a shard with a probability just below 1 / k, and so do two at any other distance within the group.
      Samples of different groups never share a shard.
    - Over many epochs a sample is met at each position equally often where all shards are of one size, and nearly so
      where they are not.

    Args:
        num_per_shard: samples in each shard; global indices count through the shards in this order.
        seed: of the run, at least 0.
        epoch: at least 0.
        shards_in_group: the most shards that are shuffled together.

    Returns:
        (sum of num_per_shard,) int64, every index once.

    Raises:
        ShardError: a group without shards, or a negative seed or epoch.
    """
    if shards_in_group < 1 or seed < 0 or epoch < 0:
        raise ShardError(f"shards_in_group {shards_in_group} (at least 1), seed {seed}, epoch {epoch} (at least 0)")
    counts = np.asarray(num_per_shard, dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    # PCG64 by name: default_rng may stand for another generator in a later numpy.
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch))))
    shards = random.permutation(len(counts))
    order = np.empty(int(starts[-1]), np.int64)
    filled = 0
    # Of even length, so that the epoch does not end with the samples of the one or two shards that were left over.
    for group in np.array_split(shards, max(1, -(-len(shards) // shards_in_group))):
        pieces = [np.arange(starts[shard], starts[shard + 1]) for shard in group]
        indices = np.concatenate([np.empty(0, np.int64), *pieces])
        random.shuffle(indices)
        order[filled : filled + len(indices)] = indices
        filled += len(indices)
    return order
