"""Running the commands of a table of the paper as far as their data are there, and the table filled with what they measured."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shards.errors import ShardError
from tap.datasets import LAYOUTS, DatasetConfig, open_source
from tap.errors import TapError
from tap.results.comparison import markdown_row
from tap.results.comparison_runs import read_run
from tap.results.published import CATEGORY, TABLES
from tap.results.reproduction import Cell, Step, steps_of
from tap.tasks.finetuning import RESULT
from tap.tasks.seeds import SUMMARY
from tap.training.checkpoint import CONFIG, read_json

FINISHED, READY = "finished", "ready"
Runner = Callable[[Sequence[str]], int]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number that a finished run has measured.

    Attributes:
        value: percent.
        deviation: over folds, percent, or None.
        selected_on: what its checkpoint was selected on.
    """

    value: float
    deviation: float | None
    selected_on: str

    def __str__(self) -> str:
        return told_percent(self.value, self.deviation)


def state_of(step: Step) -> str:
    """`FINISHED`, `READY`, or why a step cannot run."""
    if _is_finished(step):
        return FINISHED
    if step.needs is not None:
        before = state_of(step.needs)
        if before not in (FINISHED, READY):
            return f"its pre-training cannot run: {before}"
    return _missing(step) or READY


def run_steps(steps: Sequence[Step], runner: Runner, tell: Callable[[str], None]) -> dict[Path, str]:
    """Runs the steps whose data are there and that are not finished, one after the other.

    Args:
        steps: in their order, see `steps_of`.
        runner: runs ``tap`` with arguments and returns its exit status.
        tell: is given a line about each step.

    Returns:
        Run folder to `FINISHED` or why not; a step that fails does not stop the others.
    """
    states: dict[Path, str] = {}
    for step in steps:
        state = state_of(step)
        if state == READY and step.needs is not None and states.get(step.needs.out, FINISHED) != FINISHED:
            state = f"its pre-training did not finish: {states[step.needs.out]}"
        if state == READY:
            tell(step.command)
            status = runner(step.arguments)
            state = FINISHED if status == 0 and _is_finished(step) else f"failed with exit code {status}"
        states[step.out] = state
        tell(f"{step.out}: {state}")
    return states


def measured(cell: Cell) -> Measured | None:
    """What the run of a cell has measured on the test split with its best checkpoint; None where it is not finished.

    A few-shot run has no selection: the mean over folds of the last checkpoint.

    Raises:
        TapError: a result that cannot be read.
    """
    step = cell.step
    if not _is_finished(step):
        return None
    checkpoint = "last" if step.task == "fewshot" else "best"
    result = read_json(step.out / (SUMMARY if step.task == "fewshot" else RESULT))
    chosen, metric = str(result.get("selected_on", "")), cell.column.metric
    if metric.startswith(CATEGORY):
        categories = result.get("categories") or {}
        found = categories.get(metric.removeprefix(CATEGORY), {}).get(checkpoint)
    else:
        found = ((result.get("test") or {}).get(checkpoint) or {}).get(metric)
    if isinstance(found, Mapping):
        deviation = found.get("std")
        return Measured(100 * found["mean"], None if deviation is None else 100 * deviation, chosen)
    return None if found is None else Measured(100 * float(found), None, chosen)


def filled(table: str, cells: Sequence[Cell]) -> str:
    """The table as Markdown: a line a published number, beside it what was measured, blank where nothing was.

    Args:
        table: key of `TABLES`.
        cells: that can be measured, of `tap.results.reproduction.Planner.cells`.
    """
    about = TABLES[table]
    by_place = {(cell.row.name, cell.column.name): cell for cell in cells}
    measuring = " Measured: test split, in percent, by the commands below." if cells else ""
    lines = [f"# {about.title}", "", f"Published: {about.source}.{measuring}"]
    if about.why_not:
        lines += ["", f"Nothing of it can be run: {about.why_not}."]
    columns = ("method", "", "published", "measured", "selected on", "run")
    lines += ["", markdown_row(columns), markdown_row(["---"] * len(columns))]
    for row in about.rows:
        for place, (column, value) in enumerate(zip(about.columns, row.values, strict=True)):
            cell = by_place.get((row.name, column.name))
            if value is None and cell is None:
                continue
            deviation = row.deviations[place] if row.deviations else None
            number = None if cell is None else measured(cell)
            entries = (
                ["", "", ""]
                if cell is None or number is None
                else [str(number), number.selected_on, cell.step.out.name]
            )
            told = "" if value is None else told_percent(value, deviation)
            lines.append(markdown_row([row.name, column.name, told, *entries]))
    if cells:
        lines += ["", "## Commands", "", "```", *(step.command for step in steps_of(list(cells))), "```"]
    return "\n".join(lines) + "\n"


def told_percent(value: float, deviation: float | None = None) -> str:
    """A percentage with one decimal, or with two where it has them, and the deviation after it."""
    number = f"{value:.2f}".removesuffix("0")
    return number if deviation is None else f"{number} ± {deviation:.1f}"


def _is_finished(step: Step) -> bool:
    if step.task == "fewshot":
        return (step.out / SUMMARY).is_file()
    if step.task != "pretrain":
        return (step.out / RESULT).is_file()
    return (step.out / CONFIG).is_file() and not read_run(step.out).facts["state"]


def _missing(step: Step) -> str:
    """Why the data of a step cannot be read; empty where they can."""
    if not step.data.exists():
        obtain = f"; {LAYOUTS[step.layout].obtain}" if step.layout in LAYOUTS else ""
        return f"{step.data} is not there{obtain}"
    if not step.layout:
        return ""
    try:
        open_source(step.data, DatasetConfig(layout=step.layout))
    except (TapError, ShardError) as error:
        return str(error)
    return ""
