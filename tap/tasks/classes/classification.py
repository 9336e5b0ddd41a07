"""Fine-tuning for classification on a labelled set, from a pre-trained run or from scratch.

The checkpoint is selected on a validation cut of the train split and the test split is read once, at the end; or, where the
config says so, selected on the test split itself, as the authors did.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric

from shards.stores.store import Location
from shards.stream import IntArray
from tap.datasets import Source, open_source
from tap.errors import TapError
from tap.loading.samples import Samples
from tap.loading.sampling import plain_errors
from tap.tasks.classes.classifier import ClassificationConfig, ClassificationTask, Judged
from tap.tasks.classes.figures import Finished, draw_figures
from tap.tasks.classes.scores import Scores, predict, write_result
from tap.tasks.classes.votes import vote
from tap.tasks.finetuning import RESULT, resolve_backbone, score_checkpoints
from tap.tasks.split import (
    check_backbone,
    check_enough,
    check_label,
    cut_share,
    labelled_samples,
    source_account,
    take_share,
)
from tap.training.checkpoint import has_checkpoint, load_weights, read_json
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.report import write_report
from tap.training.run import open_run
from tap.training.task import Progress, Silent
from tap.training.train import fit

ON_TEST = "test accuracy, as the authors did: optimistic"


@plain_errors()
def finetune_classification(
    shards: Location,
    out: Path,
    config: ClassificationConfig,
    init: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a classifier.

    Args:
        shards: path or URL of a labelled set.
        out: run folder.
        config: the run.
        init: run or checkpoint folder whose backbone it starts from, or None: from scratch.
        resume: go on from ``out``'s last checkpoint, if it has one.
        progress: is told how it goes.

    Returns:
        What ``result.json`` holds: ``validation`` and ``test`` numbers of the ``last`` and the ``best`` checkpoint and, with
        ``config.votes``, of a ``vote`` of the best one over ``num_votes`` draws; what was ``selected_on``, ``init`` and
        counts. ``test`` is None where the set has no such split, ``validation`` where test selects. Where damaged samples
        are skipped, ``num_damaged`` tells how many of each part are missing in its numbers.

    Raises:
        TapError: settings that do not fit data or ``init``, too few samples, a folder that holds another run.
        ShardError: no such set, or a damaged one.
    """
    progress = progress or Silent()
    out, init = Path(out), None if init is None else Path(init).resolve()
    config = config.model_copy(update={"backbone": resolve_backbone(config.backbone, init)})
    continued = resume and has_checkpoint(out)
    finished = continued and (out / RESULT).exists()
    source = open_source(shards, config.dataset)
    data = _open_train(source, config)
    train, validation = _choose_samples(data, config)
    account = source_account(source, config.train_split, config.test_split)
    test_data = None if finished else _open_test(source, config)
    prepare_machine(config.train)
    task = ClassificationTask(config, data, train, _judged(data, validation, test_data, config), init is not None)
    check_backbone(task.model, data, train)
    if init is not None and not continued:  # before the folder is opened, so that a damaged file leaves none behind
        load_weights(task.model.get_submodule("backbone"), init, "backbone.")
    counts = {"train": len(train), "validation": len(validation)}
    counts["test"] = account["num_samples"].get(config.test_split, 0)
    facts: dict[str, Any] = {"shards": str(shards), "init": None if init is None else str(init), "num_used": counts}
    run = open_run(out, "classification", config, account, resume, facts)
    samples = ", ".join(f"{number} {name}" for name, number in counts.items())
    progress.on_message(f"{samples} samples; starts from {init or 'scratch'}; selects on {_selected_on(config)}")
    if finished:
        return read_json(out / RESULT)  # the test split is read once
    fabric = build_fabric(config.train.accelerator, config.train.devices, config.train.precision)
    position = fit(fabric, task, config.train, run, progress)
    if fabric.is_global_zero:
        facts |= {"selected_on": _selected_on(config), "best_epoch": position.best_epoch}
        facts |= {"protocol": config.protocol, "num_votes": config.votes, "num_classes": task.num_classes}
        parts = {"validation": (data, validation)} if len(validation) else {}
        if test_data is not None:
            parts["test"] = (test_data, np.arange(len(test_data)))

        def judge() -> dict[str, Scores]:
            return {
                name: predict(task.model, data, indices, config.train, fabric, alone=True)
                for name, (data, indices) in parts.items()
            }

        scored = score_checkpoints(task.model, out, fabric, judge)
        if config.votes:  # of the best checkpoint, which was scored last
            scored["vote"] = _vote_all(task, source, scored["best"], config, fabric)
        if config.data.on_error == "skip":
            facts["num_damaged"] = {name: counts[name] - len(found.index) for name, found in scored["last"].items()}
        write_result(out, facts, scored, test_data)
        write_report(out, task)  # with the result in it
        if config.figures:  # after the result, which is there whatever becomes of them
            split = "test" if "test" in parts else "validation"
            judged = Finished(task.model, init, (data, train), split, parts[split][0], scored["best"][split])
            progress.on_message("draws confusion, features and robustness of the best checkpoint")
            draw_figures(out, judged, source, config, fabric)
            write_report(out, task)
    fabric.barrier()
    return read_json(out / RESULT)


