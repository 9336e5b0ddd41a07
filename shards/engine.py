"""Engines run a plan's shards somewhere; whichever is used, the bytes are the same. Here: this machine's processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.queues import SimpleQueue
from typing import Protocol

from shards.errors import ShardError
from shards.plan import ShardPlan
from shards.progress import OnProgress, Progress
from shards.record import ShardRecord
from shards.storage import TEMPORARY_FILE, remove_files
from shards.worker import REPORT_SECONDS, run_shard, start_worker
from shards.writer import ShardJob, write_shard

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Set to 1 for workers: W workers with a thread pool each would fight over the cores."""


SHARDS_IN_FLIGHT = 4
"""Shards handed to the pool for each worker: enough to keep it busy; each wait costs time for every one of them."""


class Engine(Protocol):
    """Writes every plan as the job says, each shard whole or not at all."""

    def __call__(
        self, plans: Sequence[ShardPlan], job: ShardJob, num_workers: int, on_progress: OnProgress
    ) -> list[ShardRecord]:
        """Returns the records in the order of `plans`; raises ShardError, KeyboardInterrupt or the callable's bug."""


def run_local(
    plans: Sequence[ShardPlan], job: ShardJob, num_workers: int, on_progress: OnProgress
) -> list[ShardRecord]:
    """Writes the shards on this machine.

    Args:
        plans: the shards to write.
        job: the callable and where to write; picklable if there is more than one worker.
        num_workers: 0 and 1 work in this process, where a debugger sees them; from 2 on, as many spawned processes.
        on_progress: called in this thread.

    Returns:
        The records in the order of `plans`.

    Raises:
        ShardError: a shard cannot be written, or a worker process died.
        KeyboardInterrupt: Ctrl-C; the workers are gone and the folder holds only whole shards.
        Exception: a bug in the callable.
    """
    if num_workers > 1 and len(plans) > 1:
        return _run_pool(plans, job, min(num_workers, len(plans)), on_progress)
    records: list[ShardRecord] = []
    for plan in plans:
        records.append(write_shard(plan, job, on_progress))
        on_progress(_committed(records[-1]))
    return records


ENGINES: dict[str, Engine] = {"local": run_local}
"""Engines by name."""


def _run_pool(
    plans: Sequence[ShardPlan], job: ShardJob, num_workers: int, on_progress: OnProgress
) -> list[ShardRecord]:
    """Runs the shards in spawned processes; on the way out of an error nothing of them is left."""
    context = multiprocessing.get_context("spawn")
    reports: SimpleQueue[Progress] = context.SimpleQueue()
    lifeline, parent_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(num_workers, context, start_worker, (job, reports, lifeline))
    try:
        records = _drive(pool, plans, SHARDS_IN_FLIGHT * num_workers, reports, on_progress)
        pool.shutdown()
        return records
    except BrokenProcessPool as error:
        raise ShardError(
            f"{job.folder}: a worker process died (killed, out of memory, or crashed in native code); finished shards "
            "are kept: go on with --resume, with fewer workers if memory is short"
        ) from error
    finally:
        # After an error the workers are still busy; without their lifeline they end at once, in the middle of a shard.
        parent_end.close()
        pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()
        reports.close()
        remove_files(job.folder, TEMPORARY_FILE)


def _drive(
    pool: ProcessPoolExecutor,
    plans: Sequence[ShardPlan],
    num_in_flight: int,
    reports: SimpleQueue[Progress],
    on_progress: OnProgress,
) -> list[ShardRecord]:
    """Keeps the pool fed, passing on what the workers report; raises what the first failing shard raised."""
    records: dict[str, ShardRecord] = {}
    waiting = iter(plans)
    with _quiet_start():  # this first batch is as large as the pool or larger, so it starts every process
        running = {pool.submit(run_shard, plan) for plan in islice(waiting, num_in_flight)}
    while running:
        done, running = wait(running, timeout=REPORT_SECONDS, return_when=FIRST_COMPLETED)
        # A worker reports before its future is done, so this leaves nothing behind after the last one.
        while not reports.empty():
            on_progress(reports.get())
        for record in (future.result() for future in done):
            records[record.name] = record
            on_progress(_committed(record))
        running |= {pool.submit(run_shard, plan) for plan in islice(waiting, len(done))}
    return [records[plan.name] for plan in plans]


def _committed(record: ShardRecord) -> Progress:
    return Progress(num_shards=1, failures=record.failures)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """While processes are spawned: one thread each, and Ctrl-C held back, which they inherit and this process undoes.

    Without the second, a Ctrl-C in their first moments would print a traceback from each of them.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
