"""Where a set lies: a folder of files, local or behind any fsspec URL, through one small protocol.

A file is there whole or not at all. Local files are written under a hidden name, synced and renamed; an object store
shows an upload only when it is complete. Whatever depends on an order (tar before record) is the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from shards.errors import ShardError

Location: TypeAlias = str | Path
"""A local path, or a URL such as s3://bucket/folder."""

LocationT = TypeVar("LocationT", str, Path)

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_MISSPELT_URL = re.compile(r"((?:s3a?|gcs?|gs|https?|memory|file|az|abfs):)/(?!/)")


class RandomFile(Protocol):
    """An open file that is read in pieces."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def gap_bytes(self) -> int:
        """Two pieces with at most so many bytes between them are read faster as one; 0 where it makes no difference."""

    def pread(self, offset: int, num_bytes: int) -> bytes:
        """At most `num_bytes` from `offset` on; fewer only at the end of the file. Raises ShardError."""

    def close(self) -> None:
        """Lets go of it; may be called twice."""


class Draft(Protocol):
    """A file that is being written and not there yet."""

    def write(self, data: bytes, /) -> object:
        """Takes all of the bytes. Raises ShardError where there is no room for them."""

    def commit(self) -> None:
        """Makes it appear, whole and durable. Raises ShardError; then an earlier file of the name may be gone."""


class Store(Protocol):
    """A folder of files without subfolders; picklable, so that a worker opens it for itself."""

    @property
    def location(self) -> str:
        """What messages call it, and what `open_store` takes."""

    def path(self, name: str) -> str:
        """Full path or URL of a file, for messages."""

    def sizes(self) -> dict[str, int]:
        """Name to size in bytes of every plain file, sorted by name; empty where there is no such folder."""

    def size(self, name: str) -> int | None:
        """Size of one file in bytes; None where it is missing."""

    def read(self, name: str) -> bytes:
        """Content of a small file. Raises ShardError."""

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Contents of many small files; those that are missing are left out. Raises ShardError."""

    def open(self, name: str) -> RandomFile:
        """A file to read pieces of. Raises ShardError."""

    def put(self, name: str, data: bytes) -> None:
        """Writes a small file, whole and durable. Raises ShardError."""

    def draft(self, name: str) -> AbstractContextManager[Draft]:
        """A file to be written bit by bit; without `commit` nothing is left of it."""

    def remove(self, name: str) -> None:
        """Removes a file if it is there. Raises ShardError."""

    def unfinished(self, process_id: int | None = None) -> list[str]:
        """Names of drafts whose writer has died: of one process, or of all."""

    def claimed(self) -> AbstractContextManager[None]:
        """Makes the folder where needed and keeps other runs out as far as it can. Raises ShardError."""


def open_store(location: Location) -> Store:
    """The store at a location; nothing is read or made yet.

    Args:
        location: a path, or a URL of any protocol that fsspec knows.

    Raises:
        ShardError: the protocol is unknown, or its package is not installed, or a slash of the URL is missing.
    """
    local = _local_path(location)
    misspelt = _MISSPELT_URL.match(str(location))
    if misspelt is not None and not Path(misspelt[1]).exists():
        raise ShardError(f"{location}: a URL has two slashes, {misspelt[1]}//...; nothing was read or written")
    if local is not None:
        from shards.stores.local_store import LocalStore

        return LocalStore(local)
    from shards.stores.remote_store import RemoteStore

    return RemoteStore(str(location))


def is_url(location: Location) -> bool:
    """Whether a location is a URL of another machine rather than a path of this one."""
    return _local_path(location) is None


def write_file(location: LocationT, data: bytes) -> LocationT:
    """Puts `data` at a path or URL, whole or not at all, and returns that path or URL.

    Raises:
        ShardError: it cannot be written; an earlier file is untouched.
    """
    folder, name = _parted(location)
    open_store(folder).put(name, data)
    return location


def joined(location: Location, name: str) -> str:
    """The path or URL of a file in a folder."""
    local = _local_path(location)
    return f"{str(location).rstrip('/')}/{name}" if local is None else str(local / name)


def folder_name(location: Location) -> str:
    """The last part of a folder's path or URL, as a title."""
    local = _local_path(location)
    return str(location).rstrip("/").rsplit("/", 1)[-1] if local is None else local.resolve().name


def _parted(location: Location) -> tuple[str, str]:
    folder, _, name = str(location).rpartition("/")
    if not name:
        raise ShardError(f"{location}: names a folder, a file is wanted")
    path = _local_path(location)
    return (folder, name) if path is None else (str(path.parent), path.name)


def _local_path(location: Location) -> Path | None:
    """The path on this machine that a location means; None for a URL of another."""
    match = _URL.fullmatch(str(location))
    if match is None:
        return Path(location)
    return Path(match[2]) if match[1].lower() in ("file", "local") else None
