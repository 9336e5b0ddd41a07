"""The folds of a few-shot run as training data: the published ones, or seeded ones drawn from any labelled set."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from shards.stores.store import Location, is_url
from shards.stream import Address, IntArray
from tap.datasets import Source
from tap.datasets.clouds import CloudData
from tap.datasets.fewshot import draw_fold, load_fold
from tap.datasets.source import local_path
from tap.errors import TapError
from tap.loading.collate import Item
from tap.loading.samples import UNLABELLED, Samples, WrappedSamples
from tap.tasks.classes.classification_config import ClassifierConfig
from tap.tasks.split import labelled_samples


class FewShotConfig(ClassifierConfig):
    """A whole few-shot run: one classifier for each fold."""

    way: int = Field(5, ge=2, description="Classes of a fold.")
    shot: int = Field(10, ge=1, description="Training samples of each class.")
    num_folds: int = Field(10, ge=1, description="Folds, each a run of its own.")
    num_query: int | None = Field(
        None, ge=1, description="Test samples of each class; null takes all that there are. Published folds have 20."
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """One fold.

    Attributes:
        support: where the samples that are trained on come from, with augmentation.
        train: which ones, ``shot`` of each class.
        query: where the samples that are judged come from.
        test: which ones.
    """

    support: Samples
    train: IntArray
    query: Samples
    test: IntArray


class FoldSamples(WrappedSamples):
    """Samples of which some classes are of interest, numbered from 0 in their order; the others have no class.

    Args:
        samples: of all classes.
        classes: their indices there.
    """

    def __init__(self, samples: Samples, classes: Sequence[int]) -> None:
        super().__init__(samples)
        self.classes = tuple(samples.classes[label] for label in classes)
        self._label = {label: number for number, label in enumerate(classes)}

    def label(self, index: int) -> int | None:
        """The number of its class among those of interest."""
        label = super().label(index)
        return None if label is None else self._label.get(label, UNLABELLED)

    def __getitem__(self, address: Address) -> Item:
        """Theirs, with the number of its class among those of interest."""
        item = super().__getitem__(address)
        return dataclasses.replace(item, label=self._label.get(item.label, UNLABELLED))


def published_folder(location: Location, config: FewShotConfig) -> Path | None:
    """The folder of published folds of this way and shot, None where the location is no place of published folds.

    Raises:
        TapError: it is one, but has no folds of this way and shot, or not so many.
    """
    if is_url(location):
        return None
    root, name = local_path(location), f"{config.way}way_{config.shot}shot"
    for folder in (root, root / name):
        if folder.name == name and (folder / "0.pkl").is_file():
            missing = [number for number in range(config.num_folds) if not (folder / f"{number}.pkl").is_file()]
            if missing:  # met here and not after the folds before it are trained
                raise TapError(f"{folder}: fold {missing[0]}.pkl of {config.num_folds} is missing; lower --folds")
            return folder
    others = sorted(path.parent.name for path in root.glob("*way_*shot/0.pkl"))
    if others:
        raise TapError(f"{root}: holds no folds {name}; it has {', '.join(others)}")
    return None


def published_fold(folder: Path, config: FewShotConfig, number: int) -> Fold:
    """A published fold; `TapError` where it is missing, damaged, or not of this way and shot."""
    if config.num_query is not None:
        raise TapError(f"{folder}: published folds have their own query samples; leave --query out")
    support, query = load_fold(folder / f"{number}.pkl", config.dataset.up or "y")
    train = CloudData(support, config.data, config.train.seed, config.augment)
    test = CloudData(query, config.data, config.train.seed)
    counts = np.bincount(labelled_samples(train)[1], minlength=len(train.classes))
    if counts.tolist() != [config.shot] * config.way:
        raise TapError(
            f"{folder / f'{number}.pkl'}: has {sorted(set(counts.tolist()))} samples of each of {len(counts)} classes, "
            f"{config.shot} of each of {config.way} were expected"
        )
    return Fold(train, np.arange(len(train)), test, np.arange(len(test)))


def drawn_fold(source: Source, config: FewShotConfig, number: int) -> Fold:
    """A fold drawn from a labelled set by (seed, fold); `TapError` where the set has too few classes or samples."""
    splits, size = (config.train_split, config.test_split), (config.way, config.shot)
    drawn = draw_fold(source, splits, config.data, *size, config.num_query, config.sampling_seed, number)
    classes = [source.classes.index(name) for name in drawn.classes]
    support = source.open(config.train_split, config.data, config.train.seed, config.augment)
    query = source.open(drawn.test_split, config.data, config.train.seed)
    return Fold(FoldSamples(support, classes), drawn.train, FoldSamples(query, classes), drawn.test)
