"""Hands shards to workers on a Ray cluster, one at a time, and hands them on when a worker or its node is lost."""

from __future__ import annotations

import contextlib
import logging
import pickle
import re
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.engines.options import EngineOptions
from shards.engines.ray_session import last_line
from shards.engines.ray_worker import Landmarks, RayWorker, Written
from shards.engines.signals import held_back
from shards.engines.worker import Raised
from shards.errors import ShardError
from shards.plan import ShardPlan
from shards.progress import OnProgress
from shards.record import MANIFEST_NAME, ShardRecord
from shards.stores.store import Store
from shards.writer import ShardJob

LOOK_SECONDS = 1.0
"""Time between two looks at what the cluster has to offer; lost workers are replaced then."""

MAX_LOSSES = 5
"""Workers that may be lost while they write one and the same shard; and for each worker wanted, those lost before any is
ready. Then the run ends."""

WARN_SECONDS, PATIENCE_SECONDS = 30.0, 300.0
"""How long there may be no worker at all before that is told, and before the run ends."""

QUIET_SECONDS, _DRAFT_SECONDS = 1.0, 5.0
"""How long no draft is seen where workers have ended, and how long that is waited for."""

_log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """An actor, and the shard that it writes; None while it gets ready."""

    actor: Any
    plan: ShardPlan | None = None


