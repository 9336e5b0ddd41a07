"""Inside a worker process: one job, many shards, progress sent home, no life after the parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from shards.engines.attempt import Attempt
from shards.progress import Progress
from shards.record import ShardRecord
from shards.stores.store import Store
from shards.writer import ShardJob, write_shard

REPORT_SECONDS = 0.1
"""Shortest time between two reports of a worker; each costs the parent about as much as a cheap sample."""

NO_SOURCE = -1
"""The slot's index between two sources, before the first and after the last one."""

_OOM_SCORE = Path("/proc/self/oom_score_adj")


class Slot(ctypes.Structure):
    """Which source a worker is at, in shared memory: its parent reads it at any moment, also after the worker's death.

    Whoever writes sets `began_at` first, whoever reads takes `index` first: a source is never seen with an instant before
    it began.
    """

    _fields_ = (("index", ctypes.c_int64), ("began_at", ctypes.c_double))
    index: int
    began_at: float

    def begin(self, index: int) -> None:
        """Notes that source `index` of the shard is now being worked on; the clock is time.monotonic()."""
        self.began_at = time.monotonic()
        self.index = index


@dataclass(frozen=True)
class Ready:
    """A worker's first message: it has started and waits for a shard."""


@dataclass(frozen=True)
class Raised:
    """A shard could not be written.

    Attributes:
        error: what was raised, or if it cannot be pickled, a RuntimeError that tells it.
        trace: the traceback as it would be printed in the worker.
    """

    error: Exception
    trace: str


Message: TypeAlias = Ready | Progress | ShardRecord | Raised
"""What a worker sends: Ready once; then for each shard Progress now and then, and ShardRecord or Raised at its end."""


def work(job: ShardJob, slot: Slot, parent: Connection[Any, Any], lifeline: Connection[Any, Any]) -> None:
    """Writes the shards that the parent sends until it closes the pipe; the whole life of a worker process.

    Args:
        job: what is done with each plan.
        slot: tells the parent which source is at work.
        parent: Attempts come in, Messages go out.
        lifeline: reading end of a pipe whose writing end only the parent holds. It ends when the parent closes it, and
            when the parent dies in whatever way; the process then ends at once.
    """
    # A Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where memory runs out, the system shall take this process and not the parent; it may forbid even to offer that.
    if _OOM_SCORE.exists():
        with contextlib.suppress(OSError):
            _OOM_SCORE.write_text("500")
    desk = _Desk()
    threading.Thread(target=_end_with, args=(lifeline, job.store, desk), daemon=True).start()
    # The pipe breaks when there is no more to do, and when the parent is dead, which the lifeline is about to tell.
    with contextlib.suppress(EOFError, OSError):
        parent.send(Ready())
        while True:
            attempt = parent.recv()
            desk.shard = attempt.plan.name
            parent.send(_outcome(attempt, job, slot, parent))


def _outcome(attempt: Attempt, job: ShardJob, slot: Slot, parent: Connection[Any, Any]) -> ShardRecord | Raised:
    """Tries the suspects, then writes the shard; the slot keeps the source at which an exception came."""
    report = _Report(slot, parent)
    try:
        for index, source in enumerate(attempt.plan.sources):
            if source.relative in attempt.suspects:
                slot.begin(index)
                with contextlib.suppress(*job.failure_types):  # the shard's own turn at it records that
                    job.make_sample(source)
                slot.index = NO_SOURCE
        record = write_shard(attempt.plan, job, report, attempt.known_failures, slot.begin)
    except MemoryError as error:  # as itself, since numpy has one of its own
        return Raised(MemoryError(str(error)), traceback.format_exc())
    except Exception as error:
        return Raised(picklable(error), traceback.format_exc())
    report.flush()
    return record


def picklable(error: Exception) -> Exception:
    """The error, or where it cannot travel between processes, a RuntimeError that tells it."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    except Exception:  # objects refuse this in many ways
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def remove_drafts(store: Store, process_id: int, shard: str) -> None:
    """Removes what a process has begun of a shard.

    The shard counts as well as the process: on other machines that write to this folder other processes have its number.
    """
    for name in store.unfinished(process_id):
        if name.startswith(f".{shard}."):
            store.remove(name)


@dataclass
class _Desk:
    """What the process works on, for the thread that may have to end it."""

    shard: str = ""


def _end_with(lifeline: Connection[Any, Any], store: Store, desk: _Desk) -> None:
    lifeline.poll(None)  # nothing is ever sent: it returns at end of file only
    try:
        remove_drafts(store, os.getpid(), desk.shard)  # the parent may be dead and cannot
    finally:
        os._exit(1)  # sys.exit would end this thread alone


class _Report:
    """Adds increments up and passes them on at most every REPORT_SECONDS. Each one also means that a source is done."""

    def __init__(self, slot: Slot, parent: Connection[Any, Any]) -> None:
        self._slot = slot
        self._parent = parent
        self._pending = Progress()
        self._sent_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self._slot.index = NO_SOURCE
        self._pending += progress
        if time.monotonic() - self._sent_at >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._parent.send(self._pending)
        self._pending = Progress()
        self._sent_at = time.monotonic()
