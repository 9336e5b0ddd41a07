"""A set in a folder of this machine: hidden drafts, fsync, rename, and a lock that keeps a second run out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shards.errors import ShardError

_DRAFT = re.compile(r"\.[A-Za-z0-9_-]+\.(?:tar|idx|json|html|png)\.tmp-(\d+)")
"""Names of unfinished files; whatever carries one after a run is litter."""


@dataclass(frozen=True)
class LocalStore:
    """A folder of this machine, or of a file system that it mounts; see `shards.stores.store.Store`."""

    folder: Path

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def path(self, name: str) -> str:
        """See Store."""
        return str(self.folder / name)

    def sizes(self) -> dict[str, int]:
        """See Store; hidden names are left out."""
        found: dict[str, int] = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_file():
                        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                            found[entry.name] = entry.stat().st_size
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ShardError(f"{self.folder}: cannot be listed: {error.strerror}") from error
        return dict(sorted(found.items()))

    def size(self, name: str) -> int | None:
        """See Store."""
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ShardError(f"{self.path(name)}: cannot be looked at: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        """See Store."""
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise ShardError(f"{self.path(name)}: cannot be read: {error.strerror}") from error

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """See Store."""
        return {name: self.read(name) for name in names if (self.folder / name).is_file()}

    def open(self, name: str) -> LocalFile:
        """See Store."""
        return LocalFile(self.folder / name)

    def put(self, name: str, data: bytes) -> None:
        """See Store; an earlier file of the name stays where this fails."""
        with self.draft(name) as draft:
            draft.write(data)
            draft.commit()

    @contextmanager
    def draft(self, name: str) -> Iterator[LocalDraft]:
        """See Store; the draft is hidden, in the same folder, under a name that holds the process's number."""
        draft = LocalDraft(self.folder / name)
        try:
            yield draft
        finally:
            draft.discard()

    def remove(self, name: str) -> None:
        """See Store."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ShardError(f"{self.path(name)}: cannot be removed: {error.strerror}") from error

    def unfinished(self, process_id: int | None = None) -> list[str]:
        """See Store."""
        found = []
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            match = _DRAFT.fullmatch(path.name)
            if match and process_id in (None, int(match[1])) and path.is_file():
                found.append(path.name)
        return found

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """See Store; the system lets go when the process ends, however it ends."""
        folder = self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ShardError(f"{folder}: cannot be made or opened: {error.strerror}; choose another folder") from error
        try:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ShardError(f"{folder}: not writable by this user; choose another folder or change its mode")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ShardError(
                    f"{folder}: another run is writing here; wait for it or choose another folder"
                ) from error
            except OSError as error:
                raise ShardError(f"{folder}: cannot be locked: {error.strerror}; choose a local folder") from error
            yield
        finally:
            os.close(descriptor)


class LocalFile:
    """An open local file; see `shards.stores.store.RandomFile`. Several threads may read it."""

    gap_bytes = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # A file object rather than a bare descriptor: one that is dropped closes itself.
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise ShardError(f"{path}: cannot be opened: {error.strerror}") from error
        self._descriptor = self._file.fileno()
        self.size = os.fstat(self._descriptor).st_size

    def pread(self, offset: int, num_bytes: int) -> bytes:
        """See RandomFile."""
        try:
            return os.pread(self._descriptor, num_bytes, offset)
        except OSError as error:
            raise ShardError(f"{self._path}: cannot be read at byte {offset}: {error.strerror}") from error

    def close(self) -> None:
        """See RandomFile."""
        self._file.close()


class LocalDraft:
    """A local file that is being written; see `shards.stores.store.Draft`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        self._stream: BinaryIO
        try:
            self._stream = self._temporary.open("wb")
        except OSError as error:
            raise write_error(str(path), error) from error

    def write(self, data: bytes, /) -> None:
        """See Draft."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise write_error(str(self._path), error) from error

    def commit(self) -> None:
        """See Draft; an earlier file of the name stays where this fails."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._temporary.replace(self._path)
            _sync_folder(self._path.parent)  # a rename is only promised to outlive a power cut after this
        except OSError as error:
            raise write_error(str(self._path), error) from error

    def discard(self) -> None:
        """Closes the stream and removes what was not committed."""
        # A full disk also fails the closing flush, of bytes that nobody wants any more; what was committed is synced.
        with contextlib.suppress(OSError):
            self._stream.close()
        self._temporary.unlink(missing_ok=True)  # gone already when all went well


def write_error(path: str, error: OSError) -> ShardError:
    """One line for a failed write: where, what the system said, what to do."""
    return ShardError(
        f"{path}: cannot be written: {error.strerror or error}; what was finished before is kept, "
        "so make room (or choose another folder) and go on with --resume"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
