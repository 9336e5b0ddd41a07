"""Pictures of what a finished classification run knows: confusion, features before and after, robustness; for its report.

They are drawn of the best checkpoint once everything has been chosen, and nothing is chosen by them.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning.fabric import Fabric
from torch import nn

from shards.stream import IntArray
from tap.datasets import Source
from tap.loading.samples import Samples
from tap.network.heads import Pooling
from tap.probing.features import calibrate_norms, embed, frozen_backbone
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.confusion import CONFUSION, confusion, draw_confusion
from tap.tasks.classes.feature_map import FEATURE_MAP, LEAST_SHOWN, Panel, draw_feature_map, make_panel
from tap.tasks.classes.robustness import CURVES, ROBUSTNESS, measure_robustness, write_robustness
from tap.tasks.classes.scores import Scores
from tap.training.report.sections import Picture, Section, Text

MOST_SHOWN = 600  # samples of a feature map, and of the statistics of a random backbone's norms
POOLING: Pooling = "max_mean"
LONGEST = 40  # letters of a name in a title
SHOWN = 0x75E  # sets the seed of which samples are shown apart from other draws


@dataclasses.dataclass(frozen=True, eq=False)
class Finished:
    """A run that has been scored.

    Attributes:
        model: with the weights of the best checkpoint, in evaluation mode, on the device.
        init: where its backbone started from, or None: random weights.
        train: data and indices of the samples that were trained on.
        split: what was scored, test or validation.
        judged: data of it.
        scores: of the best checkpoint on it.
    """

    model: nn.Module
    init: Path | None
    train: tuple[Samples, IntArray]
    split: str
    judged: Samples
    scores: Scores


def draw_figures(out: Path, finished: Finished, source: Source, config: ClassificationConfig, fabric: Fabric) -> None:
    """Writes ``confusion.png``, ``tsne.png`` (of `LEAST_SHOWN` samples or more), ``robustness.csv`` and ``robustness.png``.

    Args:
        out: run folder.
        finished: the run; beside the features and the conditions nothing is computed anew.
        source: its data set.
        config: of the run, with its backbone.
        fabric: device and precision; one process.

    Raises:
        TapError: features or scores that are not finite, or an ``init`` that is no longer there.
        ShardError: a damaged set.
    """
    classes, samples = finished.judged.classes, f"{finished.split} samples"
    draw_confusion(out / CONFUSION, confusion(finished.scores, len(classes)), classes, samples)
    if len(finished.scores.index) >= LEAST_SHOWN:
        panels, labels = feature_panels(finished, config, fabric)
        draw_feature_map(out / FEATURE_MAP, panels, labels, classes, samples)
    split = config.test_split if finished.split == "test" else config.train_split
    conditions = measure_robustness(finished.model, source, split, finished.scores, config, fabric)
    write_robustness(out, conditions, finished.split)


def feature_panels(finished: Finished, config: ClassificationConfig, fabric: Fabric) -> tuple[list[Panel], IntArray]:
    """The features of up to `MOST_SHOWN` samples before and after, and their labels; one panel of a frozen backbone."""
    if config.backbone is None:
        raise ValueError("the config of a run that has been trained names its backbone")
    seed = config.train.seed
    shown = _some(finished.scores.index.numpy(), seed)
    before = frozen_backbone(config.backbone, finished.init, seed).to(fabric.device)
    if finished.init is None:
        data, members = finished.train
        calibrate_norms(before, data, _some(members, seed), config.train, fabric)
    pairs = [(f"before fine-tuning: {_told(finished.init)}", before)]
    if config.protocol == "full":
        pairs.append(("after fine-tuning: the best checkpoint", finished.model.get_submodule("backbone")))
    panels = []
    for title, backbone in pairs:
        features = embed(backbone, finished.judged, shown, POOLING, config.train, fabric)
        panels.append(make_panel(title, features.vectors, features.label, seed))
        labels = features.label
    return panels, labels


def figure_sections(out: Path) -> list[Section]:
    """For the report: the pictures that lie in the run folder."""
    sections = []
    if (out / CONFUSION).exists():
        told = (
            "A row a true class; a cell is as dark as its share of the row. Beside it how many of the class are right."
        )
        sections.append(Section("What it confuses", [Picture(out / CONFUSION, f"{told} Best checkpoint.")]))
    if (out / FEATURE_MAP).exists():
        told = (
            "A dot a sample, its colour its class: the pooled features (maximum and mean) of the backbone in the plane, by "
            "t-SNE. Near dots are alike; axes, and distances between groups, mean nothing. Random weights have batch norm "
            "statistics of training samples."
        )
        sections.append(Section("What its features tell apart", [Picture(out / FEATURE_MAP, told)]))
    if (out / ROBUSTNESS).exists() and (out / CURVES).exists():
        sections.append(Section("How it holds", _robustness_blocks(out)))
    return sections


def _robustness_blocks(out: Path) -> Sequence[Picture | Text]:
    told = (
        "The best checkpoint on clouds of fewer points than it was trained on, and on points moved by Gaussian noise. Nothing "
        "was selected by it."
    )
    with (out / ROBUSTNESS).open(newline="", encoding="utf-8") as stream:
        lacking = [
            f"{row['num_points']} points: {row['left_out']}" for row in csv.DictReader(stream) if row["left_out"]
        ]
    return [*([Text(f"Left out: {'; '.join(lacking)}.")] if lacking else []), Picture(out / CURVES, told)]


def _told(init: Path | None) -> str:
    """What a backbone started from, short enough for a title."""
    if init is None:
        return "random weights"
    name = f"{init.parent.name}/{init.name}" if init.name in ("best", "last") else init.name
    return f"weights of {name if len(name) <= LONGEST else f'{name[:16]}…{name[17 - LONGEST :]}'}"


def _some(indices: IntArray, seed: int) -> IntArray:
    """Up to `MOST_SHOWN` of some indices, in their order."""
    if len(indices) <= MOST_SHOWN:
        return np.asarray(indices, np.int64)
    chosen = np.random.default_rng((seed, SHOWN)).choice(len(indices), MOST_SHOWN, replace=False)
    return np.asarray(indices, np.int64)[np.sort(chosen)]
