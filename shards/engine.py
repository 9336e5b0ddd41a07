"""Engines run a plan's shards somewhere; whichever is used, the bytes are the same. Here: this machine's processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from shards.errors import ShardError
from shards.options import EngineOptions
from shards.plan import ShardPlan
from shards.progress import OnProgress
from shards.record import ShardRecord
from shards.supervisor import Supervisor, committed
from shards.writer import ShardJob, write_shard


class Engine(Protocol):
    """Writes every plan as the job says, each shard whole or not at all."""

    def __call__(
        self, plans: Sequence[ShardPlan], job: ShardJob, options: EngineOptions, on_progress: OnProgress
    ) -> list[ShardRecord]:
        """Returns the records in the order of `plans`; raises ShardError, KeyboardInterrupt or the callable's bug."""


def run_local(
    plans: Sequence[ShardPlan], job: ShardJob, options: EngineOptions, on_progress: OnProgress
) -> list[ShardRecord]:
    """Writes the shards on this machine.

    Args:
        plans: the shards to write.
        job: the callable and where to write; picklable if there are workers.
        options: number of workers and limits. From 1 on they are spawned processes, and a source that ends one of them
            twice, the second time alone, is recorded as failed. 0 works in this process, where a debugger sees it.
        on_progress: called in this thread.

    Returns:
        The records in the order of `plans`.

    Raises:
        ShardError: a shard cannot be written; workers die before they do anything; limits without workers, or a limit
            that this system cannot watch.
        KeyboardInterrupt: Ctrl-C; the workers are gone and the folder holds only whole shards.
        Exception: a bug in the callable.
    """
    _check_limits(options)
    if options.num_workers:
        return Supervisor(job, options, on_progress).run(plans)
    records: list[ShardRecord] = []
    for plan in plans:
        records.append(write_shard(plan, job, on_progress))
        on_progress(committed(records[-1]))
    return records


ENGINES: dict[str, Engine] = {"local": run_local}
"""Engines by name."""


def _check_limits(options: EngineOptions) -> None:
    """A limit that nobody watches would be a promise broken."""
    for name in ("time_limit", "memory_limit"):
        if getattr(options, name) is not None and not options.num_workers:
            raise ShardError(
                f"{name} is {getattr(options, name):g}, but only worker processes have limits: use 1 worker or more"
            )
    if options.memory_limit is not None and not Path("/proc/self/statm").exists():
        raise ShardError(
            "memory_limit: this system has no /proc that tells how much memory a process takes; leave it out"
        )
