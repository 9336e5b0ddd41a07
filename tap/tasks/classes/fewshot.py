"""Few-shot classification: a classifier for each fold, trained on a handful of samples of a few classes.

A fold has nothing to select on, so its number is that of the last epoch; the result is the mean over folds.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from shards.stores.store import Location
from tap.datasets import open_source
from tap.errors import TapError
from tap.loading.sampling import plain_errors
from tap.tasks.classes.classifier import ClassificationTask, Judged
from tap.tasks.classes.fewshot_folds import FewShotConfig, Fold, drawn_fold, published_fold, published_folder
from tap.tasks.classes.scores import predict, write_result
from tap.tasks.finetuning import RESULT, resolve_backbone
from tap.tasks.seeds import write_summary
from tap.tasks.split import check_backbone, check_enough
from tap.training.checkpoint import has_checkpoint, load_weights, read_json
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.report import write_report
from tap.training.run import open_run
from tap.training.task import Progress, Silent
from tap.training.train import fit

__all__ = ["NOT_SELECTED", "FewShotConfig", "FewShotTask", "finetune_fewshot"]

NOT_SELECTED = "nothing: a fold has no validation samples, its last epoch counts"


class FewShotTask(ClassificationTask):
    """Classification of a fold: nothing is selected."""

    select: str | None = None


@plain_errors()
def finetune_fewshot(
    location: Location,
    out: Path,
    config: FewShotConfig,
    init: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a classifier on each fold.

    Args:
        location: a folder of published folds (``5way_10shot/0.pkl`` in it, or the folder of these), or any labelled set.
        out: gets the run folders ``fold0``, ... and ``summary.json``.
        config: the run.
        init: run or checkpoint folder whose backbone each fold starts from, or None: from scratch.
        resume: go on with the first fold that is not finished.
        progress: is told how it goes.

    Returns:
        What ``summary.json`` holds: accuracies on the query samples, each with ``mean``, ``std`` over folds and ``values``.

    Raises:
        TapError: settings that do not fit data or ``init``, too few classes or samples, folders of other runs.
    """
    progress = progress or Silent()
    out, init = Path(out), None if init is None else Path(init).resolve()
    config = config.model_copy(update={"backbone": resolve_backbone(config.backbone, init)})
    if has_checkpoint(out):
        raise TapError(f"{out}: holds a run itself, and the folds were to go into it; choose another --out")
    folder = published_folder(location, config)
    if folder is None:
        open_fold = partial(drawn_fold, open_source(location, config.dataset), config)
    else:
        open_fold = partial(published_fold, folder, config)
    results = {}
    for number in range(config.num_folds):
        fold = open_fold(number)
        progress.on_message(f"fold {number + 1} of {config.num_folds}")
        facts = {"shards": str(location), "init": None if init is None else str(init), "fold": number}
        results[f"fold{number}"] = _run_fold(fold, out / f"fold{number}", config, facts, resume, progress)
    drawn = f"drawn with seed {config.sampling_seed}" if folder is None else "published"
    return write_summary(out, results, {"way": config.way, "shot": config.shot, "folds": drawn})


def _run_fold(
    fold: Fold, out: Path, config: FewShotConfig, facts: dict[str, Any], resume: bool, progress: Progress
) -> dict[str, Any]:
    """What ``result.json`` of a fold holds; a finished one is not run again."""
    init = facts["init"]
    check_enough(fold.support.location, len(fold.train), config.train)
    prepare_machine(config.train)
    task = FewShotTask(config, fold.support, fold.train, Judged(fold.query, fold.test, "query"), init is not None)
    check_backbone(task.model, fold.support, fold.train)
    continued = resume and has_checkpoint(out)
    if init is not None and not continued:
        load_weights(task.model.get_submodule("backbone"), Path(init), "backbone.")
    counts = {"train": len(fold.train), "test": len(fold.test)}
    facts = {**facts, "num_used": counts}
    account = {"num_samples": counts, "classes": list(fold.support.classes)}
    alone = config.model_copy(update={"num_folds": 1})  # so that more folds can be added to finished ones
    run = open_run(out, "fewshot", alone, account, resume, facts)
    if continued and (out / RESULT).exists():
        return read_json(out / RESULT)
    fabric = build_fabric(config.train.accelerator, config.train.devices, config.train.precision)
    fit(fabric, task, config.train, run, progress)
    if fabric.is_global_zero:
        load_weights(task.model, out / "last")
        task.model.eval()
        with torch.no_grad(), fabric.autocast():
            scores = predict(task.model, fold.query, fold.test, config.train, fabric, alone=True)
        if config.data.on_error == "skip":
            facts["num_damaged"] = {"test": len(fold.test) - len(scores.index)}
        told = {"selected_on": NOT_SELECTED, "protocol": config.protocol, "num_classes": task.num_classes}
        write_result(out, {**facts, **told}, {"last": {"test": scores}}, fold.query)
        write_report(out, task)
    fabric.barrier()
    return read_json(out / RESULT)
