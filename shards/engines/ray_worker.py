"""Inside a Ray actor: one job, and beside it a process that writes shards and may die without harm to the actor."""

from __future__ import annotations

import os
import pickle
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shards.engines.options import EngineOptions
from shards.engines.process import check_memory_is_told
from shards.engines.supervisor import Supervisor
from shards.engines.worker import Raised, picklable
from shards.errors import ShardError
from shards.plan import ShardPlan
from shards.progress import Progress
from shards.record import MANIFEST_NAME, ShardRecord
from shards.stores.store import Store
from shards.writer import ShardJob

SIGHT_SECONDS = 5.0
"""How long a file that another machine has just written may take to be seen over a network file system."""


@dataclass(frozen=True)
class Landmarks:
    """What the driver sees, and a node must see as well to work for it.

    Attributes:
        manifest: content of the set's manifest; None where there is none.
        source: path of a source; None where the driver sees none of the files either, or they are URLs.
    """

    manifest: bytes | None
    source: str | None


@dataclass(frozen=True)
class Written:
    """A finished shard: its record, and all that happened to it as one increment."""

    record: ShardRecord
    progress: Progress


class RayWorker:
    """What an actor runs. Errors are returned as `Raised`, so that they keep their type.

    Args:
        node: how messages call the machine.
    """

    def __init__(self, node: str = "") -> None:
        self._node = node
        self._progress = Progress()
        self._supervisor: Supervisor

    def prepare(
        self, packed_job: bytes, options: EngineOptions, folder: str, import_path: Sequence[str], landmarks: Landmarks
    ) -> Raised | None:
        """Gets ready to write shards.

        Args:
            packed_job: the ShardJob, pickled; by `pickle` and not by Ray, since it goes on to a process that Ray knows
                nothing of.
            options: the limits.
            folder: the driver's working folder, which relative paths start from; a node may do without it.
            import_path: the driver's `sys.path`, of which a user's own modules may need something.
            landmarks: what must be seen from here.

        Returns:
            None when all is well.
        """
        # A spawned process runs the main module once more: here that of Ray's workers, which would load all of Ray.
        vars(sys.modules["__main__"]).pop("__file__", None)
        sys.path.extend(path for path in import_path if path not in sys.path)
        if Path(folder).is_dir():
            os.chdir(folder)
        try:
            job = _unpacked(packed_job)
            if options.memory_limit is not None:
                check_memory_is_told()
            check_sight(job.store, landmarks)
        except Exception as error:
            return self._raised(error)
        self._supervisor = Supervisor(job, options, self._note)
        return None

    def write(self, plan: ShardPlan) -> Written | Raised:
        """Writes one shard; its process is kept for the next one."""
        self._progress = Progress()
        try:
            (record,) = self._supervisor.run([plan])
        except Exception as error:
            return self._raised(error)
        return Written(record, self._progress)

    def _note(self, progress: Progress) -> None:
        self._progress += progress

    def _raised(self, error: Exception) -> Raised:
        if isinstance(error, ShardError):
            error = ShardError(f"{error} (on node {self._node or _node()})")
        return Raised(picklable(error), traceback.format_exc())


def _node() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def _unpacked(packed_job: bytes) -> ShardJob:
    try:
        job: ShardJob = pickle.loads(packed_job)  # noqa: S301  # the driver's, through Ray, which runs its code anyway
    except Exception as error:  # what an import may raise
        raise ShardError(
            f"the job cannot be loaded ({type(error).__name__}: {error}): the packages and modules that it is made of must "
            "be installed on every node, and the script that starts the run cannot be one of them"
        ) from error
    return job


def check_sight(store: Store, landmarks: Landmarks) -> None:
    """Raises ShardError where this machine does not see what the driver sees.

    Two machines with a folder each of one name would make two halves of a set, and files that only the driver sees would
    be recorded as failed.
    """
    deadline = time.monotonic() + SIGHT_SECONDS
    while (landmarks.manifest is not None) and _manifest(store) != landmarks.manifest:
        if time.monotonic() > deadline:
            raise ShardError(
                f"{store.path(MANIFEST_NAME)}: not there, or not the one of this run: every node must see the same "
                "folder; choose one on a shared file system, or a URL such as s3://bucket/folder"
            )
        time.sleep(SIGHT_SECONDS / 20)
    if landmarks.source is not None and not Path(landmarks.source).exists():
        raise ShardError(
            f"{landmarks.source}: not there, though the machine that leads the run has it: put the sources on a shared "
            "file system, or behind a URL such as s3://bucket/folder"
        )


def _manifest(store: Store) -> bytes | None:
    return store.read_many([MANIFEST_NAME]).get(MANIFEST_NAME)