class RayRun:
    """Writes shards with actors that may be lost.

    As many actors are asked for as there is work, at most `options.num_workers`, by default one for each CPU that Ray
    has; those that find no CPU yet wait until a node has one or joins. Each gets one shard at a time.

    Args:
        ray: the module, connected.
        job: the callable and where to write.
        options: see EngineOptions.
        on_progress: called in this thread, once a shard.
    """

    def __init__(self, ray: Any, job: ShardJob, options: EngineOptions, on_progress: OnProgress) -> None:
        self._ray = ray
        self._job = job
        self._options = options
        self._on_progress = on_progress
        self._new_actor = ray.remote(
            num_cpus=1, num_gpus=options.gpus_per_worker, max_restarts=0, scheduling_strategy="SPREAD"
        )(RayWorker).remote
        self._crew: dict[Any, _Worker] = {}  # by the reference of the answer that is awaited
        self._waiting: deque[ShardPlan] = deque()
        self._records: dict[str, ShardRecord] = {}
        self._losses: Counter[str] = Counter()
        self._num_false_starts = 0
        self._last_loss = ""
        self._num_untold = 0  # of the losses that cost work
        self._looked_at = float("-inf")
        self._alive_at = time.monotonic()
        self._is_warned = False

    def run(self, plans: Sequence[ShardPlan]) -> list[ShardRecord]:
        """The records in the order of `plans`; raises as `shards.engines.engine.run_ray` says."""
        self._waiting = deque(plans)
        limits = EngineOptions(
            num_workers=1, time_limit=self._options.time_limit, memory_limit=self._options.memory_limit
        )
        packed = self._ray.put(pickle.dumps(self._job))  # once, not with each worker
        import_path = tuple(str(Path(path).absolute()) for path in sys.path)
        self._start = (packed, limits, str(Path.cwd()), import_path, self._landmarks(plans))
        try:
            while len(self._records) < len(plans):
                self._look_around()
                for reference in self._answered():
                    worker = self._crew.pop(reference)
                    try:
                        self._hear(reference, worker)
                    except BaseException:  # of no crew any more, it would outlive the run in a Ray of the caller's
                        self._release(worker)
                        raise
            self._tell_losses()
        finally:
            with held_back(signal.SIGINT, signal.SIGTERM):
                self._disband()
        return [self._records[plan.name] for plan in plans]

    def _landmarks(self, plans: Sequence[ShardPlan]) -> Landmarks:
        manifest = self._job.store.read_many([MANIFEST_NAME]).get(MANIFEST_NAME)
        source = plans[0].sources[0].path if plans else ""
        is_seen = bool(source) and "://" not in source and Path(source).exists()
        return Landmarks(manifest, source if is_seen else None)

    def _look_around(self) -> None:
        """From time to time: asks for workers that are missing, and gives up those that are asked for in vain."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        self._tell_losses()
        resources = self._ray.cluster_resources()
        at_work = [worker for worker in self._crew.values() if worker.plan is not None]
        most = self._options.num_workers or max(int(resources.get("CPU", 0)), 1)
        num_wanted = min(most, len(self._waiting) + len(at_work))
        if self._num_false_starts > MAX_LOSSES * num_wanted:
            raise ShardError(
                f"engine ray: {self._num_false_starts} workers were lost before any was ready: {self._last_loss}"
            )
        for _ in range(num_wanted - len(self._crew)):
            actor = self._new_actor()
            self._crew[actor.prepare.remote(*self._start)] = _Worker(actor)
        idle = [reference for reference, worker in self._crew.items() if worker.plan is None]
        for reference in idle[: max(len(self._crew) - num_wanted, 0)]:
            self._release(self._crew.pop(reference))
        if at_work:
            self._alive_at, self._is_warned = now, False
        else:
            self._tell_drought(now - self._alive_at, resources)

    def _tell_losses(self) -> None:
        if self._num_untold:
            _log.warning("%d worker(s) lost; %s; what they were at is done again", self._num_untold, self._last_loss)
            self._num_untold = 0

    def _tell_drought(self, seconds: float, resources: dict[str, float]) -> None:
        if seconds < WARN_SECONDS:
            return
        free = self._ray.available_resources()
        share = f" and {self._options.gpus_per_worker:g} GPU" if self._options.gpus_per_worker else ""
        told = ", ".join(f"{free.get(kind, 0):g} of {resources.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
        message = (
            f"no worker could start within {seconds:.0f} s: each takes 1 CPU{share}, and the Ray cluster has {told} free"
            f"{'; ' if self._last_loss else ''}{self._last_loss}"
        )
        if seconds > PATIENCE_SECONDS:
            raise ShardError(f"engine ray: {message}; free some or add nodes, and go on with --resume")
        if not self._is_warned:
            self._is_warned = True
            _log.warning("%s; waiting", message)

    def _answered(self) -> list[Any]:
        """References whose answers are there; waits for the first of them, but not for long."""
        references = list(self._crew)
        ready, _ = self._ray.wait(references, num_returns=1, timeout=LOOK_SECONDS) if references else ([], [])
        if not ready:
            if not references:
                time.sleep(LOOK_SECONDS / 4)  # all were lost; the next look replaces them
            return []
        return list(self._ray.wait(references, num_returns=len(references), timeout=0)[0])

    def _hear(self, reference: Any, worker: _Worker) -> None:
        """Takes an answer, and gives its worker what is next."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.RayError as error:
            if isinstance(error, errors.RayTaskError) or getattr(error, "actor_init_failed", False):
                # Not from the job, whose errors are returned: our own code does not fit, or is not there.
                raise ShardError(
                    f"engine ray: a worker failed: {last_line(error)}; every node must have this version of tap3d"
                ) from error
            self._lose(worker, error)  # its process, its node, or the way to it
            return
        if isinstance(answer, Raised):
            answer.error.add_note(f"in a Ray worker:\n{answer.trace}")
            raise answer.error
        self._num_false_starts = 0
        if isinstance(answer, Written):
            self._records[answer.record.name] = answer.record
            self._on_progress(answer.progress)
        if self._waiting:
            worker.plan = self._waiting.popleft()
            self._crew[worker.actor.write.remote(worker.plan)] = worker
        else:
            self._release(worker)

    def _lose(self, worker: _Worker, error: Exception) -> None:
        """Sets free what a lost worker was at."""
        self._release(worker)  # one that is only out of reach must not write on
        self._last_loss = f"the last one lost: {re.split('[.:] ', last_line(error))[0]}"
        if worker.plan is None:
            self._num_false_starts += 1
            return
        self._num_untold += 1
        self._waiting.appendleft(worker.plan)
        self._losses[worker.plan.name] += 1
        if self._losses[worker.plan.name] == MAX_LOSSES:
            raise ShardError(
                f"{self._job.store.path(worker.plan.name)}: {MAX_LOSSES} workers were lost while they wrote this shard; "
                f"{self._last_loss}; see Ray's logs, and whether its nodes run out of memory; finished shards are kept"
            )

    def _release(self, worker: _Worker) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):  # gone already
            self._ray.kill(worker.actor)

    def _disband(self) -> None:
        """Ends all workers; their processes end with them, a moment later."""
        for worker in self._crew.values():
            self._release(worker)
        self._crew.clear()


def remove_drafts(store: Store, quiet_seconds: float) -> None:
    """Removes the drafts that ended workers have left; most take theirs along, but not those whom Ray or a lost machine ends.

    Args:
        store: where they wrote; nobody else may.
        quiet_seconds: how long there has to be no draft before the workers count as ended: between two files of a shard
            there is none either. 0 where they have nothing more to write.
    """
    quiet_since = time.monotonic()
    deadline = quiet_since + _DRAFT_SECONDS
    while time.monotonic() < min(deadline, quiet_since + quiet_seconds):
        time.sleep(0.05)
        if store.unfinished():
            quiet_since = time.monotonic()
    for name in store.unfinished():
        store.remove(name)
