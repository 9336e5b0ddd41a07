"""`tap reproduce`: the commands of a table of the paper, run as far as their data are there, and the filled table."""

import signal
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

SECONDS_TO_SAVE = 60.0


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
        done = sum(state == FINISHED for state in states.values())
        hint = "" if done or data.is_dir() else f"; {data} is no folder, --data names that of the data sets"
        console.print(f"{done} of {len(steps)} runs of {table} are finished{hint}")
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
    """Runs `tap` with arguments in a process of its own; what ends that one, Ctrl-C or SIGTERM, ends this one too.

    Ctrl-C in a terminal meets both, and the run is waited for while it saves: `subprocess.run` would kill it at once.
    """
    with subprocess.Popen([sys.executable, "-m", "cli.main", *arguments]) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            _wait_for_end(process)
            raise
    if status in (INTERRUPTED, -signal.SIGINT):
        raise KeyboardInterrupt
    if status in (TERMINATED, -signal.SIGTERM):
        raise SystemExit(TERMINATED)
    return status


def _wait_for_end(process: "subprocess.Popen[bytes]") -> None:
    """Waits for a process to stop; one that Ctrl-C has not met, such as after `kill -INT` of this one, is told."""
    try:
        process.wait(SECONDS_TO_SAVE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
