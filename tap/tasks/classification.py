"""Fine-tuning for classification on labelled shards, from a pre-trained run or from scratch.

The checkpoint is selected on a validation cut of the train split; the test split is read once, at the end.
"""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from shards.stores.store import Location
from shards.stream import IntArray
from tap.backbones import BackboneConfig
from tap.config import differing_keys
from tap.datasets import Source, open_source
from tap.errors import TapError
from tap.interchange.folder import stored_backbone
from tap.loading.samples import Samples
from tap.loading.sampling import plain_errors
from tap.tasks.classifier import ClassificationConfig, ClassificationTask, default_backbone
from tap.tasks.scores import RESULT, Scores, predict, write_result
from tap.tasks.split import check_backbone, check_label, cut_share, labelled_samples, source_account
from tap.training.checkpoint import find_checkpoint, has_checkpoint, load_record, load_weights, read_json
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.report import write_report
from tap.training.run import open_run
from tap.training.task import Progress, Silent
from tap.training.train import fit


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
        What ``result.json`` holds: ``validation`` and ``test`` numbers of the ``last`` and the ``best`` checkpoint, what was
        selected on, ``init`` and counts. ``test`` is None where the set has no such split. Where damaged samples are skipped,
        ``num_damaged`` tells how many of each part are missing in its numbers.

    Raises:
        TapError: settings that do not fit data or ``init``, too few samples, a folder that holds another run.
        ShardError: no such set, or a damaged one.
    """
    progress = progress or Silent()
    out, init = Path(out), None if init is None else Path(init).resolve()
    config = config.model_copy(update={"backbone": _resolve_backbone(config.backbone, init)})
    continued = resume and has_checkpoint(out)
    finished = continued and (out / RESULT).exists()
    source = open_source(shards, config.dataset)
    data = _open_train(source, config)
    train, validation = _cut_validation(data, config)
    account = source_account(source, config.train_split, config.test_split)
    test_data = None if finished else _open_test(source, config)
    prepare_machine(config.train)
    task = ClassificationTask(config, data, train, validation, init is not None)
    check_backbone(task.model, data, train)
    if init is not None and not continued:  # before the folder is opened, so that a damaged file leaves none behind
        load_weights(task.model.get_submodule("backbone"), init, "backbone.")
    counts = {"train": len(train), "validation": len(validation)}
    counts["test"] = account["num_samples"].get(config.test_split, 0)
    facts: dict[str, Any] = {"shards": str(shards), "init": None if init is None else str(init), "num_used": counts}
    run = open_run(out, "classification", config, account, resume, facts)
    samples = ", ".join(f"{number} {name}" for name, number in counts.items())
    progress.on_message(f"{samples} samples; starts from {init or 'scratch'}")
    if finished:
        return read_json(out / RESULT)  # the test split is read once
    fabric = build_fabric(config.train.accelerator, config.train.devices, config.train.precision)
    position = fit(fabric, task, config.train, run, progress)
    if fabric.is_global_zero:
        share = f"{config.validation_share:.0%} of each class of {config.train_split}"
        facts |= {"selected_on": f"validation accuracy, {share}", "best_epoch": position.best_epoch}
        scored = _score_all(task, out, validation, test_data, config, fabric)
        if config.data.on_error == "skip":
            facts["num_damaged"] = {name: counts[name] - len(found.index) for name, found in scored["last"].items()}
        write_result(out, {**facts, "num_classes": task.num_classes}, scored, test_data)
        write_report(out, task)  # with the result in it
    fabric.barrier()
    return read_json(out / RESULT)


def _score_all(
    task: ClassificationTask,
    out: Path,
    validation: IntArray,
    test_data: Samples | None,
    config: ClassificationConfig,
    fabric: Fabric,
) -> dict[str, dict[str, Scores]]:
    """Checkpoint name -> part -> scores, on this process alone."""
    parts = {"validation": (task.train_data, validation)}
    if test_data is not None:
        parts["test"] = (test_data, torch.arange(len(test_data)).numpy())
    scored: dict[str, dict[str, Scores]] = {}
    for checkpoint in ("last", "best"):
        load_weights(task.model, out / checkpoint)
        task.model.eval()
        with torch.no_grad(), fabric.autocast():  # the precision in which the checkpoint was selected
            scored[checkpoint] = {
                name: predict(task.model, data, indices, config.train, fabric, alone=True)
                for name, (data, indices) in parts.items()
            }
    return scored


def _open_train(source: Source, config: ClassificationConfig) -> Samples:
    """Training data."""
    if config.test_split == config.train_split:
        raise TapError(
            f"test_split: {config.test_split!r} is the split that is trained on; name another, or one not there"
        )
    return source.open(config.train_split, config.data, config.train.seed, config.augment)


def _open_test(source: Source, config: ClassificationConfig) -> Samples | None:
    """Test data where the set has that split; of it only the first sample is read, the rest waits for the end."""
    if config.test_split not in source.num_samples:
        return None
    data = source.open(config.test_split, config.data, config.train.seed)
    first = next(data.readable(range(len(data))))
    check_label(data, first.index, first.label)
    return data


def _resolve_backbone(wanted: BackboneConfig | None, init: Path | None) -> BackboneConfig:
    """The backbone of a run: the wanted one, which must be that of the run to start from."""
    if init is None:
        return wanted or default_backbone()
    found = stored_backbone(load_record(find_checkpoint(init)), init)
    if wanted is not None and wanted != found:
        differences = differing_keys(found.model_dump(), wanted.model_dump())
        raise TapError(
            f"{init}: its backbone is not the wanted one, in {', '.join(differences[:3])} (run and wanted); "
            "give the --preset of its backbone, or leave the backbone out to take that of the run"
        )
    return found


def _cut_validation(data: Samples, config: ClassificationConfig) -> tuple[IntArray, IntArray]:
    """Training and validation samples, after a look at what the set offers."""
    indices, labels = labelled_samples(data)
    where = data.location
    if len(set(labels)) < 2:
        raise TapError(
            f"{where}: {config.train_split} holds {len(set(labels))} class; classification needs two or more"
        )
    train, validation = (indices[part] for part in cut_share(labels, config.validation_share, config.train.seed))
    # The head's batch norm has no variance over one sample, on any of the devices.
    if not len(validation) or len(train) // config.train.devices < 2 or config.train.batch_size < 2:
        raise TapError(
            f"{where}: {len(train)} samples to train on in batches of {config.train.batch_size} on each of "
            f"{config.train.devices} devices and {len(validation)} to validate; two a device to train on in batches of two "
            "or more, and one to validate, are the least"
        )
    return train, validation
