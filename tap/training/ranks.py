"""The processes of one run share one fate: where one fails, all end soon, and its own error is told once.

The process that fails first claims a file that all of a machine see; the others find it when they are cut off, and a thread
ends those that the loss of the first does not wake (NCCL waits on).
"""

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tap.errors import TapError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

WATCH_SECONDS, GRACE_SECONDS, CLAIM_SECONDS = 1.0, 10.0, 3.0
CUT_OFF = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


class PeerError(TapError):
    """Another process of the run has failed; the message is that of its error, which that process tells."""


class Fate:
    """What became of a run's processes on this machine.

    Args:
        folder: the same for all of them, and of no other run; made where it is missing.
        rank: of this process.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.folder, self.rank = folder, rank
        self._member = folder / f"member{rank}"
        folder.mkdir(parents=True, exist_ok=True)
        self._member.touch()

    def leave(self) -> None:
        """Forgets this process; the last one removes the folder."""
        self._member.unlink(missing_ok=True)
        if not any(self.folder.glob("member*")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def claim(self, error: BaseException) -> bool:
        """Whether this process is the first to fail; the others then learn of its error."""
        own = self.folder / f"{self.rank}.txt"
        try:
            own.write_text(f"{self.rank} {str(error) or type(error).__name__}", encoding="utf-8")
            os.link(own, self._claimed)  # whole or not at all, and only once
        except FileExistsError:
            return self._owner() == self.rank
        except OSError:  # no room even for this: better told twice than not at all
            return True
        return True

    def first_error(self, patience: float = 0.0) -> str | None:
        """The error of another process that failed before this one; None where there is none after so many seconds."""
        until = time.monotonic() + patience
        while True:
            if self._claimed.exists() and self._owner() != self.rank:
                return self._claimed.read_text(encoding="utf-8").partition(" ")[2]
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)

    def watch(self) -> None:
        """Ends this process, in a thread of its own, when another has failed or gone and this one does not notice."""
        threading.Thread(target=self._watch, args=(os.getppid(),), daemon=True, name="one-fate").start()

    def _watch(self, parent: int) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            if self.rank > 0 and os.getppid() != parent:  # the process that started this one was killed
                os._exit(1)
            if self._claimed.exists() and self._owner() != self.rank:
                time.sleep(GRACE_SECONDS)
                os._exit(1)

    @property
    def _claimed(self) -> Path:
        return self.folder / "failed"

    def _owner(self) -> int:
        return int(self._claimed.read_text(encoding="utf-8").partition(" ")[0])


_fates: list[Fate] = []  # of the run that this process takes part in, if it is one of several


def join(fabric: "Fabric") -> None:
    """Has the processes of a launched Fabric end together from now on; nothing where there is one."""
    _fates.clear()
    if fabric.world_size == 1:
        return
    folder: Path = fabric.broadcast(Path(tempfile.mkdtemp(prefix="tap-run-")) if fabric.is_global_zero else None)
    fate = Fate(folder, fabric.global_rank)
    atexit.register(fate.leave)
    _fates.append(fate)
    fate.watch()
    fabric.barrier()  # nobody leaves before all are members


@contextlib.contextmanager
def one_fate() -> Iterator[None]:
    """An error of a run of several processes as it was where it came first, and as `PeerError` in the others.

    Raises:
        PeerError: this process was cut off because another has failed.
        TapError: another was killed.
    """
    try:
        yield
    except BaseException as error:
        if not _fates or isinstance(error, PeerError):
            raise
        cut_off = isinstance(error, RuntimeError) and any(sign in str(error) for sign in CUT_OFF)
        told = _fates[0].first_error(CLAIM_SECONDS if cut_off else 0.0)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            _fates[0].claim(error)
            raise
        if told is None and cut_off:
            gone = TapError("another process of this run has ended without a word: killed, or out of memory; --resume")
            error, told = gone, None if _fates[0].claim(gone) else str(gone)
        elif told is None and not _fates[0].claim(error):
            told = _fates[0].first_error() or str(error)
        if told is not None:
            raise PeerError(told) from None
        raise error


def end(code: int) -> None:
    """Ends a process that has failed as one of several, after its exit handlers; does nothing in one that runs alone.

    Threads of its process group may still hold tensors of the collective that the failure cut off. The interpreter must not be
    taken down under them: they would abort the process with a line of their own (pytorch issue 190489).
    """
    if _fates:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def is_first_process() -> bool:
    """Whether this process is the only or the first one of its run, by what torchrun or Fabric has put into its environment."""
    if num_launched() is not None:
        return int(os.environ["RANK"]) == 0
    by_fabric = {"NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys()
    return not by_fabric or int(os.environ["LOCAL_RANK"]) == 0


def speaks_for_its_machine() -> bool:
    """Whether this process is to tell an error that it raises.

    In a run of several that are joined each error is raised in one process alone, so that one tells it. Before they are,
    torchrun's processes fail alike, so one on each machine does; one that Fabric has started follows one that has not failed.
    """
    return bool(_fates) or num_launched() is None or int(os.environ["LOCAL_RANK"]) == 0


def num_launched() -> int | None:
    """How many processes torchrun has started for this run; None where it was not started by torchrun."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else None
