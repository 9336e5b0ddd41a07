"""The order of an epoch as a permutation, from (seed, epoch) alone: ranks and workers only cut it into pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError


def epoch_order(num_per_shard: Sequence[int], seed: int, epoch: int, shards_in_group: int = 16) -> NDArray[np.int64]:
    """Global sample indices of one epoch.

    Shards are shuffled and taken in groups; the samples of a group are shuffled together. A group bounds how many
    tars are in use at a time; samples that share a shard never end up further apart than their group is long.

    Args:
        num_per_shard: samples in each shard; global indices count through the shards in this order.
        seed: of the run, at least 0.
        epoch: at least 0.
        shards_in_group: shards that are shuffled together.

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
    for first in range(0, len(shards), shards_in_group):
        group = shards[first : first + shards_in_group]
        indices = np.concatenate([np.arange(starts[shard], starts[shard + 1]) for shard in group])
        random.shuffle(indices)
        order[filled : filled + len(indices)] = indices
        filled += len(indices)
    return order
