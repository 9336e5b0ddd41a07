"""A set behind any fsspec URL, such as s3:// or gs://: whole uploads, retries, and no trust in what a store says it took."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeVar

import fsspec

from shards.errors import ShardError

NUM_TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
"""Pauses between tries double from here; the store's own package has its retries below them."""

PIECE_BYTES = 1 << 23
"""An upload is handed over in pieces of this size."""

_HOPELESS = (FileNotFoundError, PermissionError, NotADirectoryError, NotImplementedError, ImportError)
"""What a second try would not change."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class RemoteStore:
    """A folder of an object store or another file system that fsspec knows; see `shards.store.Store`.

    Credentials and endpoint are those of the environment (AWS_ENDPOINT_URL, FSSPEC_..., config files), never of the URL.
    Nothing keeps a second run out: object stores have no locks. Two runs of one job would write equal bytes.
    """

    location: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", self.location.rstrip("/"))
        self._system()  # a protocol that is unknown or not installed is told at once

    def path(self, name: str) -> str:
        """See Store."""
        return f"{self.location}/{name}"

    def sizes(self) -> dict[str, int]:
        """See Store."""

        def listed(system: Any, folder: str) -> list[dict[str, Any]]:
            system.invalidate_cache(folder)
            try:
                return list(system.ls(folder, detail=True))
            except FileNotFoundError:
                return []

        entries = self._tried(listed, "", "cannot be listed")
        found = {entry["name"].rsplit("/", 1)[-1]: int(entry["size"]) for entry in entries if entry["type"] == "file"}
        return dict(sorted(found.items()))

    def size(self, name: str) -> int | None:
        """See Store."""

        def asked(system: Any, path: str) -> int | None:
            system.invalidate_cache(path.rsplit("/", 1)[0])
            try:
                return int(system.info(path)["size"])
            except FileNotFoundError:
                return None

        return self._tried(asked, name, "cannot be looked at")

    def read(self, name: str) -> bytes:
        """See Store."""
        return self._tried(lambda system, path: bytes(system.cat_file(path)), name, "cannot be read")

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """See Store; the files are fetched side by side."""
        present = self.sizes().keys() & set(names)
        wanted = [name for name in names if name in present]
        if not wanted:
            return {}

        def fetched(system: Any, folder: str) -> dict[str, bytes]:
            # One name alone would come back as bytes without its path.
            content = system.cat([f"{folder}/{name}" for name in wanted], on_error="raise")
            return {path.rsplit("/", 1)[-1]: bytes(data) for path, data in content.items()}

        return self._tried(fetched, "", "records cannot be read")

    def open(self, name: str) -> RemoteFile:
        """See Store."""
        size = self.size(name)
        if size is None:
            raise ShardError(f"{self.path(name)}: cannot be opened: no such file")
        return RemoteFile(self, name, size)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a file. Raises ShardError."""
        if start >= end:
            return b""
        return self._tried(
            lambda system, path: bytes(system.cat_file(path, start=start, end=end)), name, "cannot be read"
        )

    def put(self, name: str, data: bytes) -> None:
        """See Store."""
        with self.draft(name) as draft:
            draft.write(data)
            draft.commit()

    @contextmanager
    def draft(self, name: str) -> Iterator[RemoteDraft]:
        """See Store; the draft is a nameless local file, so that a broken upload can be done again as a whole."""
        with RemoteDraft(self, name) as draft:
            yield draft

    def remove(self, name: str) -> None:
        """See Store."""

        def removed(system: Any, path: str) -> None:
            try:
                system.rm_file(path)
            except FileNotFoundError:
                return

        self._tried(removed, name, "cannot be removed")

    def unfinished(self, process_id: int | None = None) -> list[str]:
        """See Store; an upload that was cut short leaves no file."""
        return []

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """See Store; nothing can be held here, but a store that refuses to be written is told before the work."""

        def made(system: Any, folder: str) -> None:
            system.makedirs(folder, exist_ok=True)

        self._tried(made, "", "cannot be made")
        yield

    def upload(self, name: str, stream: IO[bytes], num_bytes: int) -> None:
        """Puts a whole stream at `name`, and asks the store how much it has."""

        def sent(system: Any, path: str) -> None:
            stream.seek(0)
            target = system.open(path, "wb")
            try:
                while piece := stream.read(PIECE_BYTES):
                    target.write(piece)
            except BaseException:
                # Closing would make a file of what has arrived.
                target.discard() if hasattr(target, "discard") else None
                target.closed = True
                raise
            target.close()
            system.invalidate_cache(path.rsplit("/", 1)[0])
            arrived = int(system.info(path)["size"])
            if arrived != num_bytes:
                raise OSError(f"{arrived} of {num_bytes} bytes arrived")

        self._tried(sent, name, "cannot be written", "; what was finished before is kept: go on with --resume")

    def _tried(self, action: Callable[[Any, str], ResultT], name: str, failure: str, advice: str = "") -> ResultT:
        """The result of an action on (file system, path), tried again after errors that may pass."""
        system, folder = self._system()
        path = f"{folder}/{name}" if name else folder
        for number in range(NUM_TRIES):
            try:
                return action(system, path)
            except Exception as error:  # each package has its own errors for a network that fails
                if isinstance(error, _HOPELESS) or number == NUM_TRIES - 1:
                    what = " ".join(str(error).split()) or type(error).__name__
                    raise ShardError(
                        f"{self.path(name) if name else self.location}: {failure}: {what}{advice}"
                    ) from error
                time.sleep(FIRST_PAUSE_SECONDS * 2**number)
        raise AssertionError("the last try returns or raises")

    def _system(self) -> tuple[Any, str]:
        """The file system, made in the process and thread that uses it, and the folder's path in it."""
        try:
            system, folder = fsspec.core.url_to_fs(self.location)
        except (ImportError, ValueError) as error:
            protocol = self.location.partition("://")[0]
            raise ShardError(
                f"{self.location}: no way to open {protocol}:// here ({error}); for s3: pip install 'tap3d[s3]'"
            ) from error
        return system, str(folder).rstrip("/")


class RemoteFile:
    """A remote file, each piece of which is a request; see `shards.store.RandomFile`."""

    def __init__(self, store: RemoteStore, name: str, size: int) -> None:
        self._store, self._name, self.size = store, name, size

    def pread(self, offset: int, num_bytes: int) -> bytes:
        """See RandomFile."""
        return self._store.read_range(self._name, offset, min(offset + num_bytes, self.size))

    def close(self) -> None:
        """See RandomFile; nothing is open between two requests."""


class RemoteDraft:
    """A file on its way to a store; see `shards.store.Draft`."""

    def __init__(self, store: RemoteStore, name: str) -> None:
        self._store, self._name = store, name
        self._num_bytes = 0
        self._stream: IO[bytes]

    def __enter__(self) -> RemoteDraft:
        try:
            self._stream = tempfile.TemporaryFile()  # closed by __exit__; nameless, so nothing can remain
        except OSError as error:
            raise self._no_room(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def write(self, data: bytes, /) -> None:
        """See Draft."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise self._no_room(error) from error
        self._num_bytes += len(data)

    def commit(self) -> None:
        """See Draft."""
        self._store.upload(self._name, self._stream, self._num_bytes)

    def _no_room(self, error: OSError) -> ShardError:
        return ShardError(
            f"{tempfile.gettempdir()}: cannot hold {self._name} on its way to {self._store.location}: "
            f"{error.strerror or error}; make room or set TMPDIR, and go on with --resume"
        )
