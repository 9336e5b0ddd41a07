"""A fine-tuned run scored on any labelled data set whose classes it knows."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shards.stores.store import Location, folder_name
from tap.loading.sampling import plain_errors
from tap.results.evaluation_classes import evaluate_classification
from tap.results.evaluation_files import check_same_evaluation
from tap.results.evaluation_parts import evaluate_partseg
from tap.results.evaluation_run import EvaluationOptions, FinetunedRun, absolute, dataset_of, open_finetuned
from tap.tasks.finetuning import RESULT
from tap.training.checkpoint import load_state

__all__ = ["EVALUATORS", "EvaluationOptions", "evaluate"]


@plain_errors()
def evaluate(run: Path, location: Location, options: EvaluationOptions | None = None) -> dict[str, Any]:
    """Scores a fine-tuned run on a split of a data set; classes match by name.

    Args:
        run: run folder of a fine-tuning task of `EVALUATORS`, or one of its checkpoints.
        location: path of a data set, or URL of a shard set.
        options: which part of it, and how.

    Returns:
        What ``evaluation.json`` holds: what was evaluated on what (``identity``), ``out``, ``task``, ``epoch`` of the
        checkpoint, ``run_finished``, ``seen_in_training`` (the split is the one that the run was trained on), ``num_samples``,
        ``num_damaged``, ``numbers`` of a ``single`` pass and, with votes, of the ``vote``, and per class or category a row of
        ``per_class``.

    Raises:
        TapError: no such run or data set, classes that the run does not know, a folder that holds another evaluation.
        ShardError: a damaged set.
    """
    options = options or EvaluationOptions()
    finetuned, evaluator = open_finetuned(run, options.checkpoint, EVALUATORS)
    dataset = dataset_of(finetuned, location, options.dataset)
    options = dataclasses.replace(options, dataset=dataset)
    out = options.out or _run_folder(finetuned) / f"evaluation-{folder_name(location)}-{options.split}"
    identity = _identity(finetuned, location, options) | dataset.model_dump(mode="json")
    check_same_evaluation(out, identity)
    state = load_state(finetuned.checkpoint)
    facts = {
        "identity": identity,
        "task": finetuned.task,
        "run": str(finetuned.path),
        "out": str(out),
        "epoch": state.get("best_epoch" if finetuned.checkpoint.name == "best" else "epoch"),
        "run_finished": (_run_folder(finetuned) / RESULT).is_file(),
        "seen_in_training": _is_seen(finetuned, location, options.split),
    }
    return evaluator(finetuned, location, options, out, facts)


EVALUATORS: dict[str, Callable[[FinetunedRun, Location, EvaluationOptions, Path, Mapping[str, Any]], dict[str, Any]]]
EVALUATORS = {"classification": evaluate_classification, "partseg": evaluate_partseg}


def _run_folder(run: FinetunedRun) -> Path:
    return run.path.parent if run.path == run.checkpoint else run.path


def _is_seen(run: FinetunedRun, location: Location, split: str) -> bool:
    """Whether a split is the one that the run was trained on."""
    same = absolute(location) == absolute(str(run.record.get("shards")))
    return same and split == run.record.get("config", {}).get("train_split")


def _identity(run: FinetunedRun, location: Location, options: EvaluationOptions) -> dict[str, Any]:
    """What makes two evaluations the same; a folder outside of the run may hold that of another run."""
    where = {} if options.out is None else {"run": absolute(_run_folder(run))}
    return {
        **where,
        "checkpoint": run.checkpoint.name if run.path == run.checkpoint else options.checkpoint,
        "data": absolute(location),
        "split": options.split,
        "votes": options.votes,
    }
