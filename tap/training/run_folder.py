"""What a run folder keeps of how training goes: tables of metrics, their curves, pictures. Not the checkpoints."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tap.errors import TapError

METRICS, EVALUATIONS = "metrics.csv", "eval.csv"
Row = dict[str, Any]


class Table:
    """A CSV file that grows by rows of the same columns, and can be cut back to an earlier moment.

    Args:
        file: made with its first row; the columns are that row's keys.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._columns: list[str] | None = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes one row and flushes it.

        Raises:
            TapError: other columns than the table has, or the disk does not take it.
        """
        if self._columns is None:
            self._columns = list(self._read()[0]) or list(row)
        if set(row) != set(self._columns):
            raise TapError(f"{self.file}: has the columns {self._columns}, a row brings {list(row)}; use another --out")
        try:
            new = not self.file.exists() or self.file.stat().st_size == 0
            with self.file.open("a", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, self._columns)
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise TapError(f"{self.file}: cannot be written: {error}") from error

    def cut(self, column: str, last: int) -> None:
        """Drops the rows whose ``column`` is beyond ``last``, and a row that was cut off while it was written."""
        columns, rows = self._read()
        if rows and column not in columns:
            raise TapError(f"{self.file}: has no column {column!r}; move it away, or use another --out")
        kept = [row for row in rows if _whole(row) and row[column].isdecimal() and int(row[column]) <= last]
        if len(kept) != len(rows):
            self._rewrite(columns, kept)

    def widen(self, column: str, value: str) -> None:
        """Adds a column to a table that was begun without it; its rows get ``value``."""
        columns, rows = self._read()
        if columns and column not in columns:
            self._rewrite([*columns, column], [{**row, column: value} for row in rows])

    def rows(self) -> list[dict[str, str]]:
        """All rows as text."""
        return self._read()[1]

    def _rewrite(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        temporary = self.file.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self.file)  # noqa: PTH105 - replaces on every platform

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        if not self.file.exists():
            return [], []
        try:
            with self.file.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream)
                return list(reader.fieldnames or []), list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise TapError(f"{self.file}: cannot be read as a table: {error}; move it away") from error


def draw_curves(out: Path) -> None:
    """Draws ``curves.png`` from the two tables: training losses by step, and each number of the evaluations by epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    training, evaluations = Table(out / METRICS).rows(), Table(out / EVALUATIONS).rows()
    losses = [name for name in (training[0] if training else {}) if name.endswith("loss")]
    numbers = [name for name in (evaluations[0] if evaluations else {}) if name not in {"epoch", "step"}]
    numbers = [name for name in numbers if _numeric(evaluations, name)]
    figure = Figure(figsize=(4.2 * (1 + len(numbers)), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(numbers), squeeze=False)[0]
    for name in losses:
        axes[0].plot([int(row["step"]) for row in training], [float(row[name]) for row in training], label=name, lw=1)
    axes[0].set(title="training", xlabel="step", yscale="log")
    for axis_part in (axes[0].yaxis.set_major_formatter, axes[0].yaxis.set_minor_formatter):
        axis_part(
            LogFormatter(minor_thresholds=(2, 0.5))
        )  # plain numbers: powers of ten are set as formulas, in other fonts
    if losses:
        axes[0].legend(frameon=False, fontsize=8)
    for panel, name in zip(axes[1:], numbers, strict=True):
        epochs = [int(row["epoch"]) for row in evaluations]
        panel.plot(epochs, [float(row[name]) for row in evaluations], marker="o", ms=3, lw=1.2)
        panel.set(title=name.replace("_", " "), xlabel="epoch")
    for panel in axes:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(out / "curves.png", dpi=120)


def picture_of(out: Path, epoch: int | None = None) -> Path | None:
    """The picture that an evaluation after so many epochs has left, or the last one of all; None where there is none."""
    found = sorted((out / "pictures").glob("epoch*.png"), key=lambda file: (len(file.name), file.name))
    wanted = [file for file in found if epoch is None or file.stem == f"epoch{epoch:03d}"]
    return wanted[-1] if wanted else None


def _whole(row: Mapping[Any, Any]) -> bool:
    """Whether a row has as many values as columns; `csv` puts None where it has fewer, and under None what is more."""
    return None not in row and None not in row.values()


def _numeric(rows: list[dict[str, str]], name: str) -> bool:
    try:
        return all(float(row[name]) == float(row[name]) for row in rows)
    except ValueError:
        return False
