"""From exceptions to exit codes: what a user can mend is one line and exit code 1, a bug keeps its traceback."""

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from render.errors import RenderError
from shards.errors import ShardError
from tap.errors import TapError
from tap.training import ranks

EXPECTED = (RenderError, ShardError, TapError)
FAILED, INTERRUPTED, TERMINATED = 1, 130, 143

Parameters = ParamSpec("Parameters")


STOPPED = "stopped; what was finished is kept, and the same command with --resume goes on"


def reported(command: Callable[Parameters, None], stopped: str = STOPPED) -> Callable[Parameters, None]:
    """The command with its expected errors told in one line on standard error.

    It exits with 1 after an expected error, with 130 after Ctrl-C and 143 after SIGTERM; wrong usage is typer's, with 2.

    Args:
        command: a command's function.
        stopped: what to say after Ctrl-C or SIGTERM.
    """

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except EXPECTED as error:
            _say(f"error: {' '.join(str(error).split())}", "red")
            ranks.end(FAILED)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            _say(stopped, "yellow")
            ranks.end(INTERRUPTED)
            raise typer.Exit(INTERRUPTED) from None
        except SystemExit as end:
            if end.code == TERMINATED and ranks.is_first_process():  # SIGTERM: a cluster's scheduler, when time is up
                _say(stopped, "yellow")
            if isinstance(end.code, int):
                ranks.end(end.code)
            raise

    return run


def _say(line: str, style: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(line, style=style)
