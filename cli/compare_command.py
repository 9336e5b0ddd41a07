"""`tap compare`: runs side by side, on the terminal or as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tap.errors import TapError
from tap.results.comparison import Comparison, as_markdown, compare_runs


def tell_comparison(runs: Sequence[Path], markdown: bool, out: Path | None) -> None:
    """The whole of `tap compare`.

    Args:
        runs: run folders.
        markdown: print Markdown in place of tables.
        out: file that the Markdown goes to, or None.

    Raises:
        TapError: a folder that holds no run, or a file that cannot be written.
    """
    tables = compare_runs(runs)
    text = as_markdown(tables)
    console = Console(highlight=False)
    if markdown:
        console.print(text, end="", markup=False, soft_wrap=True)
    else:
        for found in tables:
            console.print(_table(found))
    if out is not None:
        write_text(out, text)
        Console(stderr=True, highlight=False).print(f"table {out}", soft_wrap=True, markup=False)


def _table(found: Comparison) -> Table:
    """A line a run; of a few runs a column a run, which a terminal has more room for."""
    lines: list[tuple[str, ...]] = [found.columns, *found.rows]
    if len(found.rows) < len(found.columns):
        lines = list(zip(*lines, strict=True))
    head, *rest = lines
    table = Table(*map(escape, head), title=found.task, title_justify="left")
    for line in rest:
        table.add_row(*map(escape, line))
    return table


def write_text(file: Path, text: str) -> None:
    """Writes a text file; its folder is made where needed.

    Raises:
        TapError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TapError(f"{file}: cannot be written: {error.strerror or error}; name another --out file") from error
