"""`tap evaluate`: a run scored on a data set, told as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shards.stores.store import Location
from tap.results.evaluation import EvaluationOptions, evaluate


def evaluate_run(run: Path, data: Location, options: EvaluationOptions) -> dict[str, Any]:
    """The whole of `tap evaluate`; returns what `tap.results.evaluation.evaluate` does."""
    result = evaluate(run, data, options)
    console = Console(highlight=False)
    console.print(_classes(result["per_class"]))
    console.print(_numbers(result["numbers"], options.votes))
    damaged = f", {result['num_damaged']} damaged ones left out" if result["num_damaged"] else ""
    what = f"{options.checkpoint} checkpoint (epoch {result['epoch']}) of {run}"
    line = f"{what} on {result['num_samples']} samples of {data}, {options.split}{damaged}"
    console.print(escape(line), soft_wrap=True)
    if result["seen_in_training"]:
        console.print(
            "this is the split that the run was trained on: its numbers say nothing of other samples", soft_wrap=True
        )
    if not result["run_finished"]:
        console.print("the run is not finished; it goes on with --resume", soft_wrap=True)
    console.print(f"results {escape(result['out'])}", soft_wrap=True)
    return result


def _numbers(numbers: dict[str, dict[str, float]], votes: int) -> Table:
    """A row a way of scoring: single pass, and the vote."""
    names = [name for name in next(iter(numbers.values())) if name != "loss"]
    told = {"single": "single pass", "vote": f"vote of {votes} draws"}
    table = Table("", *(name.replace("_", " ").replace("miou", "mIoU") for name in names))
    for way, row in numbers.items():
        table.add_row(told[way], *(f"{row[name]:.1%}" for name in names))
    return table


def _classes(rows: Sequence[dict[str, Any]]) -> Table:
    """A row a class that occurs."""
    if rows and "iou" in rows[0]:
        table = Table("class", "samples", "mean IoU")
        for row in rows:
            table.add_row(escape(row["class"]), str(row["samples"]), f"{row['iou']:.1%}")
        return table
    table = Table("class", "samples", "accuracy", "most often taken for")
    for row in rows:
        table.add_row(
            escape(row["class"]), str(row["samples"]), f"{row['accuracy']:.1%}", escape(row["taken_for"] or "")
        )
    return table
