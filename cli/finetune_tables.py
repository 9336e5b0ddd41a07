"""What a fine-tuning run says at its end: the table of its numbers, and what they were selected on."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

COLUMNS = {"accuracy": "accuracy", "class_mean_accuracy": "class mean"}


def tell_result(console: Console, result: Mapping[str, Any], out: Path) -> None:
    """The numbers of one run, as its ``result.json`` holds them."""
    table = Table("split", "checkpoint", *COLUMNS.values())
    for split, name, numbers in _rows(result):
        table.add_row(split, name, *(f"{numbers[column]:.1%}" for column in COLUMNS))
    console.print(table)
    once = "" if result["validation"] is None else "; test was read once, at the end"
    console.print(
        f"best: epoch {result['best_epoch']}, chosen on {escape(result['selected_on'])}{once}"
        if result["test"]
        else "no test split in this set: validation numbers only",
        soft_wrap=True,
    )
    console.print(f"result {escape(str(out / 'result.json'))}", soft_wrap=True)
    console.print(f"report {escape(str(out / 'report.html'))}", soft_wrap=True)


def tell_summary(console: Console, summary: Mapping[str, Any], out: Path, what: str) -> None:
    """The numbers of several runs, as their ``summary.json`` holds them.

    Args:
        console: where to.
        summary: means and standard deviations.
        out: the folder.
        what: one of the runs: seed, fold.
    """
    number = len(summary["runs"])
    table = Table("split", "checkpoint", *COLUMNS.values(), title=f"mean ± standard deviation over {number} {what}s")
    for split, name, numbers in _rows(summary):
        table.add_row(split, name, *(_with_deviation(numbers[column]) for column in COLUMNS))
    console.print(table)
    console.print(f"selected on {escape(str(summary.get('selected_on')))}", soft_wrap=True)
    console.print(f"summary {escape(str(out / 'summary.json'))}", soft_wrap=True)


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for split in ("validation", "test"):
        for name, numbers in (result[split] or {}).items():
            told = f"best, vote of {result.get('num_votes')} draws" if name == "vote" else name
            yield split, told, numbers


def _with_deviation(numbers: Mapping[str, Any]) -> str:
    if numbers["std"] is None:
        return f"{numbers['mean']:.1%}"
    return f"{100 * numbers['mean']:.1f} ± {100 * numbers['std']:.1f} %"
