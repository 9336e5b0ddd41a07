"""Cutting a held-out share from a training split, the same way every time."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from shards.reader import ShardReader
from shards.record import read_manifest
from shards.store import Location, open_store
from tap.sampling import IntArray


def data_account(shards: Location, *splits: str) -> dict[str, Any]:
    """What a run says of its data: samples of these splits as far as the set has them, and its classes.

    Read from the manifest alone, so the tars of a split that is not read need not be there; `ShardError` without one.
    """
    manifest = read_manifest(open_store(shards))
    sizes: Counter[str] = Counter()
    for entry in manifest.shards:
        sizes[entry.split] += entry.count
    num_samples = {split: sizes[split] for split in splits if split in sizes}
    return {"num_samples": num_samples, "classes": sorted(manifest.classes, key=lambda name: manifest.classes[name])}


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
