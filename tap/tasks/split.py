"""Cutting a held-out share from a training split, the same way every time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shards.reader import ShardReader
from tap.sampling import IntArray


def splits_of(shards: Path) -> list[str]:
    """The names of the splits that a shard set has; `ShardError` if it is none."""
    return sorted({entry.split for entry in ShardReader(shards).entries})


def cut_share(labels: Sequence[int], share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Cuts a share of each class.

    Args:
        labels: class of each sample; equal labels are cut together.
        share: of each class, rounded to whole samples; at least one of a class of two or more, never a whole class.
        seed: draws which ones.

    Returns:
        The indices that stay and those that are cut, ascending.
    """
    cut: list[int] = []
    classes = np.asarray(labels, np.int64)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        number = min(len(members) - 1, max(1, round(share * len(members))))
        order = np.random.default_rng((seed, int(label) + 1)).permutation(members)  # + 1: unlabelled ones are -1
        cut += order[:number].tolist()
    keep = np.setdiff1d(np.arange(len(classes)), cut)
    return keep.astype(np.int64), np.sort(np.asarray(cut, np.int64))


def epoch_order(reader: ShardReader, members: set[int], seed: int, epoch: int) -> IntArray:
    """The reader's order of an epoch, restricted to some of its samples."""
    order = reader.order(seed, epoch)
    return order if len(members) == len(order) else order[[int(index) in members for index in order]]
