"""Size, pieces and whole uploads of one remote file, each as a single try."""

from __future__ import annotations

import contextlib
from typing import IO, Any

from shards.stores.remote_system import S3, WITH_BUCKETS, RemoteSystem

PIECE_BYTES = 1 << 23
"""An upload is handed over in pieces of this size; S3 gets a file of two and more of them in parts."""

NUM_PARTS_AT_ONCE = 4
LARGEST_NUM_PARTS = 10_000
"""That S3 takes for one file."""


def file_size(remote: RemoteSystem) -> int | None:
    """Size of the file; None where there is none."""
    remote.system.invalidate_cache(remote.path.rpartition("/")[0])
    try:
        info = remote.call("info", remote.path)
    except FileNotFoundError:
        return None
    return int(info["size"]) if info["type"] == "file" else None


def fetch_piece(remote: RemoteSystem, start: int, end: int) -> bytes:
    """A piece of the file, which has to come whole."""
    if start >= end:
        return b""
    data = bytes(remote.call("cat_file", remote.path, start=start, end=end))
    if len(data) != end - start:
        raise ConnectionError(f"{len(data)} of {end - start} bytes arrived")
    return data


def send_file(remote: RemoteSystem, stream: IO[bytes], num_bytes: int) -> None:
    """Uploads an open file as a whole."""
    if remote.protocol in WITH_BUCKETS:
        options: dict[str, Any] = {}
        if remote.protocol in S3:
            part_bytes = max(PIECE_BYTES, -(-num_bytes // LARGEST_NUM_PARTS))
            options = {"chunksize": part_bytes, "max_concurrency": NUM_PARTS_AT_ONCE}
        # By the descriptor's own path: the file has no other.
        remote.call("put_file", f"/dev/fd/{stream.fileno()}", remote.path, **options)
        return
    stream.seek(0)
    target = remote.system.open(remote.path, "wb")
    try:
        while piece := stream.read(PIECE_BYTES):
            target.write(piece)
    except BaseException:
        # Closing would make a file of what has arrived.
        if hasattr(target, "discard"):
            target.discard()
        with contextlib.suppress(AttributeError):  # files in memory are closed by nature
            target.closed = True
        raise
    target.close()
