"""Fine-tuning for part segmentation on shapes of known category, from a pre-trained run or from scratch.

The validation split selects the checkpoint, or a cut of the training split where there is none; the test split is read once,
at the end, for the last and the best checkpoint. Shapes are judged on ``data.num_points`` of their points each, drawn once and
for all; one pass, no voting.
"""

from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric

from shards.stores.store import Location
from shards.stream import IntArray
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.samples import Samples
from tap.loading.sampling import plain_errors
from tap.tasks.finetuning import RESULT, score_checkpoints
from tap.tasks.parts.part_config import PartSegConfig, with_normals
from tap.tasks.parts.part_data import PartData, open_data, open_part_source, open_test, part_account
from tap.tasks.parts.part_results import LABELS, PICTURE, draw_result, judged_split, write_labels, write_part_result
from tap.tasks.parts.part_scores import PartScores, checked_parts, predict_parts
from tap.tasks.parts.part_segmentation import PartSegTask
from tap.tasks.parts.partseg_init import Reinit, load_backbone, starting_backbone
from tap.tasks.split import check_backbone
from tap.training.checkpoint import find_checkpoint, has_checkpoint, load_record, read_json
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.report import write_report
from tap.training.run import open_run
from tap.training.task import Progress, Silent
from tap.training.train import fit


@plain_errors()
def finetune_partseg(
    location: Location,
    out: Path,
    config: PartSegConfig,
    init: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    reinit: Reinit | None = None,
) -> dict[str, Any]:
    """Trains a model that names the part of every point.

    Args:
        location: of a set with part labels, see `tap.datasets.source.PartSource`.
        out: run folder.
        config: the run.
        init: run or checkpoint folder whose backbone it starts from, or None: from scratch.
        resume: go on from ``out``'s last checkpoint, if it has one.
        progress: is told how it goes.
        reinit: ``embedding`` begins the backbone's first layer anew, where it reads other inputs than that of ``init``.

    Returns:
        What ``result.json`` holds: ``validation`` and ``test`` numbers of the ``last`` and the ``best`` checkpoint, the IoU of
        each category, what was selected on, ``init``, the tensors that were ``reinitialized``, and counts. ``test`` is None
        where the set has no such split, ``validation`` where test selects. ``parts.npz`` holds the labels of the judged shapes.

    Raises:
        TapError: settings that do not fit data or ``init``, too few samples, a folder that holds another run.
        ShardError: no such set, or a damaged one.
    """
    progress = progress or Silent()
    out, init = Path(out), None if init is None else Path(init).resolve()
    if reinit is not None and init is None:
        raise TapError(f"--reinit {reinit}: there is no --init whose first layer would not fit; leave it out")
    config = with_normals(config.model_copy(update={"backbone": starting_backbone(config.backbone, init)}))
    continued = resume and has_checkpoint(out)
    finished = continued and (out / RESULT).exists()
    source = open_part_source(location, config.dataset)
    test_data = None if finished and config.select != "test" else open_test(source, config)
    data = open_data(source, config, test_data)
    prepare_machine(config.train)
    task = PartSegTask(config, data, init is not None)
    check_data(task, data)
    fresh: list[str] = load_record(find_checkpoint(out)).get("reinitialized", []) if continued else []
    if init is not None and not continued:  # before the folder is opened, so that a damaged file leaves none behind
        fresh = load_backbone(task.model.get_submodule("backbone"), init, reinit)
    facts = _facts(location, init, data, source.num_samples.get(config.test_split, 0), fresh)
    run = open_run(out, "partseg", config, part_account(source, config), resume, facts)
    progress.on_message(_told(facts, data))
    if finished:
        return read_json(out / RESULT)  # the test split is read once
    fabric = build_fabric(config.train.accelerator, config.train.devices, config.train.precision)
    position = fit(fabric, task, config.train, run, progress)
    if fabric.is_global_zero:
        facts |= {"selected_on": data.selected_on, "best_epoch": position.best_epoch}
        _write_all(task, data, test_data, out, facts, fabric)
    fabric.barrier()
    return read_json(out / RESULT)


def _facts(location: Location, init: Path | None, data: PartData, num_test: int, fresh: list[str]) -> dict[str, Any]:
    """What a run says of itself beside its config and data."""
    num_validation = 0 if data.on_test else len(data.validation[1])
    return {
        "shards": str(location),
        "init": None if init is None else str(init),
        "reinitialized": fresh,
        "num_used": {"train": len(data.train_indices), "validation": num_validation, "test": num_test},
    }


def _told(facts: dict[str, Any], data: PartData) -> str:
    """A line of what a run begins with."""
    samples = ", ".join(f"{number} {name}" for name, number in facts["num_used"].items())
    fresh = f" but for {', '.join(facts['reinitialized'])}, which is fresh" if facts["reinitialized"] else ""
    return f"{samples} samples; starts from {facts['init'] or 'scratch'}{fresh}; selects on {data.selected_on}"


def check_data(task: PartSegTask, data: PartData) -> None:
    """Takes a sample through the backbone and looks at its part labels: what cannot be trained on is met here, not hours later.

    Raises:
        TapError: it does not fit.
    """
    check_backbone(task.model, data.train, data.train_indices)
    checked_parts(collate([next(data.train.readable(data.train_indices))]), data.train, task.table)


def _write_all(
    task: PartSegTask, data: PartData, test_data: Samples | None, out: Path, facts: dict[str, Any], fabric: Fabric
) -> None:
    """Scores both checkpoints on this process alone, and writes all that the run leaves behind."""
    parts: dict[str, tuple[Samples, IntArray]] = {} if data.on_test else {"validation": data.validation}
    if test_data is not None:
        parts["test"] = (test_data, np.arange(len(test_data)))
    config, counts = task.config, facts["num_used"]

    def judge() -> dict[str, PartScores]:
        return {
            name: predict_parts(task.model, samples, indices, config.train, fabric, task.table, alone=True)
            for name, (samples, indices) in parts.items()
        }

    scored = score_checkpoints(task.model, out, fabric, judge)
    judged = judged_split(scored)
    if config.data.on_error == "skip":
        facts["num_damaged"] = {name: counts[name] - len(found.index) for name, found in scored["last"].items()}
    facts |= {"num_classes": len(task.classes), "num_parts": task.table.shape[1], "num_points": config.data.num_points}
    write_part_result(out, facts, scored, task.classes)
    write_labels(out / LABELS, parts[judged][0], [scored[name][judged] for name in ("last", "best")])
    title = f"Parts of {judged} shapes, checkpoint of epoch {facts['best_epoch']}: category and IoU"
    draw_result(out / PICTURE, parts[judged][0], scored["best"][judged], data.class_parts, title)
    write_report(out, task)  # with the result in it
