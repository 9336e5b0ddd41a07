"""Callables that end their own process at chosen sources, importable in spawned processes as `tests.shards.killers`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shards.plan import Source
from shards.schema import Sample
from tests.shards.synthetic import SourceError, make_sample


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    sys.exit(3)


def hang() -> None:
    time.sleep(60)


def fill_memory() -> None:
    block = np.ones(600_000_000, dtype=np.uint8)
    time.sleep(60 * int(block[-1]))


def ask_for_too_much() -> None:
    np.empty(1 << 60, dtype=np.uint8)


@dataclass(frozen=True)
class Killer:
    """Makes samples, but does something else first at some sources.

    Attributes:
        deeds: end of a source's key to what is done at it.
        marks: folder in which a deed done leaves a file, so that it is done only once; every time where None.
        told: reasons of sources that fail in the ordinary way: what a run with deaths has to come out like.
    """

    deeds: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    marks: Path | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, source: Source) -> Sample:
        number = source.key[-4:]
        if number in self.deeds and not (self.marks and (self.marks / number).exists()):
            if self.marks:
                (self.marks / number).touch()
            self.deeds[number]()
        if source.relative in self.told:
            raise SourceError(self.told[source.relative])
        return make_sample(source)


class Unloadable:
    """Ends every process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        return os._exit, (7,)

    def __call__(self, source: Source) -> Sample:
        return make_sample(source)
