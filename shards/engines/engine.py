"""Engines run a plan's shards somewhere, on this machine or on a Ray cluster; whichever is used, the bytes are the same."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Protocol

from shards.engines.options import EngineOptions
from shards.engines.process import check_memory_is_told
from shards.engines.signals import held_back
from shards.engines.supervisor import Supervisor, committed
from shards.errors import ShardError
from shards.plan import ShardPlan
from shards.progress import OnProgress
from shards.record import ShardRecord
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
        options: number of workers, by default 1, and limits. From 1 on they are spawned processes, and a source that ends
            one of them twice, the second time alone, is recorded as failed. 0 works in this process, where a debugger
            sees it.
        on_progress: called in this thread.

    Returns:
        The records in the order of `plans`.

    Raises:
        ShardError: a shard cannot be written; workers die before they do anything; limits without workers, or a limit
            that this system cannot watch.
        KeyboardInterrupt: Ctrl-C; the workers are gone and the folder holds only whole shards.
        Exception: a bug in the callable.
    """
    check_engine("local", options)
    if options.num_workers != 0:
        with Supervisor(job, options, on_progress) as supervisor:
            return supervisor.run(plans)
    records: list[ShardRecord] = []
    for plan in plans:
        records.append(write_shard(plan, job, on_progress))
        on_progress(committed(records[-1]))
    return records


def run_ray(
    plans: Sequence[ShardPlan], job: ShardJob, options: EngineOptions, on_progress: OnProgress
) -> list[ShardRecord]:
    """Writes the shards on a Ray cluster, or with a Ray that is started on this machine for the time of the run.

    Each worker is a Ray actor with one CPU and a process beside it, so that limits and sources that kill come out as
    with `run_local`. A worker or node that is lost costs its unfinished shards, which others write. A Ray that the caller
    has initialised is used and left running.

    Args:
        plans: the shards to write.
        job: the callable and where to write: a URL, or a folder that every node sees under the same path. What it is made
            of must be importable on every node; the driver's `sys.path` goes along, for nodes that see its folders.
        options: see EngineOptions; 0 workers are as with `run_local`.
        on_progress: called in this thread, once a shard.

    Returns:
        The records in the order of `plans`.

    Raises:
        ShardError: Ray is not installed or cannot be reached; a node does not see the folder; a shard cannot be written;
            workers are lost again and again, or none finds a free CPU.
        KeyboardInterrupt: Ctrl-C; the workers are gone and the folder holds only whole shards.
        Exception: a bug in the callable.
    """
    check_engine("ray", options)
    if options.num_workers == 0:
        return run_local(plans, job, EngineOptions(num_workers=0), on_progress)
    from shards.engines.ray_engine import QUIET_SECONDS, RayRun, remove_drafts
    from shards.engines.ray_session import ray_session

    quiet_seconds = QUIET_SECONDS
    try:
        with ray_session(options) as ray:
            records = RayRun(ray, job, options, on_progress).run(plans)
        quiet_seconds = 0.0
    finally:
        with held_back(signal.SIGINT, signal.SIGTERM):
            remove_drafts(job.store, quiet_seconds)
    return records


ENGINES: dict[str, Engine] = {"local": run_local, "ray": run_ray}
"""Engines by name."""


def check_engine(name: str, options: EngineOptions) -> None:
    """Whether an engine can be used with these options, asked before any file is touched.

    Args:
        name: of the engine.
        options: what it will be given.

    Raises:
        ShardError: no such engine; it is not installed; an option that it would not heed.
    """
    if name not in ENGINES:
        raise ShardError(f"engine {name!r} is unknown; known are {', '.join(ENGINES)}")
    for limit in ("time_limit", "memory_limit"):
        # A limit that nobody watches would be a promise broken.
        if getattr(options, limit) is not None and options.num_workers == 0:
            raise ShardError(
                f"{limit} is {getattr(options, limit):g}, but only worker processes have limits: use 1 worker or more"
            )
    if name == "ray":
        from shards.engines.ray_session import check_address, check_listening, load_ray

        load_ray()
        check_address(options.address)
        check_listening(options.address)
        return
    for option in ("address", "gpus_per_worker"):
        if getattr(options, option):
            raise ShardError(f"{option} is {getattr(options, option)}, which is for the engine ray; this is {name}")
    if options.memory_limit is not None:
        check_memory_is_told()
