"""Runs side by side in one table a task: what each is, what it measured, and what the paper has for the same."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tap.results.comparison_runs import RunRow, read_run

SHARED = ("run", "backbone", "start", "epochs", "parameters", "data", "selected on")
CLOSING = ("pre-training ratio", "published", "state")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs of one task.

    Attributes:
        task: its name.
        columns: of the table; a column without any entry is left out.
        rows: a text for each column, empty where nothing was measured.
    """

    task: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compare_runs(paths: Sequence[Path]) -> list[Comparison]:
    """Tables over runs, one a task, in the order in which the tasks and runs are named.

    Args:
        paths: run folders, of a run with several seeds the folder that holds them, or checkpoint folders.

    Raises:
        TapError: one of them is no run.
    """
    tables: dict[str, list[RunRow]] = {}
    found = [Path(path).resolve() for path in paths]
    for path in found:
        row = read_run(path)
        if sum(other.name == path.name for other in found) > 1:  # runs/a/tap and runs/b/tap
            row.facts["run"] = f"{path.parent.name}/{row.facts['run']}"
        tables.setdefault(row.task, []).append(row)
    return [_table(task, rows) for task, rows in tables.items()]


def as_markdown(tables: Sequence[Comparison]) -> str:
    """The tables as Markdown, each under its task's name."""
    parts = []
    for table in tables:
        lines = [table.columns, ("---",) * len(table.columns), *table.rows]
        parts.append(f"## {table.task}\n\n" + "\n".join(markdown_row(line) for line in lines))
    return "\n\n".join(parts) + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _table(task: str, rows: Sequence[RunRow]) -> Comparison:
    measured = dict.fromkeys(name for row in rows for name in row.measured)
    names = (*SHARED, *_differing(rows), *measured, *CLOSING)
    cells = [{**row.settings, **row.facts, **row.measured} for row in rows]
    shown = tuple(name for name in names if any(cell.get(name) for cell in cells))
    return Comparison(task, shown, tuple(tuple(cell.get(name, "") for name in shown) for cell in cells))


def _differing(rows: Sequence[RunRow]) -> list[str]:
    """Keys of settings that are not the same in all runs; those of a backbone only where all have the same one."""
    same_backbone = len({row.facts["backbone"].partition(" ")[0] for row in rows}) == 1
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    return [
        key
        for key in keys
        if len({row.settings.get(key) for row in rows}) > 1 and (same_backbone or "backbone.settings" not in key)
    ]
