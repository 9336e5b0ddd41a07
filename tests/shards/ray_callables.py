"""Callables for the tests of the engine ray, importable in the processes beside its workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shards.plan import Source
from shards.schema import Sample
from shards.stores.local_store import LocalStore
from tests.shards.synthetic import make_sample


def node() -> str:
    """The process number of the node's raylet; empty outside of Ray."""
    return os.environ.get("RAY_RAYLET_PID", "")


@dataclass(frozen=True)
class Noting:
    """Makes samples, and leaves a file with the name of its node.

    Attributes:
        marks: where.
        num_nodes: once there is a file "wait" too, samples take until that many nodes have left theirs.
    """

    marks: Path
    num_nodes: int

    def __call__(self, source: Source) -> Sample:
        time.sleep(0.01)
        (self.marks / node()).touch()
        deadline = time.monotonic() + 60
        while (self.marks / "wait").exists() and len(list(self.marks.iterdir())) <= self.num_nodes:
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return make_sample(source)


@dataclass(frozen=True)
class KillsParent:
    """Kills the Ray worker beside it at one source; a callable cannot do more against its engine.

    Attributes:
        number: end of the source's key.
        marks: folder in which it leaves a file, so that it does so only once; every time where None.
    """

    number: str
    marks: Path | None = None

    def __call__(self, source: Source) -> Sample:
        if source.key.endswith(self.number) and not (self.marks and (self.marks / "killed").exists()):
            if self.marks:
                (self.marks / "killed").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)  # the end comes from the lifeline
        return make_sample(source)


@dataclass(frozen=True)
class NotesProcess:
    """Makes samples, and leaves a file with the number of its process."""

    marks: Path

    def __call__(self, source: Source) -> Sample:
        (self.marks / str(os.getpid())).touch()
        return make_sample(source)


class OwnFolder(LocalStore):
    """A folder of which each machine has its own: what the driver writes is not seen by workers."""

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        return {} if node() else super().read_many(names)
