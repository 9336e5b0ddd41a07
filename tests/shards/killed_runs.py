"""Runs that are started to be killed, what they leave, and how to tell that nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from shards.build import BuildOptions, BuildReport, build_shards
from shards.index import decode_index
from shards.record import decode_record
from tests.shards.build_script import CONFIG
from tests.shards.synthetic import contents, make_sample, make_sources
from tests.shards.test_engine import ROOT, members_of_group, wait_until


@dataclass(frozen=True)
class Run:
    """A run that is killed: what it makes, and in how many shards."""

    make_sample: str
    num_train: int
    per_shard: int
    options: tuple[str, ...] = ()

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """In a process group of its own, with two workers."""
        command = [sys.executable, "-m", "tests.shards.build_script", str(folder), "2", self.make_sample]
        command += ["--sources", str(self.num_train), "--per-shard", str(self.per_shard), *self.options]
        return subprocess.Popen(command, cwd=ROOT, stdout=PIPE, stderr=DEVNULL, start_new_session=True)

    def finish(self, folder: Path, **options: Any) -> BuildReport:
        """Goes on with the set, in this process, without a sleep."""
        options = {"samples_per_shard": self.per_shard, "num_workers": 0, "resume": True, **options}
        return build_shards(make_sources(self.num_train, 8), make_sample, folder, CONFIG, BuildOptions(**options))


AT_SAMPLES = Run("slow_sample", 60, 6)
"""Most of its time goes into samples."""

AT_FILES = Run("make_sample", 600, 2)
"""Most of its time goes into writing and syncing the files of 304 shards."""


@dataclass
class Left:
    """What the killed runs had left, counted; printed by the slow tests."""

    num_seen: int = 0
    found: Counter[str] = field(default_factory=Counter)

    def look(self, folder: Path) -> None:
        """Counts what there is, and makes sure that whatever a record vouches for is whole."""
        self.num_seen += 1
        files = contents(folder) if folder.exists() else {}
        self.found["drafts"] += any(".tmp-" in name for name in files)
        stems = {name.partition(".")[0] for name in files if not name.startswith((".", "manifest"))}
        for stem in stems:
            tar, index, record = (files.get(stem + suffix) for suffix in (".tar", ".idx", ".json"))
            self.found["tar alone"] += index is None
            self.found["tar and index, no record"] += index is not None and record is None
            if record is not None:
                assert tar is not None
                assert index is not None
                told = decode_record(record, stem)
                assert told.sha256 == hashlib.sha256(tar).hexdigest()
                assert told.count == len(decode_index(index, stem))
        self.found["nothing" if not stems else "some shards"] += 1


@dataclass(frozen=True)
class Reference:
    """What a run writes when nobody kills it, and how many seconds it takes."""

    files: dict[str, bytes]
    seconds: float


def unbroken(folder: Path, run: Run) -> Reference:
    begin = time.monotonic()
    assert run.start(folder).wait() == 0
    return Reference(contents(folder), time.monotonic() - begin)


def is_working(process: subprocess.Popen[bytes]) -> bool:
    """Waits for the first sample that is made; False where the run ended without one."""
    assert process.stdout is not None
    return process.stdout.readline() == b"working\n"


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kills the whole process group; False where it had ended well by then."""
    try:
        assert process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not members_of_group(process.pid))
        return True
    return False


def kill_a_worker(process: subprocess.Popen[bytes], luck: random.Random) -> bool:
    """Kills one of a run's workers; False where there is none."""
    # The run or the worker may end while it is looked at.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        # Not multiprocessing's own resource tracker.
        workers = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
        if workers:
            os.kill(int(luck.choice(workers)), signal.SIGKILL)
            return True
    return False


def killed_at_step(step: int, folder: Path, build: Callable[[], object]) -> bool:
    """Lets a copy of this process build, and kill itself before its step-th opening, renaming or removing of a file."""
    process_id = os.fork()
    if process_id:
        return os.WIFSIGNALED(os.waitpid(process_id, 0)[1])
    steps = itertools.count()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        in_set = event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(str(folder))
        if in_set and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        build()
    finally:
        os._exit(0)
