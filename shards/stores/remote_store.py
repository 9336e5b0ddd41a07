"""A set behind any fsspec URL, such as s3:// or gs://: whole uploads, retries, and no trust in what a store says it took."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from shards.errors import ShardError
from shards.stores.remote_system import WITH_BUCKETS, RemoteSystem, asked, code_of, open_system
from shards.stores.transfer import fetch_piece, file_size, send_file

NUM_FILES_AT_ONCE = 1000
"""Small files of one try: the others need not be fetched again when it fails."""

GAP_BYTES = 1 << 20
"""A request's wait is as long as the way of about so many bytes."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class RemoteStore:
    """A folder of an object store or another file system that fsspec knows; see `shards.stores.store.Store`.

    Credentials and endpoint are those of the environment (AWS_ENDPOINT_URL, FSSPEC_..., config files), never of the URL.
    Nothing keeps a second run out: object stores have no locks. Two runs of one job would write equal bytes. S3 compares
    each upload with the checksum that botocore sends along; for any store, the size is asked afterwards. File systems
    that have no whole uploads, such as sftp://, show a file while it is written; that the record comes last is what
    tells a finished shard there.

    Nothing is kept open: a store that was pickled or came along in a fork opens its own connections.
    """

    location: str

    def __post_init__(self) -> None:
        location = self.location.rstrip("/")
        object.__setattr__(self, "location", f"{location}//" if location.endswith(":") else location)
        open_system(self.location)  # a protocol that is unknown or not installed is told at once

    def path(self, name: str) -> str:
        """See Store."""
        return f"{self.location.rstrip('/')}/{name}" if not self.location.endswith("://") else f"{self.location}{name}"

    def sizes(self) -> dict[str, int]:
        """See Store; markers of folders, and what lies deeper, are left out."""

        def listed(remote: RemoteSystem) -> list[dict[str, Any]]:
            remote.system.invalidate_cache(remote.path)
            try:
                entries = remote.call("ls", remote.path, detail=True)
            except FileNotFoundError:
                return []
            # A URL of a file would be answered with that file.
            return [entry for entry in entries if entry["type"] == "file" and entry["name"].rstrip("/") != remote.path]

        entries = self._asked("", listed, "cannot be listed")
        found = {entry["name"].rsplit("/", 1)[-1]: int(entry["size"] or 0) for entry in entries}
        return dict(sorted(found.items()))

    def size(self, name: str) -> int | None:
        """See Store."""
        return self._asked(name, file_size, "cannot be looked at")

    def read(self, name: str) -> bytes:
        """See Store."""

        def fetched(remote: RemoteSystem) -> bytes:
            size = file_size(remote)
            if size is None:
                raise FileNotFoundError("no such file")
            return fetch_piece(remote, 0, size)

        return self._asked(name, fetched, "cannot be read")

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """See Store; the files are fetched side by side, and only those that failed are fetched again."""
        sizes = self.sizes()
        wanted = [name for name in dict.fromkeys(names) if name in sizes]
        found: dict[str, bytes] = {}

        def fetch(remote: RemoteSystem) -> None:
            left = [name for name in chunk if name not in found]
            paths = [f"{remote.path}/{name}" for name in left]
            ends = [sizes[name] for name in left]
            answers = remote.call("cat_ranges", paths, [0] * len(left), ends, on_error="return")
            failed: list[Exception] = []
            for name, answer in zip(left, answers, strict=True):
                if isinstance(answer, Exception):
                    failed.append(answer)
                elif len(answer) != sizes[name]:
                    failed.append(ConnectionError(f"{len(answer)} of {sizes[name]} bytes of {name} arrived"))
                else:
                    found[name] = bytes(answer)
            if failed:
                raise failed[0]

        for begin in range(0, len(wanted), NUM_FILES_AT_ONCE):
            chunk = [name for name in wanted[begin : begin + NUM_FILES_AT_ONCE] if sizes[name]]
            if chunk:
                self._asked("", fetch, "records cannot be read", sum(sizes[name] for name in chunk))
        return {name: found.get(name, b"") for name in wanted}

    def open(self, name: str) -> RemoteFile:
        """See Store."""
        size = self.size(name)
        if size is None:
            raise ShardError(f"{self.path(name)}: cannot be opened: no such file")
        return RemoteFile(self, name, size)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a file that has so many. Raises ShardError."""
        return self._asked(name, lambda remote: fetch_piece(remote, start, end), "cannot be read", end - start)

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

        def removed(remote: RemoteSystem) -> None:
            try:
                remote.call("rm_file", remote.path)
            except FileNotFoundError:
                return

        self._asked(name, removed, "cannot be removed")

    def unfinished(self, process_id: int | None = None) -> list[str]:
        """See Store; an upload that was cut short leaves no file."""
        return []

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """See Store; nothing can be held here. A bucket has to be there: one that a slip of the pen names is not made."""

        def made(remote: RemoteSystem) -> None:
            if remote.protocol in WITH_BUCKETS:
                bucket = remote.path.partition("/")[0]
                try:
                    remote.call("info", bucket)
                except FileNotFoundError as error:
                    raise FileNotFoundError(f"there is no bucket {bucket}; make it first") from error
            else:
                remote.call("makedirs", remote.path, exist_ok=True)

        self._asked("", made, "cannot be written")
        yield

    def upload(self, name: str, stream: IO[bytes], num_bytes: int) -> None:
        """Puts a whole open file at `name`, and asks the store how much it has. Raises ShardError."""

        def sent(remote: RemoteSystem) -> None:
            try:
                send_file(remote, stream, num_bytes)
                arrived = file_size(remote)
            except FileNotFoundError as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                # NoSuchUpload: the parts were joined, and the answer that said so was lost.
                raise ConnectionError(f"the upload came to nothing: {error}") from error
            if arrived != num_bytes:
                raise ConnectionError(f"{arrived or 0} of {num_bytes} bytes arrived")

        advice = "; what was finished before is kept: go on with --resume"
        self._asked(name, sent, "cannot be written", num_bytes, advice)

    def _asked(
        self,
        name: str,
        request: Callable[[RemoteSystem], ResultT],
        failure: str,
        num_bytes: int = 0,
        advice: str = "",
    ) -> ResultT:
        """What a request gets for a file, or for the folder where the name is empty."""
        url = self.path(name) if name else self.location
        try:
            return asked(url, request, num_bytes)
        except OSError as error:
            raise ShardError(f"{url}: {failure}: {error}{advice}") from error


class RemoteFile:
    """A remote file, each piece of which is a request; see `shards.stores.store.RandomFile`."""

    gap_bytes = GAP_BYTES

    def __init__(self, store: RemoteStore, name: str, size: int) -> None:
        self._store, self._name, self.size = store, name, size

    def pread(self, offset: int, num_bytes: int) -> bytes:
        """See RandomFile."""
        return self._store.read_range(self._name, offset, min(offset + num_bytes, self.size))

    def close(self) -> None:
        """See RandomFile; nothing is open between two requests."""


class RemoteDraft:
    """A file on its way to a store; see `shards.stores.store.Draft`."""

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
        try:
            self._stream.flush()
        except OSError as error:
            raise self._no_room(error) from error
        self._store.upload(self._name, self._stream, self._num_bytes)

    def _no_room(self, error: OSError) -> ShardError:
        return ShardError(
            f"{tempfile.gettempdir()}: cannot hold {self._name} on its way to {self._store.location}: "
            f"{error.strerror or error}; make room or set TMPDIR, and go on with --resume"
        )
