"""`tap reproduce`: the commands of a table of the paper, run as far as their data are there, and the filled table."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cli.compare_command import write_text
from cli.errors import INTERRUPTED, TERMINATED
from tap.results.published import TABLES
from tap.results.reproduction import Planner, Size, steps_of
from tap.results.reproduction_runs import FINISHED, READY, filled, run_steps, state_of


def reproduce_table(table: str, data: Path, runs: Path, size: Size, run: bool, out: Path | None) -> bool:
    """The whole of `tap reproduce`.

    Args:
        table: key of `tap.results.published.TABLES`.
        data: folder of the data sets, see `tap.results.reproduction.FOLDERS`.
        runs: folder of the run folders.
        size: whose presets.
        run: run what is ready, in place of listing alone.
        out: file for the table, or None.

    Returns:
        Whether no command failed.

    Raises:
        TapError: a file that cannot be written, or a run folder that cannot be read.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    cells = Planner(data, runs, size).cells(table)
    steps = steps_of(cells)
    if TABLES[table].why_not:
        console.print(f"nothing of {table} can be run: {TABLES[table].why_not}")
    succeeded = True
    if run:
        states = run_steps(steps, _run, console.print)
        succeeded = not any(state.startswith("failed") for state in states.values())
    else:
        for step in steps:
            state = state_of(step)
            console.print(step.command)
            console.print(f"    {'its data are there; --run runs it' if state == READY else state}")
    text = filled(table, cells)
    if out is not None:
        write_text(out, text)
        console.print(f"table {out}")
    elif run or any(state_of(step) == FINISHED for step in steps):
        console.print(text, end="")
    return succeeded


def _run(arguments: Sequence[str]) -> int:
    """Runs `tap` with arguments in a process of its own; Ctrl-C and SIGTERM end this one too."""
    status = subprocess.run([sys.executable, "-m", "cli.main", *arguments], check=False).returncode
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status == TERMINATED:
        raise SystemExit(TERMINATED)
    return status
