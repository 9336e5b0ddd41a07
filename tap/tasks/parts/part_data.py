"""The shapes that a part segmentation run trains, selects and is judged on.

Legend: K categories, P parts.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from shards.stores.store import Location
from shards.stream import IntArray
from tap.datasets import DatasetConfig, Source, open_source
from tap.datasets.source import PartSource
from tap.errors import TapError
from tap.loading.samples import Samples
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.split import check_enough, cut_share, labelled_samples, source_account


@dataclasses.dataclass(frozen=True, eq=False)
class PartData:
    """What a run trains and selects on.

    Attributes:
        train: training samples with augmentation.
        train_indices: the samples that are trained on.
        validation: samples as they are, and which of them select the checkpoint.
        part_names: P names of the parts of all categories.
        class_parts: category to its parts.
        selected_on: what selects the checkpoint, in words.
        on_test: whether that is the test split.
    """

    train: Samples
    train_indices: IntArray
    validation: tuple[Samples, IntArray]
    part_names: tuple[str, ...]
    class_parts: tuple[tuple[int, ...], ...]
    selected_on: str = ""
    on_test: bool = False


def open_part_source(location: Location, config: DatasetConfig, classes: Sequence[str] | None = None) -> PartSource:
    """The set, which must know parts; see `tap.datasets.open_source`."""
    return cast("PartSource", open_source(location, config, classes, parts=True))


def open_data(source: PartSource, config: PartSegConfig, test_data: Samples | None) -> PartData:
    """The samples that a run trains and selects on.

    Raises:
        TapError: splits that are the same or overlap, or too few samples.
    """
    names = [config.train_split, config.test_split, *([] if config.val_split is None else [config.val_split])]
    if len(set(names)) < len(names):
        raise TapError(f"train_split, val_split and test_split are {', '.join(names)}; they have to be different ones")
    data = source.open(config.train_split, config.data, config.train.seed, config.augment)
    if test_data is not None:
        _check_apart(data, test_data, config.train_split, config.test_split)
    indices, labels = labelled_samples(data)
    plan = PartData(data, indices, (data, indices), tuple(source.part_names), tuple(map(tuple, source.class_parts)))
    if config.select == "test":
        if test_data is None:
            raise TapError(f"{data.location}: select=test, but there is no split {config.test_split}")
        told = "test instance mIoU, as the authors did: optimistic"
        plan = dataclasses.replace(
            plan, validation=(test_data, np.arange(len(test_data))), selected_on=told, on_test=True
        )
    elif config.val_split in source.num_samples and config.val_split is not None:
        held = source.open(config.val_split, config.data, config.train.seed, None, data.skipped)
        _check_apart(data, held, config.train_split, config.val_split)
        if test_data is not None:
            _check_apart(held, test_data, config.val_split, config.test_split)
        told = f"validation instance mIoU, split {config.val_split}"
        plan = dataclasses.replace(plan, validation=(held, labelled_samples(held)[0]), selected_on=told)
    else:
        kept, cut = cut_share(labels, config.validation_share, config.sampling_seed)
        told = f"validation instance mIoU, {config.validation_share:.0%} of each category of {config.train_split}"
        plan = dataclasses.replace(plan, train_indices=indices[kept], validation=(data, indices[cut]), selected_on=told)
    check_enough(data.location, len(plan.train_indices), config.train)
    if not len(plan.validation[1]):
        raise TapError(f"{data.location}: no shape is left to select on; give a val_split or a larger validation_share")
    return plan


def open_test(source: Source, config: PartSegConfig) -> Samples | None:
    """Test samples where the set has that split; none of them is read."""
    if config.test_split not in source.num_samples:
        return None
    return source.open(config.test_split, config.data, config.train.seed)


def part_account(source: PartSource, config: PartSegConfig) -> dict[str, Any]:
    """What a run says of its data: samples of its splits, categories, and their parts."""
    splits = [config.train_split, config.test_split, *([] if config.val_split is None else [config.val_split])]
    parts = {"part_names": list(source.part_names), "class_parts": [list(parts) for parts in source.class_parts]}
    return source_account(source, *splits) | parts


def _check_apart(one: Samples, other: Samples, one_split: str, other_split: str) -> None:
    """Raises `TapError` where a shape is in both of two splits, one of which judges what was learned or chosen on the other."""
    both = {one.key(index) for index in range(len(one))} & {other.key(index) for index in range(len(other))}
    if both:
        raise TapError(
            f"{one.location}: {len(both)} shapes of split {other_split} are in {one_split} too, {min(both)} for one; set "
            "val_split=null to cut validation from train_split, or train_split and test_split to others"
        )
