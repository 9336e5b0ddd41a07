"""Few-shot folds: the published ones of ModelNet40, and seeded ones of any labelled data set.

A fold of W ways and S shots trains on S samples of each of W classes and is judged on others of the same classes.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from shards.stream import IntArray
from tap.datasets.plain_pickle import read_plain_pickle
from tap.datasets.source import Source, UpAxis
from tap.datasets.stored import ArraySet, Block
from tap.errors import TapError
from tap.loading.data import DataConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """Samples of a fold.

    Attributes:
        classes: their names; a place in here is the label in the fold.
        train: (W * S,) int64 indices in the split that is trained on, class after class.
        train_labels: (W * S,) int64, from 0 to W - 1.
        test_split: the split that ``test`` points into, that of ``train`` where the data set has no other.
        test: (Q,) int64 indices, none of them among ``train`` where the split is one.
        test_labels: (Q,) int64.
    """

    classes: tuple[str, ...]
    train: IntArray
    train_labels: IntArray
    test_split: str
    test: IntArray
    test_labels: IntArray


def draw_fold(
    source: Source,
    splits: tuple[str, str | None],
    data: DataConfig,
    way: int,
    shot: int,
    num_query: int | None,
    seed: int,
    fold: int,
) -> Fold:
    """Draws a fold, a function of (seed, fold) and of the labels alone.

    Args:
        source: the data set.
        splits: the one that training samples are drawn from, and that of the test samples; None, one that the data set lacks,
            or the first itself takes what remains of the first.
        data: how samples are read: where tars are kept, and what damage does. A sample whose label is damaged and skipped is
            in no fold.
        way: classes, drawn among those with samples enough.
        shot: training samples of each.
        num_query: test samples of each; None takes all.
        seed: of all folds.
        fold: its number.

    Raises:
        TapError: too few classes with samples enough, or numbers that make no fold.
    """
    if way < 2 or shot < 1 or (num_query is not None and num_query < 1) or min(seed, fold) < 0:
        raise TapError(
            f"{way} ways, {shot} shots, {num_query} queries, seed {seed}, fold {fold}: 2, 1, 1, 0 and 0 are the least"
        )
    train_split, test_split = splits
    apart = test_split if test_split in source.num_samples and test_split != train_split else None
    members = _members(source, train_split, data)
    tests = members if apart is None else _members(source, apart, data)
    queries = num_query or 1
    enough = [
        label
        for label in range(len(source.classes))
        if len(members[label]) >= shot + (queries if apart is None else 0) and len(tests[label]) >= queries
    ]
    if len(enough) < way:
        raise TapError(
            f"{source.location}: {len(enough)} classes have {shot} samples to train on and {queries} to test on, "
            f"{way} are needed; lower --way, --shot or --query"
        )
    chosen = np.random.default_rng((seed, fold)).choice(enough, way, replace=False).tolist()
    train, test = [], []
    for label in chosen:
        # Each class draws for itself, so that the shots do not depend on which other classes are in the fold.
        rng = np.random.default_rng((seed, fold, label + 1))
        order = rng.permutation(members[label])
        rest = order[shot:] if apart is None else rng.permutation(tests[label])
        train.append(order[:shot])
        test.append(np.sort(rest if num_query is None else rest[:num_query]))
    return Fold(
        tuple(source.classes[label] for label in chosen),
        np.concatenate(train),
        _labels(train),
        apart or train_split,
        np.concatenate(test),
        _labels(test),
    )


def load_fold(file: Path, up: UpAxis = "y") -> tuple[ArraySet, ArraySet]:
    """A published fold, ``{way}way_{shot}shot/{number}.pkl``, read without running anything of the pickle.

    Args:
        file: a pickle of {"train": [(array (P, 6), label, original class), ...], "test": ...}.
        up: the up axis of its points.

    Returns:
        Clouds to train on and to test on. Their classes are called as the fold calls the original ones, in the order of the
        labels in the fold.

    Raises:
        TapError: no such file, another form, or a pickle that names anything but arrays and plain data.
    """
    content = read_plain_pickle(file)
    if not isinstance(content, dict) or not {"train", "test"} <= set(content):
        raise TapError(f"{file}: holds no dict of train and test; get the folds of Point-BERT's ModelNetFewshot")
    names: dict[int, str] = {}
    read = {split: _read_split(file, split, content[split], names) for split in ("train", "test")}
    labels = set(read["train"][1].tolist())
    if labels != set(range(len(labels))) or not set(read["test"][1].tolist()) <= labels:
        raise TapError(
            f"{file}: its train labels are {sorted(labels)}; 0, 1, 2, ... are expected, and no others in test"
        )
    classes = tuple(names[label] for label in sorted(labels))
    if len(set(classes)) != len(classes):
        raise TapError(f"{file}: two labels are of one original class: {', '.join(classes)}")
    train, test = (ArraySet(str(file), classes, read[split][1], read[split][0], up) for split in ("train", "test"))
    return train, test


def _read_split(file: Path, split: str, rows: Any, names: dict[int, str]) -> tuple[list[Block], IntArray]:
    """Clouds and labels; ``names`` gets the original class of each label."""
    where = f"{file}: {split}"
    if not isinstance(rows, list | tuple) or not rows:
        raise TapError(f"{where} holds no list of samples")
    blocks, labels = [], []
    for number, row in enumerate(rows):
        if not isinstance(row, list | tuple) or len(row) != 3:
            raise TapError(f"{where}, sample {number}: is no (array, label, class)")
        points, label = row[0], _scalar(row[1])
        is_cloud = isinstance(points, np.ndarray) and points.dtype.kind in "fiu" and points.ndim == 2
        if not is_cloud or points.shape[1] not in (3, 6) or not isinstance(label, int):
            raise TapError(f"{where}, sample {number}: is no array (P, 6) of numbers with a whole number as label")
        original = str(_scalar(row[2]))
        if names.setdefault(label, original) != original:
            raise TapError(
                f"{where}, sample {number}: label {label} is class {original} here and {names[label]} before"
            )
        normals = points[None, :, 3:] if points.shape[1] == 6 else None
        blocks.append(Block(f"{split}/{number}", points[None, :, :3], normals))
        labels.append(label)
    return blocks, np.asarray(labels, np.int64)


def _scalar(value: Any) -> Any:
    """A number out of an array of one, as the public generator leaves some; anything else as it is."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def _members(source: Source, split: str, config: DataConfig) -> list[IntArray]:
    """The samples of each class."""
    data = source.open(split, config, 0)
    labels = [data.label(index) for index in range(len(data))]
    found = np.asarray([-1 if label is None else label for label in labels], np.int64)
    return [np.flatnonzero(found == label) for label in range(len(source.classes))]


def _labels(members: list[IntArray]) -> IntArray:
    return np.repeat(np.arange(len(members)), [len(indices) for indices in members]).astype(np.int64)
