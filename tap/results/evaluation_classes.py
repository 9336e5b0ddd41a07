"""A classifier scored on a split of a data set: single pass, vote, numbers of each class, confusion."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from shards.stores.store import Location
from tap.datasets import Source, open_source
from tap.loading.samples import Samples
from tap.results.evaluation_files import class_numbers, write_evaluation
from tap.results.evaluation_run import EvaluationOptions, FinetunedRun, dataset_of, load_classifier
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.confusion import confusion
from tap.tasks.classes.scores import Scores, predict
from tap.tasks.classes.votes import vote
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine


def evaluate_classification(
    run: FinetunedRun, location: Location, options: EvaluationOptions, out: Path, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What `tap.results.evaluation.evaluate` does of a run of classification.

    ``predictions.csv`` and ``confusion.png`` stand beside ``evaluation.json``.
    """
    source = open_source(location, dataset_of(run, location, options.dataset), classes=run.classes)
    model, config = load_classifier(run)
    data = source.open(options.split, config.data, config.train.seed)
    prepare_machine(config.train)
    fabric = build_fabric("auto", 1, config.train.precision)
    scores = _scored(model.to(fabric.device), data, config, fabric)
    numbers: dict[str, Any] = {"single": scores.metrics(len(run.classes))}
    if options.votes:
        voted = _voted(model, source, scores, config, options, fabric)
        numbers["vote"] = voted.metrics(len(run.classes))
    result = {
        **facts,
        "num_samples": len(scores.index),
        "num_damaged": len(data) - len(scores.index),
        "numbers": numbers,
        "classes": list(run.classes),
        "per_class": class_numbers(scores, run.classes),
        "confusion": confusion(scores, len(run.classes)).tolist(),
    }
    write_evaluation(out, result, scores, data)
    return result


def _scored(model: nn.Module, data: Samples, config: ClassificationConfig, fabric: Fabric) -> Scores:
    with torch.no_grad(), fabric.autocast():
        return predict(model, data, np.arange(len(data)), config.train, fabric, alone=True)


def _voted(
    model: nn.Module,
    source: Source,
    single: Scores,
    config: ClassificationConfig,
    options: EvaluationOptions,
    fabric: Fabric,
) -> Scores:
    """The vote that the run's config describes, over the samples that a single pass has scored."""
    augment, moves = (config.augment, config.moves) if config.vote_moves is None else (None, config.vote_moves)
    data = source.open(options.split, config.data, config.train.seed, augment)
    with torch.no_grad(), fabric.autocast():
        return vote(model, data, single.index.numpy(), options.votes, moves, config.train, fabric)
