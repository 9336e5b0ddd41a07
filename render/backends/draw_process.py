"""Inside the draw server's process: it alone holds the device, and draws all that workers wait for as one batch.

A thread for each worker reads requests and copies answers; the main thread draws. It never waits for a batch to fill: while
one is drawn the next gathers by itself, and a device that would idle is better used on few meshes than on none.
"""

import dataclasses
import json
import mmap
import os
import queue
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from render.backends.batch_drawing import DrawBatch, drawn, gathered
from render.backends.draw_channel import BROKEN, DRAW, DRAWN, NEW_MEMORY, REFUSED, Request, receive_memory
from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh

READY, FAILED, STOP = b"R", b"F", b"S"
_LAST_WORDS_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class DrawStatistics:
    """How busy the device was, from the first request to the end of the last batch.

    Attributes:
        num_batches: batches drawn.
        num_meshes: meshes drawn, or refused.
        busy_seconds: spent in the drawing function, its part on the host (projection, copies) included.
        idle_seconds: spent waiting for a request.
    """

    num_batches: int = 0
    num_meshes: int = 0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0

    @property
    def mean_batch(self) -> float:
        """Meshes a batch; 0 if none was drawn."""
        return self.num_meshes / self.num_batches if self.num_batches else 0.0

    @property
    def idle_share(self) -> float:
        """Share of the time that the device idled, 0 to 1; 0 if nothing was drawn."""
        total = self.busy_seconds + self.idle_seconds
        return self.idle_seconds / total if total else 0.0


class _Job:
    """A request on its way through the drawing thread."""

    def __init__(self, mesh: Mesh, cameras: Cameras) -> None:
        self.mesh, self.cameras = mesh, cameras
        self.outcome: Fragments | RenderError | str | None = None  # a text: the server breaks down
        self.is_drawn = threading.Event()
        self.is_answered = threading.Event()

    def finish(self, outcome: Fragments | RenderError | str) -> None:
        self.outcome = outcome
        self.is_drawn.set()


_Jobs = queue.SimpleQueue[_Job | None]  # None: stop


def serve(
    make_drawing: Callable[[], DrawBatch], address: str, authkey: bytes, parent: Connection, max_batch: int
) -> None:
    """Draw until the parent says stop, then tell it the statistics; the target of the server's process.

    Args:
        make_drawing: gives the drawing function; called here, so that the parent never touches the device.
        address: path of the socket to be made, alone in its folder.
        authkey: what a worker must know.
        parent: told READY or FAILED with a reason; says STOP. When it closes, in whatever way, this process ends at once.
        max_batch: meshes drawn at a time at most.
    """
    # A Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: _Jobs = queue.SimpleQueue()
    threading.Thread(target=_obey, args=(parent, jobs, Path(address).parent), daemon=True).start()
    try:
        draw = make_drawing()
    except RenderError as error:
        parent.send_bytes(FAILED + str(error).encode())
        return
    listener = Listener(address, "AF_UNIX", backlog=128, authkey=authkey)
    threading.Thread(target=_accept, args=(listener, jobs), daemon=True).start()
    parent.send_bytes(READY)
    statistics = _draw_until_stopped(draw, jobs, max_batch)
    parent.send_bytes(json.dumps(dataclasses.asdict(statistics)).encode())


def _obey(parent: Connection, jobs: _Jobs, folder: Path) -> None:
    try:
        while True:
            parent.recv_bytes()  # STOP is all that is ever said
            jobs.put(None)
    except (EOFError, OSError):
        shutil.rmtree(folder, ignore_errors=True)  # the parent, whose part this is, may be dead
        os._exit(1)


def _accept(listener: Listener, jobs: _Jobs) -> None:
    while True:
        try:
            connection = listener.accept()
        except (AuthenticationError, EOFError, ConnectionError):
            continue  # not one of ours, or a worker that died while it knocked
        except BaseException:
            traceback.print_exc()
            os._exit(1)  # gone, it is noticed; deaf, it would let workers wait for ever
        threading.Thread(target=_attend, args=(connection, jobs), daemon=True).start()


def _attend(connection: Connection, jobs: _Jobs) -> None:
    """Serve one worker until it closes its end."""
    memory: mmap.mmap | None = None
    with connection:
        try:
            while True:
                message = connection.recv_bytes()
                if message[:1] == NEW_MEMORY:
                    memory = receive_memory(connection)
                elif message[:1] == DRAW and memory is not None:
                    _answer(connection, memory, Request.from_bytes(message[1:]), jobs)
                else:
                    return
        except (EOFError, ConnectionError):
            return  # the worker is done, or dead; its engine knows which


def _answer(connection: Connection, memory: mmap.mmap, request: Request, jobs: _Jobs) -> None:
    arrays = request.arrays(memory)
    try:
        projection = "parallel" if request.parallel else "perspective"
        cameras = Cameras(arrays["poses"], arrays["intrinsics"], projection, request.image_size)  # type: ignore[arg-type]
    except RenderError as error:
        connection.send_bytes(REFUSED + str(error).encode())
        return
    job = _Job(Mesh(arrays["vertices"], arrays["faces"]), cameras)
    jobs.put(job)
    job.is_drawn.wait()
    try:
        if isinstance(job.outcome, Fragments):
            arrays["face"][:], arrays["depth"][:] = job.outcome.face, job.outcome.depth
            connection.send_bytes(DRAWN)
        elif isinstance(job.outcome, RenderError):
            connection.send_bytes(REFUSED + str(job.outcome).encode())
        else:
            connection.send_bytes(BROKEN + str(job.outcome).encode())
    finally:
        job.is_answered.set()


def _draw_until_stopped(draw: DrawBatch, jobs: _Jobs, max_batch: int) -> DrawStatistics:
    statistics, last_drawn_at = DrawStatistics(), 0.0
    while batch := gathered(jobs, max_batch):
        began_at = time.monotonic()
        num_meshes = len(batch)
        _draw(draw, batch, jobs)
        del batch  # and with it the arrays of the answers, which may be pinned
        ended_at = time.monotonic()
        idle = began_at - last_drawn_at if statistics.num_batches else 0.0
        statistics = DrawStatistics(
            statistics.num_batches + 1,
            statistics.num_meshes + num_meshes,
            statistics.busy_seconds + ended_at - began_at,
            statistics.idle_seconds + idle,
        )
        last_drawn_at = ended_at
    return statistics


def _draw(draw: DrawBatch, batch: Sequence[_Job], jobs: _Jobs) -> None:
    try:
        outcomes = drawn(draw, [(job.mesh, job.cameras) for job in batch])
    except BaseException as error:
        _break_down(error, batch, jobs)
        raise
    for job, outcome in zip(batch, outcomes, strict=True):
        job.finish(outcome)


def _break_down(error: BaseException, batch: Sequence[_Job], jobs: _Jobs) -> None:
    """Tell every worker that waits why the server ends; later ones find it gone."""
    reason = f"{type(error).__name__}: {error}"
    waiting = list(batch)
    while not jobs.empty():
        job = jobs.get()
        waiting += [job] if job is not None else []
    for job in waiting:
        job.finish(reason)
    until = time.monotonic() + _LAST_WORDS_SECONDS
    for job in waiting:
        job.is_answered.wait(max(until - time.monotonic(), 0.0))
