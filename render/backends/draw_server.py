"""One process that owns the device and draws for many workers, so that they read, sample and encode in the meantime."""

import contextlib
import dataclasses
import json
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from render.backends.batch_drawing import DrawBatch
from render.backends.draw_channel import DrawServerDied, RemoteRasterizer
from render.backends.draw_process import FAILED, STOP, DrawStatistics, serve
from render.errors import RenderError

MAX_BATCH = 32
_LONGEST_ADDRESS = 100  # bytes; a socket's name has room for 104 or 108
_KILL_SECONDS = 5.0


class DrawServer:
    """A process that draws; a context manager around the work that needs it.

        with DrawServer(functools.partial(load_batch_drawing, "pytorch3d")) as server:
            ...  # hand server.rasterizer to the workers
        server.statistics.idle_share

    On the way out of an error the process is killed. It ends by itself when this process dies, however it dies.

    Args:
        make_drawing: picklable; called in the server's process for the function that draws a batch.
        max_batch: meshes drawn at a time at most.
    """

    def __init__(self, make_drawing: Callable[[], DrawBatch], max_batch: int = MAX_BATCH) -> None:
        if max_batch < 1:
            raise RenderError(f"draw server: a batch of {max_batch} meshes; it must be 1 at least")
        self._make_drawing, self._max_batch = make_drawing, max_batch
        self._running: _Running | None = None
        self.statistics = DrawStatistics()

    def __enter__(self) -> Self:
        """Start the process and wait until it can draw.

        Raises:
            RenderError: the backend cannot be loaded, or the temporary folder's name is too long for a socket.
            DrawServerDied: the process died over it.
        """
        self._running = _started(self._make_drawing, self._max_batch)
        try:
            greeting = self._running.heard()
            if greeting[:1] == FAILED:
                raise RenderError(greeting[1:].decode())
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._kill()

    @property
    def rasterizer(self) -> RemoteRasterizer:
        """What workers draw with; picklable."""
        if self._running is None:
            raise RuntimeError("the draw server is not running; use it inside its with statement")
        return RemoteRasterizer(self._running.address, self._running.authkey)

    def stop(self) -> DrawStatistics:
        """End the process once it has drawn what waits.

        Returns:
            The statistics, which `statistics` keeps.

        Raises:
            DrawServerDied: it is dead already.
        """
        if self._running is not None:
            try:
                self.statistics = DrawStatistics(**json.loads(self._running.asked(STOP)))
            finally:
                self._kill()
        return self.statistics

    def _kill(self) -> None:
        if self._running is not None:
            self._running.remove()
            self._running = None


@dataclasses.dataclass(frozen=True)
class _Running:
    """The process, and what it needs of this one."""

    folder: Path
    address: str
    authkey: bytes = dataclasses.field(repr=False)
    process: SpawnProcess
    parent_end: Connection

    def asked(self, message: bytes) -> bytes:
        """What the process answers."""
        with contextlib.suppress(BrokenPipeError):  # dead: heard() tells it
            self.parent_end.send_bytes(message)
        return self.heard()

    def heard(self) -> bytes:
        """What the process says next."""
        wait([self.parent_end, self.process.sentinel])
        try:
            return self.parent_end.recv_bytes()
        except (OSError, EOFError) as error:
            self.process.join(_KILL_SECONDS)
            raise DrawServerDied(
                f"the draw server died (exit code {self.process.exitcode}); its own message, if it had time for one, is above"
            ) from error

    def remove(self) -> None:
        """Leave nothing of it, whatever state it is in."""
        self.parent_end.close()  # it ends by that alone, unless native code holds it
        self.process.join(_KILL_SECONDS)
        self.process.kill()
        self.process.join()
        self.process.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _started(make_drawing: Callable[[], DrawBatch], max_batch: int) -> _Running:
    folder = Path(tempfile.mkdtemp(prefix="draw-"))  # none but this user may enter it
    address = str(folder / "socket")
    if len(address.encode()) > _LONGEST_ADDRESS:
        folder.rmdir()
        raise RenderError(
            f"draw server: {address} is too long for a socket; set TMPDIR to a folder with a shorter name"
        )
    context = get_context("spawn")
    parent_end, child_end = context.Pipe()
    authkey = secrets.token_bytes(32)
    arguments = (make_drawing, address, authkey, child_end, max_batch)
    process = context.Process(target=serve, args=arguments, name="draw server", daemon=True)
    # Ctrl-C is held back while the process is spawned, which inherits this; else it would print a traceback.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
        return _Running(folder, address, authkey, process, parent_end)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        child_end.close()
