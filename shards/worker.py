"""Inside a worker process of the local engine: one job, many shards, progress sent home, no life after the parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue

from shards.plan import ShardPlan
from shards.progress import Progress
from shards.record import ShardRecord
from shards.writer import ShardJob, write_shard

REPORT_SECONDS = 0.1
"""Shortest time between two reports of a worker; each costs the parent about as much as a cheap sample."""

_state: tuple[ShardJob, SimpleQueue[Progress]] | None = None


def start_worker(job: ShardJob, reports: SimpleQueue[Progress], lifeline: Connection) -> None:
    """Prepares this process; the initializer of the pool.

    Args:
        job: what `run_shard` does with each plan.
        reports: where progress goes.
        lifeline: reading end of a pipe whose writing end only the parent holds. It ends when the parent closes it, and
            when the parent dies in whatever way; the process then ends at once.
    """
    global _state
    # A Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _state = (job, reports)


def run_shard(plan: ShardPlan) -> ShardRecord:
    """Writes one shard with the job that this worker was started with."""
    if _state is None:
        raise RuntimeError("run_shard was called in a process that start_worker has not prepared")
    job, reports = _state
    throttle = _Throttle(reports)
    record = write_shard(plan, job, throttle)
    throttle.flush()
    return record


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: it returns at end of file only
    os._exit(1)  # sys.exit would end this thread alone


class _Throttle:
    """Adds increments up and passes them on at most every REPORT_SECONDS.

    A report stays far below the size up to which a pipe is written in one piece, so a worker that is killed cannot
    leave half of one, on which the parent would wait for ever.
    """

    def __init__(self, reports: SimpleQueue[Progress]) -> None:
        self._reports = reports
        self._pending = Progress()
        self._sent_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self._pending += progress
        if time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._reports.put(self._pending)
        self._pending = Progress()
        self._sent_at = time.monotonic()
