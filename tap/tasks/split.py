"""The samples that a task trains on: their labels, a held-out share cut the same way every time, their order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from shards.errors import ShardError
from shards.stores.store import Location
from shards.stream import Address, IntArray
from tap.datasets import ShardSource, Source
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.samples import UNLABELLED, Samples
from tap.loading.sampling import EVALUATION, fetch_ahead
from tap.training.train_config import TrainConfig


def data_account(shards: Location, *splits: str) -> dict[str, Any]:
    """What a run says of its data: samples of these splits as far as the set has them, and its classes.

    Read from the manifest alone, so the tars of a split that is not read need not be there; `ShardError` without one.
    """
    return source_account(ShardSource(shards), *splits)


def source_account(source: Source, *splits: str) -> dict[str, Any]:
    """The same of any data set."""
    num_samples = {split: source.num_samples[split] for split in splits if split in source.num_samples}
    return {"num_samples": num_samples, "classes": list(source.classes)}


def labelled_samples(data: Samples) -> tuple[IntArray, list[int]]:
    """The samples of labelled data and their labels, of most of which only the JSON is read.

    The size of the points tells their number, so one sample of each size is read as it is for training: one that cannot be
    trained on is met here and not hours later.

    Args:
        data: all of it is looked at.

    Returns:
        Indices, ascending, and the class index of each. Samples whose JSON is damaged are missing where damaged samples are
        skipped.

    Raises:
        TapError: a sample has no class, or too few points.
        ShardError: a sample is damaged.
    """
    indices: list[int] = []
    labels: list[int] = []
    sizes: set[int | None] = set()
    ahead = None if data.reader is None else fetch_ahead(data.reader, np.arange(len(data)))
    for index in range(len(data)):
        if ahead is not None:
            ahead.reached(index)
        label = data.label(index)
        if label is None:
            continue
        check_label(data, index, label)
        size = data.size(index)
        if size not in sizes and _read_whole(data, index):
            sizes.add(size)
        indices.append(index)
        labels.append(label)
    return np.asarray(indices, np.int64), labels


def check_label(data: Samples, index: int, label: int) -> None:
    """Raises `TapError` where a sample has no class."""
    if label == UNLABELLED:
        raise TapError(f"{data.location}: sample {data.key(index)} has no class; label all of them")


def check_enough(where: str, num_train: int, train: TrainConfig) -> None:
    """Raises `TapError` where a head's batch norm would have no variance over one sample, on any of the devices."""
    if num_train // train.devices < 2 or train.batch_size < 2:
        raise TapError(
            f"{where}: {num_train} samples to train on in batches of {train.batch_size} on each of {train.devices} "
            "devices; two a device in batches of two or more are the least"
        )


def check_backbone(model: nn.Module, data: Samples, indices: IntArray) -> None:
    """Takes a sample through a model's ``backbone``: clouds that it cannot take are met here, before any training.

    Raises:
        TapError: they are too small, or lack what it reads of each point.
    """
    batch = collate([next(data.readable(indices))]).point_batch()
    backbone = model.get_submodule("backbone")
    was_training = backbone.training  # a frozen one is not, whatever the model is
    with torch.no_grad():
        backbone.eval()(batch)  # running statistics stay as they are
    backbone.train(was_training)


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


def take_share(labels: Sequence[int], share: float, seed: int) -> IntArray:
    """Takes max(1, round(share * n)) of the n samples of each class; what a smaller share takes is among what a larger does.

    Args:
        labels: class of each sample.
        share: of each class, above 0; 1 takes all.
        seed: draws which ones.

    Returns:
        Indices, ascending.
    """
    taken: list[int] = []
    classes = np.asarray(labels, np.int64)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        order = np.random.default_rng((seed, int(label) + 1, 1)).permutation(members)  # another draw than `cut_share`'s
        taken += order[: max(1, round(share * len(members)))].tolist()
    return np.sort(np.asarray(taken, np.int64))


def epoch_order(data: Samples, members: IntArray, epoch: int) -> IntArray:
    """The order of an epoch, restricted to some of the samples, each named once."""
    order = data.order(epoch)
    if len(members) == len(order):
        return order
    wanted = np.zeros(len(order), bool)
    wanted[members] = True
    return order[wanted[order]]


def _read_whole(data: Samples, index: int) -> bool:
    """Reads a sample as it is for training; false where it is damaged and damaged samples are skipped."""
    try:
        data[Address(EVALUATION, index)]
    except ShardError:  # noted when a batch meets it
        if data.config.on_error == "raise":
            raise
        return False
    return True
