"""A worker process as its parent sees it: started, fed, watched, and put to an end with the cause told."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from shards.engines.attempt import Attempt, Cause
from shards.engines.options import EngineOptions
from shards.engines.worker import NO_SOURCE, Message, Slot, remove_drafts, work
from shards.errors import ShardError
from shards.plan import Source
from shards.progress import Progress
from shards.writer import ShardJob

BYTES_PER_GB = 10**9

_MEMORY_TOLD = Path("/proc/self/statm")

_PATIENCE_SECONDS = 5.0
"""How long an idle process may take to end by itself."""


class WorkerProcess:
    """One spawned process that writes one shard after the other; to be made inside `quiet_start`.

    Attributes:
        attempt: the shard that it works on, or None.
        is_ready: it has started and waits for a shard.
        has_ended: it will send nothing any more.
        reported: what it has said of the shard that it works on.
    """

    def __init__(self, job: ShardJob, lifeline: Connection[Any, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.attempt: Attempt | None = None
        self.is_ready = False
        self.has_ended = False
        self.reported = Progress()
        self._store = job.store
        self._slot = context.RawValue(Slot, NO_SOURCE, 0.0)
        self._connection, child_end = context.Pipe()
        # A daemon is ended by multiprocessing itself if all else is cut short.
        self._process = context.Process(target=work, args=(job, self._slot, child_end, lifeline), daemon=True)
        try:
            self._process.start()
        finally:
            child_end.close()  # only the child may hold it, or its death would not be seen
        self._process_id = cast(int, self._process.pid)  # known from the start on

    @property
    def handles(self) -> tuple[Connection[Any, Any], int]:
        """What `multiprocessing.connection.wait` takes: readable when there is a message or the process has ended."""
        return self._connection, self._process.sentinel

    @property
    def source(self) -> Source | None:
        """The source that it is at, or was at when it ended."""
        index = self._slot.index
        return None if self.attempt is None or index == NO_SOURCE else self.attempt.plan.sources[index]

    def hand(self, attempt: Attempt) -> None:
        """Gives the process, which is ready, a shard to write."""
        self.attempt, self.reported, self.is_ready = attempt, Progress(), False
        try:
            self._connection.send(attempt)
        except OSError:  # a broken pipe: it has just died, as its parent is about to see
            self.has_ended = True

    def messages(self) -> Iterator[Message]:
        """What it has sent so far and nobody has read; sets `has_ended` when nothing more can follow."""
        is_dead = not self._process.is_alive()  # asked first: a message that is sent in between is not the last one
        try:
            while self._connection.poll():
                yield self._connection.recv()
        except (EOFError, OSError):  # cut within or between two messages
            is_dead = True
        self.has_ended = self.has_ended or is_dead

    def transgression(self, options: EngineOptions) -> tuple[Source | None, Cause] | None:
        """The limit that it is beyond now, with the source that it is at; None where all is well."""
        source = self.source  # first: see Slot
        seconds = time.monotonic() - self._slot.began_at
        if source is not None and options.time_limit is not None and seconds > options.time_limit:
            return source, Cause(f"outlasted the time limit of {options.time_limit:g} s")
        if options.memory_limit is not None and self._resident_bytes() > options.memory_limit * BYTES_PER_GB:
            return source, Cause(f"took more than {options.memory_limit:g} GB of memory")
        return None

    def cause_of_death(self) -> Cause:
        """Why it has ended, as far as the system says; waits for the end of a process that is about to."""
        self._process.join(_PATIENCE_SECONDS)
        code = self._process.exitcode
        if code is None:
            return Cause("closed its worker's pipes")
        if code >= 0:
            return Cause("ended its worker", f"exit code {code}")
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-code, f"signal {-code}")
        return Cause("killed its worker", f"{name}, as when memory runs out" if name == "SIGKILL" else name)

    def kill(self) -> None:
        """Ends the process at once, with its unfinished file; what it has sent can still be read."""
        self._process.kill()
        self._process.join()
        if self.attempt is not None:
            remove_drafts(self._store, self._process_id, self.attempt.plan.name)

    def dismiss(self) -> None:
        """Tells an idle process that there is no more to do; `kill` must still follow."""
        if self.is_ready:
            self._connection.close()

    def await_end(self) -> None:
        """Waits a while for a dismissed process, and kills what is then still there."""
        if self.is_ready:
            self._process.join(_PATIENCE_SECONDS)
        self.kill()

    def _resident_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self._process_id}/statm").read_text(encoding="ascii").split()[1]
        except (FileNotFoundError, ProcessLookupError):
            return 0  # it has just died, as its parent is about to see
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def check_memory_is_told() -> None:
    """Raises ShardError where nobody could watch a memory limit."""
    if not _MEMORY_TOLD.exists():
        raise ShardError(
            "memory_limit: this system has no /proc that tells how much memory a process takes; leave it out"
        )
