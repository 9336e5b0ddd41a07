"""How a classifier holds on clouds of fewer points, and of points that are moved at random.

Legend: N points.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from shards.stream import Address, IntArray
from tap.datasets import Source
from tap.errors import TapError
from tap.loading.collate import Item, collate
from tap.loading.samples import Samples, WrappedSamples
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.confusion import BAR, FAINT, INK
from tap.tasks.classes.scores import Scores, predict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROBUSTNESS, CURVES = "robustness.csv", "robustness.png"
FRACTIONS = (8, 4, 2)  # a cloud has its points over this
DEVIATIONS = (0.01, 0.02, 0.05)  # of the noise on each coordinate, world units: the shape's radius is 1
NOISE = 0x0153  # sets the seeds of noise apart from those of a sample's draws
COLUMNS = ("split", "num_points", "noise", "num_samples", "accuracy", "class_mean_accuracy", "left_out")


@dataclasses.dataclass(frozen=True)
class Condition:
    """What was measured in one condition.

    Attributes:
        num_points: of each cloud.
        noise: standard deviation of what moves each coordinate, world units.
        num_samples: classified; 0 where nothing could be measured.
        accuracy: over all samples, NaN where nothing could be measured.
        class_mean_accuracy: mean over the classes that occur, likewise.
        left_out: why nothing could be measured; empty where it was.
    """

    num_points: int
    noise: float
    num_samples: int
    accuracy: float
    class_mean_accuracy: float
    left_out: str = ""


class NoisySamples(WrappedSamples):
    """Samples whose points are moved by Gaussian noise, drawn from (seed, index): the same in every epoch.

    Args:
        data: the samples; normals, where they have them, stay as they are.
        deviation: of the noise on each coordinate, world units; the noise of another deviation is the same at another scale.
    """

    def __init__(self, data: Samples, deviation: float) -> None:
        super().__init__(data)
        self._deviation = deviation

    def __getitem__(self, address: Address) -> Item:
        """The sample of an address with its points moved; errors as of the samples without noise."""
        item = super().__getitem__(address)
        rng = np.random.default_rng((self.seed, NOISE, address.sample))
        noise = self._deviation * rng.standard_normal(item.points.shape, dtype=np.float32)
        return dataclasses.replace(item, points=(item.points + noise).astype(np.float32))


def measure_robustness(
    model: nn.Module, source: Source, split: str, known: Scores, config: ClassificationConfig, fabric: Fabric
) -> list[Condition]:
    """Accuracy over numbers of points, and over noise on all of them.

    Args:
        model: clouds to class scores, in evaluation mode, on Fabric's device.
        source: data set.
        split: of it.
        known: scores of its samples as they are, with all points and no noise; the other conditions take the same samples.
        config: of the run.
        fabric: device and precision; one process.

    Returns:
        Fewer points first, then more noise. Of fewer points other ones are drawn, fixed too. A condition that the model cannot
        take says why.

    Raises:
        TapError: scores that are not finite.
        ShardError: a damaged set.
    """
    points, seed, indices = config.data.num_points, config.train.seed, known.index.numpy()
    data = source.open(split, config.data, seed)
    found = []
    with torch.no_grad(), fabric.autocast():
        for number in sorted({points // fraction for fraction in FRACTIONS} - {0, points}):
            fewer = source.open(split, config.data.model_copy(update={"num_points": number}), seed)
            reason = _why_not(model, fewer, indices, fabric)
            if reason:
                found.append(Condition(number, 0.0, 0, np.nan, np.nan, reason))
            else:
                scores = predict(model, fewer, indices, config.train, fabric, alone=True)
                found.append(_condition(number, 0.0, scores, len(data.classes)))
        found.append(_condition(points, 0.0, known, len(data.classes)))
        for deviation in DEVIATIONS:
            moved = NoisySamples(data, deviation)
            scores = predict(model, moved, indices, config.train, fabric, alone=True)
            found.append(_condition(points, deviation, scores, len(data.classes)))
    return found


def write_robustness(out: Path, conditions: Sequence[Condition], split: str) -> None:
    """Writes ``robustness.csv`` and its picture ``robustness.png`` into a folder."""
    with (out / ROBUSTNESS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for one in conditions:
            row = dataclasses.asdict(one)
            blank = {"accuracy": "", "class_mean_accuracy": ""} if one.left_out else {}
            writer.writerow({"split": split, **row, **blank})
    draw_robustness(out / CURVES, conditions, split)


def draw_robustness(file: Path, conditions: Sequence[Condition], split: str) -> None:
    """Draws accuracy over points and over noise, side by side; conditions that were left out are not there."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [one for one in conditions if not one.left_out]
    fewer = [one for one in shown if one.noise == 0]
    whole = fewer[-1]
    noisier = [whole, *(one for one in shown if one.noise > 0)]
    figure = Figure(figsize=(9.2, 3.5), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_xscale("log", base=2)
    _draw(left, [one.num_points for one in fewer], fewer)
    _draw(right, [one.noise for one in noisier], noisier)
    left.set_xlabel("points of a cloud, no noise", fontsize=9)
    left.set_ylabel("right, %", fontsize=9)
    left.set(ylim=(-8, 108), yticks=range(0, 101, 20))  # room for labels below 0 and above 100 %
    left.minorticks_off()
    right.set_xlabel(f"standard deviation of noise (a shape's radius is 1), {whole.num_points:,} points", fontsize=9)
    right.legend(frameon=False, fontsize=8, loc="best")
    figure.suptitle(f"Accuracy on {whole.num_samples:,} {split} samples", fontsize=10.5, color=INK)
    figure.savefig(file, metadata={"Software": None})  # the bytes depend on the picture alone


def _draw(axes: "Axes", places: Sequence[float], conditions: Sequence[Condition]) -> None:
    values = [100 * np.array([one.accuracy, one.class_mean_accuracy]) for one in conditions]
    for number, (name, color, style) in enumerate((("accuracy", BAR, "-"), ("class mean accuracy", "#e07b39", "--"))):
        axes.plot(places, [pair[number] for pair in values], style, color=color, marker="o", ms=4, lw=1.6, label=name)
        for place, pair in zip(places, values, strict=True):
            above = pair[number] > pair[1 - number] or (number == 0 and pair[0] == pair[1])
            axes.annotate(
                f"{pair[number]:.1f}", (place, pair[number]), (0, 6 if above else -6), textcoords="offset points",
                ha="center", va="bottom" if above else "top", fontsize=7, color=color,
            )  # fmt: skip
    axes.set_xticks(places, [f"{place:,g}" for place in places])
    axes.margins(x=0.1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=FAINT, labelcolor=INK, labelsize=8)


def _condition(num_points: int, noise: float, scores: Scores, num_classes: int) -> Condition:
    numbers = scores.metrics(num_classes)
    return Condition(num_points, noise, len(scores.index), numbers["accuracy"], numbers["class_mean_accuracy"])


def _why_not(model: nn.Module, data: Samples, indices: IntArray, fabric: Fabric) -> str:
    """Why a model cannot take clouds of so few points, in one line; empty where it can."""
    batch = collate([next(data.readable(indices.tolist()))]).point_batch().to(fabric.device)
    try:
        model(batch)
    except (TapError, RuntimeError, ValueError, IndexError) as error:  # a user's own backbone says it in its own way
        return " ".join(str(error).split()) or type(error).__name__
    return ""
