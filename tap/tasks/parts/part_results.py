"""What a part segmentation run leaves behind: its numbers, the labels of the test points, and its part of the report.

Legend: S shapes, N points.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shards.stream import Address
from tap.loading.samples import Samples
from tap.loading.sampling import EVALUATION
from tap.tasks.finetuning import RESULT
from tap.tasks.parts.part_pictures import SegmentedShape, draw_parts
from tap.tasks.parts.part_scores import PartScores
from tap.training.checkpoint import read_json, write_json
from tap.training.report.sections import Picture, Section, Table, Text

LABELS, PICTURE = "parts.npz", "parts.png"
NUM_SHOWN = 8
Scored = Mapping[str, Mapping[str, PartScores]]


def write_part_result(out: Path, facts: Mapping[str, Any], scored: Scored, classes: Sequence[str]) -> None:
    """Writes ``result.json``.

    Args:
        out: run folder.
        facts: what else the result says.
        scored: checkpoint name -> split -> scores.
        classes: category names in the order of their indices.
    """
    numbers = {
        split: {name: found[split].metrics(len(classes)) for name, found in scored.items() if split in found} or None
        for split in ("validation", "test")
    }
    judged = judged_split(scored)
    categories: dict[str, dict[str, float]] = {}
    for checkpoint, found in scored.items():
        for name, (count, iou) in found[judged].by_category(classes).items():
            categories.setdefault(name, {"num_shapes": count})[checkpoint] = iou
    write_json(out / RESULT, {**facts, **numbers, "categories_of": judged, "categories": categories})


def judged_split(scored: Scored) -> str:
    """The split whose shapes are told one by one: test, or validation where the set has no test split."""
    return "test" if all("test" in found for found in scored.values()) else "validation"


def write_labels(file: Path, data: Samples, scores: Sequence[PartScores]) -> None:
    """Writes the part labels of each shape: truth, then what each of the ``scores`` predicts.

    Args:
        file: an npz archive of arrays (1 + len(scores), N) by the shapes' keys; uint8, or uint16 where a label needs it.
        data: where the shapes come from; their evaluation draw gives the points in the same order.
        scores: of the same shapes.
    """
    first = scores[0]
    rows = np.stack([first.truth.numpy(), *(one.predicted.numpy() for one in scores)], axis=1)  # (S, 1 + scores, N)
    dtype = np.uint8 if rows.max(initial=0) < 256 else np.uint16
    with zipfile.ZipFile(file, "w") as archive:  # `numpy.savez` would take some keys for its own arguments
        for index, labels in zip(first.index.tolist(), rows.astype(dtype), strict=True):
            content = io.BytesIO()
            np.lib.format.write_array(content, labels, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{data.key(index)}.npy"), content.getvalue())


def draw_result(
    file: Path, data: Samples, scores: PartScores, class_parts: Sequence[Sequence[int]], title: str
) -> None:
    """Writes a PNG of some shapes, truth beside prediction: the middle one by IoU of each category, of as many as fit.

    Args:
        file: where to.
        data: where the shapes come from.
        scores: of them.
        class_parts: category to its parts.
        title: stands above.
    """
    shown = []
    for place in chosen_shapes(scores, NUM_SHOWN):
        category = int(scores.category[place])
        item = data[Address(EVALUATION, int(scores.index[place]))]
        colors = {part: number for number, part in enumerate(class_parts[category])}
        truth, predicted = (
            np.array([colors[part] for part in labels[place].tolist()]) for labels in (scores.truth, scores.predicted)
        )
        shown.append(SegmentedShape(data.classes[category], item.points, truth, predicted, float(scores.iou[place])))
    draw_parts(file, shown, title)


def chosen_shapes(scores: PartScores, most: int) -> list[int]:
    """Places among the scores: of each category the shape whose IoU is in the middle, of some categories evenly among all."""
    found = []
    for category in sorted(set(scores.category.tolist())):
        members = (scores.category == category).nonzero()[:, 0]
        order = scores.iou[members].argsort(stable=True)
        found.append(int(members[order[len(order) // 2]]))
    spread = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    return [found[place] for place in spread]


def part_sections(out: Path) -> list[Section]:
    """For the report: the picture and the IoU of each category, once the run has its result."""
    if not (out / RESULT).exists():
        return []
    result = read_json(out / RESULT)
    categories, split = result.get("categories") or {}, result.get("categories_of")
    if not categories:
        return []
    checkpoints = [name for name in ("last", "best") if any(name in row for row in categories.values())]
    rows = [[name, row["num_shapes"], *(row.get(one) for one in checkpoints)] for name, row in categories.items()]
    told = (
        f"IoU of the {split} shapes, each on {result.get('num_points')} points drawn once and for all: the mean over the parts "
        "of a category, a part that is neither there nor predicted counting as 1; then the mean over its shapes."
    )
    picture: list[Picture] = []
    if (out / PICTURE).exists():
        picture = [Picture(out / PICTURE, f"Parts of {split} shapes, true above predicted, best checkpoint.")]
    return [Section("Parts", [*picture, Text(told), Table(["category", "shapes", *checkpoints], rows)])]
