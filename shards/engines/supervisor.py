"""Keeps worker processes busy and outlives each of them: what kills its worker twice becomes a failure of the shard."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Self

from shards.engines.attempt import Attempt, Cause
from shards.engines.options import EngineOptions
from shards.engines.process import WorkerProcess
from shards.engines.signals import held_back, quiet_start
from shards.engines.worker import Message, Raised, Ready
from shards.errors import ShardError
from shards.plan import ShardPlan, Source
from shards.progress import OnProgress, Progress
from shards.record import ShardRecord
from shards.writer import ShardJob

CHECK_SECONDS = 0.2
"""Time between two looks at the limits."""

MAX_BLAMELESS_DEATHS = 3
"""Deaths of workers that were at no source, in a row and without a shard finished between them; then the run ends."""


class Supervisor:
    """Writes shards with processes that may die.

    A source at which a worker dies, or goes beyond a limit and is killed, is a suspect. Its shard is set aside until no
    other work is left; then it starts over in a fresh process, alone, with the suspect before all others. If that one
    ends a worker again it is a failure, and the shard is written without it.

    A context manager: the processes stay between two runs inside it, and are gone after it.

    Args:
        job: the callable and where to write; picklable.
        options: number of workers, at least 1 or None for 1, and the limits.
        on_progress: called in this thread.
    """

    def __init__(self, job: ShardJob, options: EngineOptions, on_progress: OnProgress) -> None:
        self._job = job
        self._options = options
        self._num_workers = options.num_workers or 1
        self._on_progress = on_progress
        self._lifeline, self._lifeline_end = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._crew: list[WorkerProcess] = []
        self._waiting: deque[Attempt] = deque()
        self._set_aside: list[Attempt] = []
        self._records: dict[str, ShardRecord] = {}
        self._num_blameless_deaths = 0
        self._checked_at = 0.0

    def run(self, plans: Sequence[ShardPlan]) -> list[ShardRecord]:
        """Writes the shards.

        Args:
            plans: the shards.

        Returns:
            The records in the order of `plans`.

        Raises:
            ShardError: a shard cannot be written, or workers die before they do anything.
            Exception: a bug in the callable, with the worker's traceback as a note.

        Whatever is raised, KeyboardInterrupt included: the processes are gone, and so are their unfinished files.
        """
        try:
            attempts = [Attempt(plan) for plan in plans]
            while attempts:
                # A shard whose killers are known is as harmless as one that never had any.
                revised = self._run_round([attempt for attempt in attempts if not attempt.suspects])
                for suspicious in [attempt for attempt in attempts if attempt.suspects]:
                    self._disband()  # it is alone, and in a fresh process
                    revised += self._run_round([suspicious])
                attempts = revised
        except BaseException:
            self._disband()
            raise
        return [self._records.pop(plan.name) for plan in plans]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disband()
        with held_back(signal.SIGINT, signal.SIGTERM):
            self._lifeline_end.close()
            self._lifeline.close()

    def _run_round(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Writes these shards side by side, and returns what is next for those at which a worker came to its end."""
        self._waiting, self._set_aside = deque(attempts), []
        while self._waiting or any(worker.attempt for worker in self._crew):
            self._recruit()
            for worker in self._stirring():
                self._attend(worker)
        return self._set_aside

    def _recruit(self) -> None:
        """Gives waiting shards to those who are ready, and starts as many processes as find work."""
        for worker in self._crew:
            if worker.is_ready and self._waiting:
                worker.hand(self._waiting.popleft())
        num_free = sum(worker.attempt is None for worker in self._crew)
        num_missing = min(len(self._waiting) - num_free, self._num_workers - len(self._crew))
        if num_missing > 0:
            with quiet_start():
                for _ in range(num_missing):
                    self._crew.append(WorkerProcess(self._job, self._lifeline))

    def _stirring(self) -> list[WorkerProcess]:
        """Waits for news; returns the workers that have some, or from time to time all of them."""
        handles = [handle for worker in self._crew for handle in worker.handles]
        ready = set(wait(handles, timeout=CHECK_SECONDS))
        now = time.monotonic()
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            return list(self._crew)
        return [worker for worker in self._crew if not ready.isdisjoint(worker.handles)]

    def _attend(self, worker: WorkerProcess) -> None:
        """Takes note of what a worker says, and of its end, which a limit may bring."""
        found = worker.transgression(self._options)
        if found is not None:
            worker.kill()
        for message in worker.messages():
            self._hear(worker, message)
        if found is not None:
            self._bury(worker, *found)
        elif worker.has_ended:
            self._bury(worker, worker.source, worker.cause_of_death())

    def _hear(self, worker: WorkerProcess, message: Message) -> None:
        match message:
            case Ready():
                worker.is_ready = True
            case Progress():
                worker.reported += message
                self._on_progress(message)
            case ShardRecord():
                worker.attempt, worker.is_ready = None, True
                self._num_blameless_deaths = 0
                self._records[message.name] = message
                self._on_progress(committed(message))
            case Raised(error=MemoryError()):
                self._bury(worker, worker.source, Cause("ran out of memory"))
            case Raised(error=error, trace=trace):
                error.add_note(f"in a worker process:\n{trace}")
                raise error

    def _bury(self, worker: WorkerProcess, source: Source | None, cause: Cause) -> None:
        """Removes what a worker has left and decides how its shard goes on."""
        if worker not in self._crew:
            return  # it was killed after its last message had been heard
        self._crew.remove(worker)
        worker.kill()
        attempt = worker.attempt
        if attempt is not None and worker.reported != Progress():
            self._on_progress(worker.reported.undone())
        if attempt is not None and source is not None:
            self._num_blameless_deaths = 0
            self._set_aside.append(attempt.after_death(source, cause))
            return
        self._num_blameless_deaths += 1
        if attempt is not None:
            self._waiting.appendleft(attempt)
        if self._num_blameless_deaths == MAX_BLAMELESS_DEATHS:
            raise ShardError(
                f"{self._job.store.location}: {MAX_BLAMELESS_DEATHS} worker processes in a row ended outside of any source "
                f"({cause.detail or cause.deed}); see what they printed above, whether a memory limit leaves room for the "
                'program itself, and whether a script calls this below `if __name__ == "__main__":`'
            )

    def _disband(self) -> None:
        """Ends all processes: the idle ones in peace, those in the middle of a shard at once."""
        with held_back(signal.SIGINT, signal.SIGTERM):
            for worker in self._crew:
                worker.dismiss()
            while self._crew:
                self._crew.pop().await_end()


def committed(record: ShardRecord) -> Progress:
    """The increment that tells of a finished shard."""
    return Progress(num_shards=1, failures=record.failures)
