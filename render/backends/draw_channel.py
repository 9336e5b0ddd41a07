"""How a worker hands a mesh to the draw server and gets its fragments: arrays in shared memory, small messages on a socket.

Each connection has a block of memory that both ends map, laid out anew for each request: vertices, faces, poses, intrinsics,
then face and depth of the answer. It has no name: the worker opens it and passes its descriptor through the socket, so it is
gone with the two processes however they end. Nothing that arrives is unpickled.
"""

import dataclasses
import mmap
import os
import struct
import tempfile
import threading
from multiprocessing import reduction
from multiprocessing.connection import Client, Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh

NEW_MEMORY, DRAW = b"M", b"D"  # what a worker says first
DRAWN, REFUSED, BROKEN = b"+", b"-", b"!"  # what the server answers first
_ALIGNMENT = 64


class DrawServerDied(RuntimeError):  # noqa: N818  # what has happened, as BrokenPipeError and the like say it
    """The draw server is gone. No fault of the mesh and so no RenderError: the run must end, not record failed meshes."""


@dataclasses.dataclass(frozen=True)
class Request:
    """The counts from which both ends know where each array lies."""

    num_vertices: int
    num_faces: int
    num_views: int
    image_size: int
    parallel: bool

    _FORMAT = struct.Struct("<4q?")

    @classmethod
    def of(cls, mesh: Mesh, cameras: Cameras) -> "Request":
        """The request for a mesh in the views of cameras."""
        return cls(
            len(mesh.vertices), len(mesh.faces), cameras.num_views, cameras.image_size, cameras.projection == "parallel"
        )

    def to_bytes(self) -> bytes:
        """For the socket."""
        return self._FORMAT.pack(*dataclasses.astuple(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Request":
        """From the socket."""
        return cls(*cls._FORMAT.unpack(content))

    def layout(self) -> dict[str, tuple[int, tuple[int, ...], type[np.generic]]]:
        """Offset in bytes, shape and dtype of each array. What is float32 in cameras is float64 here, without a change."""
        views = (self.num_views, self.image_size, self.image_size)
        arrays: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "vertices": ((self.num_vertices, 3), np.float64),
            "faces": ((self.num_faces, 3), np.int64),
            "poses": ((self.num_views, 4, 4), np.float64),
            "intrinsics": ((self.num_views, 3, 3), np.float64),
            "face": (views, np.int32),
            "depth": (views, np.float32),
            "end": ((0,), np.uint8),
        }
        placed, offset = {}, 0
        for name, (shape, dtype) in arrays.items():
            placed[name] = (offset, shape, dtype)
            offset += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // _ALIGNMENT) * _ALIGNMENT
        return placed

    def num_bytes(self) -> int:
        """The memory that the request and its answer take."""
        return self.layout()["end"][0]

    def arrays(self, memory: mmap.mmap) -> dict[str, npt.NDArray[Any]]:
        """The arrays as views of the memory."""
        return {
            name: np.ndarray(shape, dtype, memory, offset)
            for name, (offset, shape, dtype) in self.layout().items()
            if name != "end"
        }


class RemoteRasterizer:
    """A rasterizer that lets the draw server draw; it pickles to workers, and connects from each thread on first use.

    Only shape and place of a mesh travel, not its appearance.
    """

    def __init__(self, address: str, authkey: bytes) -> None:
        self._address, self._authkey = address, authkey
        self._channels = threading.local()

    def __reduce__(self) -> tuple[type["RemoteRasterizer"], tuple[str, bytes]]:
        return RemoteRasterizer, (self._address, self._authkey)

    def __call__(self, mesh: Mesh, cameras: Cameras, /) -> Fragments:
        """Fragments as the server's backend draws them.

        Raises:
            RenderError: the mesh cannot be drawn.
            DrawServerDied: the server is gone.
        """
        channel: _Channel | None = getattr(self._channels, "channel", None)
        if channel is None:
            channel = self._channels.channel = _Channel(self._address, self._authkey)
        try:
            return channel.draw(mesh, cameras)
        except RenderError:
            raise
        except (
            BaseException
        ):  # Ctrl-C while waiting, too: the answer to this request must not be taken for the next one's
            del self._channels.channel
            channel.close()
            raise


class _Channel:
    """One connection and its memory."""

    def __init__(self, address: str, authkey: bytes) -> None:
        try:
            self._connection = Client(address, "AF_UNIX", authkey=authkey)
        except (OSError, EOFError) as error:
            raise DrawServerDied(f"the draw server is gone: {error}; start the run anew with --resume") from error
        self._memory: mmap.mmap | None = None

    def close(self) -> None:
        self._connection.close()

    def draw(self, mesh: Mesh, cameras: Cameras) -> Fragments:
        request = Request.of(mesh, cameras)
        arrays = request.arrays(self._memory_of(request.num_bytes()))
        arrays["vertices"][:], arrays["faces"][:] = mesh.vertices, mesh.faces
        arrays["poses"][:], arrays["intrinsics"][:] = cameras.world_to_camera, cameras.intrinsics
        answer = self._asked(DRAW + request.to_bytes())
        kind, text = answer[:1], answer[1:].decode()
        if kind == REFUSED:
            raise RenderError(text)
        if kind != DRAWN:
            raise DrawServerDied(f"the draw server died: {text}")
        return Fragments(arrays["face"].copy(), arrays["depth"].copy())  # the memory serves the next request

    def _asked(self, message: bytes) -> bytes:
        try:
            self._connection.send_bytes(message)
            return self._connection.recv_bytes()
        except (OSError, EOFError) as error:
            raise DrawServerDied(
                "the draw server died without a word (killed, out of memory, or crashed in native code); finished shards "
                "are kept: go on with --resume"
            ) from error

    def _memory_of(self, num_bytes: int) -> mmap.mmap:
        """At least that much memory, known to the server."""
        if self._memory is None or len(self._memory) < num_bytes:
            size = max(num_bytes, 2 * len(self._memory) if self._memory is not None else 0)
            descriptor = _anonymous_file()
            try:
                os.ftruncate(descriptor, size)
                self._memory = mmap.mmap(descriptor, size)
                self._send_descriptor(descriptor)
            finally:
                os.close(descriptor)
        return self._memory

    def _send_descriptor(self, descriptor: int) -> None:
        try:
            self._connection.send_bytes(NEW_MEMORY)
            reduction.send_handle(self._connection, descriptor, None)
        except OSError as error:
            raise DrawServerDied(f"the draw server is gone: {error}; start the run anew with --resume") from error


def receive_memory(connection: Connection) -> mmap.mmap:
    """The memory that follows a NEW_MEMORY, mapped."""
    descriptor = reduction.recv_handle(connection)
    try:
        return mmap.mmap(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _anonymous_file() -> int:
    """The descriptor of an empty file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("draw")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
