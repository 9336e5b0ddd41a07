"""A fine-tuned run read back: what it learned, its classes, and its model with the weights of a checkpoint."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import nn

from shards.stores.store import Location, is_url
from tap.config import validated
from tap.datasets import DatasetConfig
from tap.datasets.source import local_path
from tap.errors import TapError
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.classifier import build_classifier
from tap.training.checkpoint import CONFIG, find_checkpoint, load_record, load_weights

Checkpoint = Literal["best", "last"]
Entry = TypeVar("Entry")


@dataclasses.dataclass(frozen=True)
class FinetunedRun:
    """A run that has learned the classes of a data set.

    Attributes:
        path: as it was given: a run folder, or a checkpoint in one.
        checkpoint: the folder whose weights count.
        task: what it learned.
        record: of that checkpoint.
        classes: names in the order of the label indices.
    """

    path: Path
    checkpoint: Path
    task: str
    record: Mapping[str, Any]
    classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """What a run is evaluated on, and how.

    Attributes:
        split: of the data set.
        checkpoint: of the run.
        dataset: how the data set is stored and what its classes are called; None for what the run says, if it is the set that
            the run was trained on, else for the defaults.
        votes: draws of each sample whose scores before softmax are averaged for a number of their own; 0 for none.
        out: folder for the results; None for ``RUN/evaluation-SET-SPLIT``.
    """

    split: str = "test"
    checkpoint: Checkpoint = "best"
    dataset: DatasetConfig | None = None
    votes: int = 0
    out: Path | None = None


def open_finetuned(path: Path, checkpoint: Checkpoint, entries: Mapping[str, Entry]) -> tuple[FinetunedRun, Entry]:
    """A run, and what is there for its task; no weights are read.

    Args:
        path: run folder, or a checkpoint folder.
        checkpoint: of a run folder.
        entries: by task.

    Raises:
        TapError: no run, one of a task without an entry, or one without such a checkpoint or without classes.
    """
    path = Path(path)
    record = load_record(path if (path / CONFIG).is_file() else find_checkpoint(path, checkpoint))
    task = str(record.get("task"))
    if task not in entries:
        raise TapError(f"{path}: a run of {task}; this is there for {' and '.join(entries)} alone")
    folder = find_checkpoint(path, checkpoint)
    record = load_record(folder)
    data = record.get("data")
    classes = data.get("classes") if isinstance(data, Mapping) else None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise TapError(f"{folder / CONFIG}: names no classes; give the --out folder of tap finetune")
    return FinetunedRun(path, folder, task, record, tuple(classes)), entries[task]


def load_classifier(run: FinetunedRun) -> tuple[nn.Module, ClassificationConfig]:
    """The classifier of a run in evaluation mode, on the CPU, and the run's config.

    Raises:
        TapError: a config that this release does not know, or weights that do not fit it.
    """
    config = validated(ClassificationConfig, run.record["config"], f"{run.checkpoint / CONFIG}")
    if config.backbone is None:
        raise TapError(f"{run.checkpoint / CONFIG}: names no backbone; give the --out folder of tap finetune")
    model = build_classifier(config, len(run.classes))
    load_weights(model, run.checkpoint)
    return model.eval(), config


def dataset_of(run: FinetunedRun, location: Location, wanted: DatasetConfig | None) -> DatasetConfig:
    """How a data set is stored: as wanted, or as the run says if it is the one that the run was trained on."""
    config = run.record.get("config", {})
    if wanted is not None or absolute(location) != absolute(str(run.record.get("shards"))):
        return wanted or DatasetConfig()
    return validated(DatasetConfig, config.get("dataset", {}), f"{run.checkpoint / CONFIG}: dataset")


def absolute(location: Location) -> str:
    """A path without links and dots, or the URL as it is."""
    return str(location) if is_url(location) else str(local_path(location).resolve())
