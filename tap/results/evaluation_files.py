"""What an evaluation leaves in its folder: numbers, predictions and a confusion matrix as a picture."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tap.errors import TapError
from tap.loading.samples import Samples
from tap.tasks.classes.confusion import CONFUSION, confusion, draw_confusion
from tap.tasks.classes.scores import Scores
from tap.training.checkpoint import read_json, write_json

EVALUATION, PREDICTIONS = "evaluation.json", "predictions.csv"


def check_same_evaluation(out: Path, identity: Mapping[str, Any]) -> None:
    """Raises `TapError` where a folder holds something else than an earlier evaluation of the same."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / EVALUATION).is_file():
        raise TapError(f"{out}: holds something else than an evaluation; name another folder with --out")
    stored = read_json(out / EVALUATION).get("identity")
    found = stored if isinstance(stored, dict) else {}
    differences = [
        f"{key} {found.get(key)!r} where {wanted!r} is asked for"
        for key, wanted in identity.items()
        if found.get(key) != wanted
    ]
    if differences:
        raise TapError(f"{out}: holds another evaluation: {'; '.join(differences)}; name another folder with --out")


def class_numbers(scores: Scores, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each class that occurs: ``class``, ``samples``, ``right``, ``accuracy``, ``taken_for``.

    ``taken_for`` is the other class that its samples were most often taken for, the first of several, None where all
    were right.
    """
    rows = []
    for place, (name, row) in enumerate(zip(classes, confusion(scores, len(classes)), strict=True)):
        samples, right = int(row.sum()), int(row[place])
        if samples:
            wrong = np.where(np.arange(len(row)) == place, 0, row)
            taken_for = classes[int(wrong.argmax())] if wrong.any() else None
            numbers = {"samples": samples, "right": right, "accuracy": right / samples}
            rows.append({"class": name, **numbers, "taken_for": taken_for})
    return rows


def write_evaluation(out: Path, result: Mapping[str, Any], scores: Scores, data: Samples) -> None:
    """Writes ``evaluation.json``, ``predictions.csv`` and ``confusion.png`` of a classifier.

    Args:
        out: folder, made where needed.
        result: the JSON, with ``classes`` and ``confusion``.
        scores: of all samples.
        data: where they come from.

    Raises:
        TapError: the folder cannot be written.
    """
    classes = result["classes"]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / PREDICTIONS).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["key", "truth", "predicted", "confidence"])
            columns = (scores.index, scores.truth, scores.predicted, scores.confidence)
            for index, truth, predicted, confidence in zip(*(column.tolist() for column in columns), strict=True):
                writer.writerow([data.key(index), classes[truth], classes[predicted], f"{confidence:.4f}"])
        draw_confusion(out / CONFUSION, np.asarray(result["confusion"], np.int64), classes)
        write_json(out / EVALUATION, result)  # last: its presence says that all is there
    except OSError as error:
        raise TapError(
            f"{out}: cannot be written: {error.strerror or error}; name another folder with --out"
        ) from error
