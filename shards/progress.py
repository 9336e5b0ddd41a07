"""What happened since the last event, as numbers that add up; how it is shown is the caller's matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from shards.record import Failure


@dataclass(frozen=True)
class Progress:
    """An increment of a run; two of them add up to one. Counts are negative where a shard has to start over.

    Attributes:
        num_samples: samples written.
        num_views: view images in those samples.
        num_failures: sources that failed.
        num_shards: shards committed.
        num_skipped: sources that a valid record of an earlier run covers (only before the first shard, on resume).
        failures: the failed sources of the shards committed, with reasons; they come with `num_shards`, that is later
            than the counts of `num_failures`.
    """

    num_samples: int = 0
    num_views: int = 0
    num_failures: int = 0
    num_shards: int = 0
    num_skipped: int = 0
    failures: tuple[Failure, ...] = ()

    def __add__(self, other: Progress) -> Progress:
        return Progress(
            self.num_samples + other.num_samples,
            self.num_views + other.num_views,
            self.num_failures + other.num_failures,
            self.num_shards + other.num_shards,
            self.num_skipped + other.num_skipped,
            self.failures + other.failures,
        )

    def undone(self) -> Progress:
        """The increment that takes this one's counts back; what was committed or skipped stays so."""
        return Progress(-self.num_samples, -self.num_views, -self.num_failures)


OnProgress: TypeAlias = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The OnProgress of a caller who does not look."""
