"""A part segmentation run scored on a split of a data set: mean IoU of shapes and categories, and the labels themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shards.stores.store import Location
from tap.config import validated
from tap.errors import TapError
from tap.results.evaluation_files import EVALUATION
from tap.results.evaluation_run import EvaluationOptions, FinetunedRun, dataset_of
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.part_data import open_part_source
from tap.tasks.parts.part_results import LABELS, PICTURE, draw_result, write_labels
from tap.tasks.parts.part_scores import part_table, predict_parts
from tap.tasks.parts.part_segmentation import build_segmenter
from tap.training.checkpoint import CONFIG, load_weights, write_json
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine


def evaluate_partseg(
    run: FinetunedRun, location: Location, options: EvaluationOptions, out: Path, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What `tap.results.evaluation.evaluate` does of a run of part segmentation.

    ``parts.npz`` (truth and prediction of each shape) and ``parts.png`` stand beside ``evaluation.json``.
    """
    if options.votes:
        raise TapError("--votes: part segmentation is scored in a single pass; leave it out")
    names, class_parts = parts_of(run)
    source = open_part_source(location, dataset_of(run, location, options.dataset), run.classes)
    if tuple(source.part_names) != names:
        raise TapError(
            f"{location}: its {len(source.part_names)} parts are not the {len(names)} of the run, in the same order"
        )
    model, config = load_segmenter(run)
    data = source.open(options.split, config.data, config.train.seed)
    prepare_machine(config.train)
    fabric = build_fabric("auto", 1, config.train.precision)
    table = part_table(class_parts, len(names))
    with torch.no_grad(), fabric.autocast():
        everything = np.arange(len(data))
        scores = predict_parts(model.to(fabric.device), data, everything, config.train, fabric, table, alone=True)
    result = {
        **facts,
        "num_samples": len(scores.index),
        "num_damaged": len(data) - len(scores.index),
        "numbers": {"single": scores.metrics(len(run.classes))},
        "classes": list(run.classes),
        "per_class": [
            {"class": name, "samples": count, "iou": iou}
            for name, (count, iou) in scores.by_category(run.classes).items()
        ],
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_labels(out / LABELS, data, [scores])
        draw_result(out / PICTURE, data, scores, class_parts, f"Parts of {options.split} shapes: category and IoU")
        write_json(out / EVALUATION, result)  # last: its presence says that all is there
    except OSError as error:
        raise TapError(
            f"{out}: cannot be written: {error.strerror or error}; name another folder with --out"
        ) from error
    return result


def parts_of(run: FinetunedRun) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The part names of a run, and the parts of each of its classes.

    Raises:
        TapError: its record has none.
    """
    data = run.record["data"]
    if not ("part_names" in data and "class_parts" in data):
        raise TapError(f"{run.checkpoint / CONFIG}: names no parts; give the --out folder of tap finetune partseg")
    return tuple(data["part_names"]), tuple(tuple(parts) for parts in data["class_parts"])


def load_segmenter(run: FinetunedRun) -> tuple[torch.nn.Module, PartSegConfig]:
    """The model of a run in evaluation mode, on the CPU, and the run's config.

    Raises:
        TapError: a config that this release does not know, or weights that do not fit it.
    """
    config = validated(PartSegConfig, run.record["config"], f"{run.checkpoint / CONFIG}")
    model = build_segmenter(config, len(parts_of(run)[0]), len(run.classes))
    load_weights(model, run.checkpoint)
    return model.eval(), config
