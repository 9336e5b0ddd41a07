"""How far a set has been read: a live line on a terminal, a plain line now and then where there is none."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cli.progress import PLAIN_EVERY_SECONDS


class BytesProgress:
    """Bytes read of all, and at what speed; on standard error.

    Args:
        title: what is going on, one word.
    """

    def __init__(self, title: str) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._title = title
        self._began_at = self._told_at = time.monotonic()
        self._bar = Progress(
            TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Make room for another live line, for good."""
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Show how far it is; ``done`` starts over where a second round begins."""
        self._bar.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told_at >= PLAIN_EVERY_SECONDS:
            self._told_at = now
            self.console.print(f"{self._title} {done / 1e6:,.0f} of {total / 1e6:,.0f} MB", soft_wrap=True)
