"""Jobs for one background thread of this process: each once at a time, in order, those that have to wait again later."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

RETRY_SECONDS = 0.2
"""Wait between two rounds over jobs that all have to wait."""

logger = logging.getLogger(__name__)


class Fetcher:
    """Runs jobs in a thread that lives while there are some. A forked child starts without jobs and with its own thread."""

    def __init__(self) -> None:
        self._process_id = os.getpid()
        self._changed = threading.Condition()
        self._jobs: dict[str, Callable[[], bool]] = {}
        self._thread: threading.Thread | None = None

    def add(self, name: str, job: Callable[[], bool]) -> None:
        """Queues a job unless one of that name is queued.

        Args:
            name: of the job.
            job: does its work; false where it has to be tried again later.
        """
        if self._process_id != os.getpid():  # neither thread nor a lock that it may have held came along
            self._process_id, self._changed = os.getpid(), threading.Condition()
            self._jobs, self._thread = {}, None
        with self._changed:
            if name in self._jobs:
                return
            self._jobs[name] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shard-fetcher", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Returns when no job is left."""
        if self._process_id != os.getpid():
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._jobs)

    def _run(self) -> None:
        num_waiting = 0
        while True:
            with self._changed:
                if not self._jobs:
                    self._thread = None
                    self._changed.notify_all()
                    return
                name, job = next(iter(self._jobs.items()))
                if num_waiting >= len(self._jobs):
                    self._changed.wait(RETRY_SECONDS)
                    num_waiting = 0
            try:
                done = job()
            except Exception:  # what follows must not wait for ever for a thread that died
                logger.exception("%s: a job in the background failed", name)
                done = True
            with self._changed:
                del self._jobs[name]
                num_waiting = 0 if done else num_waiting + 1
                if not done:
                    self._jobs[name] = job  # behind the others
