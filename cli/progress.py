"""Progress on the terminal: a live line where there is one, a plain line now and then where there is not."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from shards import Progress as ShardProgress

PLAIN_EVERY_SECONDS = 10.0


class RenderProgress:
    """Meshes done, meshes/s, views/s, failures, time left.

    Args:
        num_sources: meshes in all.
    """

    def __init__(self, num_sources: int) -> None:
        self._total = num_sources
        self._sum = ShardProgress()
        self._began_at = time.monotonic()
        self._told_at = self._began_at
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("render"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(), console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task: TaskID = self._bar.add_task("render", total=num_sources, rates="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is None and self._sum.num_samples:
            self._console.print(
                f"rendered {self._sum.num_samples:,} meshes in {self._seconds():.1f} s: {self._rates()}"
            )

    def advance(self, progress: ShardProgress) -> None:
        """Count an increment and redraw."""
        self._sum = self._sum + progress
        done = self._sum.num_samples + self._sum.num_failures + self._sum.num_skipped
        self._bar.update(self._task, completed=done, rates=self._rates())
        now = time.monotonic()
        if not self._console.is_terminal and now - self._told_at >= PLAIN_EVERY_SECONDS:
            self._told_at = now
            worked = done - self._sum.num_skipped
            left = (self._total - done) * self._seconds() / max(worked, 1)
            self._console.print(f"render {done:,} of {self._total:,}: {self._rates()}, {left:,.0f} s left")

    def _seconds(self) -> float:
        return max(time.monotonic() - self._began_at, 1e-9)

    def _rates(self) -> str:
        seconds = self._seconds()
        return (
            f"{self._sum.num_samples / seconds:,.1f} meshes/s, {self._sum.num_views / seconds:,.0f} views/s, "
            f"{self._sum.num_failures:,} failed"
        )


class TrainProgress:
    """The training loop's live line and its messages; see `tap.training.task.Progress` for the calls.

    Args:
        speaks: false in all processes of a run but the first, which then show nothing.
    """

    def __init__(self, speaks: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False, quiet=not speaks)
        self._told_at: float | None = None
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.fields[place]}"), BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"), console=self._console, transient=True,
            disable=not (speaks and self._console.is_terminal),
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_step(self, numbers: Mapping[str, Any]) -> None:
        """Show where the run stands."""
        place, shown = training_line(numbers)
        if not self._bar.disable:
            if self._task is None:
                self._task = self._bar.add_task("train", total=numbers["steps"], place=place, numbers=shown)
            self._bar.update(self._task, completed=numbers["step"], place=place, numbers=shown)
            return
        now, last = time.monotonic(), numbers["step"] == numbers["steps"]
        if last or self._told_at is None or now - self._told_at >= PLAIN_EVERY_SECONDS:
            self._told_at = now
            self._console.print(f"{place}, {shown}", soft_wrap=True, markup=False)

    def on_eval(self, numbers: Mapping[str, Any]) -> None:
        """Print the metrics of an evaluation."""
        shown = (
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers.items()
        )
        self._console.print(f"evaluated: {', '.join(shown)}", style="green", soft_wrap=True, markup=False)

    def on_message(self, message: str) -> None:
        """Print a message."""
        self._console.print(message, soft_wrap=True, markup=False)


def training_line(numbers: Mapping[str, Any]) -> tuple[str, str]:
    """Where a run stands and how fast it goes, in words.

    Args:
        numbers: what `tap.training.task.Progress.on_step` is told.
    """
    place = f"epoch {numbers['epoch']} of {numbers['epochs']:.0f}, step {numbers['step']} of {numbers['steps']:.0f}"
    return place, (
        f"loss {numbers['loss']:.4f}, {numbers['samples_per_second']:.1f} samples/s, "
        f"waiting for data {numbers['data_wait']:.0%}, {_clock(numbers['seconds_left'])} left"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