def _vote_all(
    task: ClassificationTask, source: Source, single: dict[str, Scores], config: ClassificationConfig, fabric: Fabric
) -> dict[str, Scores]:
    """Part -> the vote over the samples that a single pass has scored."""
    splits = {"validation": config.train_split, "test": config.test_split}
    augment, moves = (config.augment, config.moves) if config.vote_moves is None else (None, config.vote_moves)
    found = {}
    with torch.no_grad(), fabric.autocast():
        for name, scores in single.items():
            data = source.open(splits[name], config.data, config.train.seed, augment)
            found[name] = vote(task.model, data, scores.index.numpy(), config.votes, moves, config.train, fabric)
    return found


def _open_train(source: Source, config: ClassificationConfig) -> Samples:
    """Training data."""
    if config.test_split == config.train_split:
        raise TapError(
            f"test_split: {config.test_split!r} is the split that is trained on; name another, or one not there"
        )
    return source.open(config.train_split, config.data, config.train.seed, config.augment)


def _open_test(source: Source, config: ClassificationConfig) -> Samples | None:
    """Test data where the set has that split; of it only the first sample is read, the rest waits for the end.

    Where test selects the checkpoint, it has to be there, and all of its labels are looked at.
    """
    on_test = config.select == "test"
    if config.test_split not in source.num_samples:
        if on_test:
            known = ", ".join(sorted(source.num_samples))
            raise TapError(f"{source.location}: has no split {config.test_split!r} to select on; it has {known}")
        return None
    data = source.open(config.test_split, config.data, config.train.seed)
    if on_test:
        labelled_samples(data)
        return data
    first = next(data.readable(range(len(data))))
    check_label(data, first.index, first.label)
    return data


def _selected_on(config: ClassificationConfig) -> str:
    """What chooses the checkpoint, in words."""
    if config.select == "test":
        return ON_TEST
    return f"validation accuracy, {config.validation_share:.0%} of each class of {config.train_split}"


def _judged(data: Samples, validation: IntArray, test_data: Samples | None, config: ClassificationConfig) -> Judged:
    """What the classifier is judged on while it trains; a finished run has no test data any more, and trains no more."""
    if config.select == "test" and test_data is not None:
        return Judged(test_data, np.arange(len(test_data)), "test")
    return Judged(data, validation, "validation")


def _choose_samples(data: Samples, config: ClassificationConfig) -> tuple[IntArray, IntArray]:
    """Training and validation samples, after a look at what the set offers: first the cut, then the share of the rest."""
    indices, labels = labelled_samples(data)
    where, classes = data.location, np.asarray(labels, np.int64)
    if len(set(labels)) < 2:
        raise TapError(
            f"{where}: {config.train_split} holds {len(set(labels))} class; classification needs two or more"
        )
    train, validation = np.arange(len(indices)), np.zeros(0, np.int64)
    if config.select == "validation":
        train, validation = cut_share(labels, config.validation_share, config.sampling_seed)
    if config.label_share < 1:
        train = train[take_share(classes[train].tolist(), config.label_share, config.sampling_seed)]
    check_enough(where, len(train), config.train)
    if config.select == "validation" and not len(validation):
        raise TapError(f"{where}: no class of {config.train_split} has two samples, so none is left to validate")
    return indices[train], indices[validation]
