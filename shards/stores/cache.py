"""Copies of a remote set's tars on this machine: fetched once for all its processes, checked, and bounded in size.

A copy is named by the SHA-256 of the tar, so that it is never mistaken for another one, wherever the set lies. The newest
copies stay; what was used longest ago goes first. Any process may be killed at any moment.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from shards.errors import ShardError
from shards.record import INDEX, TAR, ShardEntry
from shards.stores.claim import claimed_part, locked_file, remove_litter
from shards.stores.fetcher import Fetcher
from shards.stores.local_store import LocalStore
from shards.stores.store import Store

DEFAULT_BYTES = 50 * 10**9
"""Size of a cache for which nothing else is asked, as far as half of the free disk allows it."""

PIECE_BYTES = 1 << 23
"""A tar is fetched in pieces of this size; one that fails is fetched again without the others."""

_PART = ".part"
_OURS = re.compile(r"([0-9a-f]{64})(\.tar|\.idx|\.part)")

logger = logging.getLogger(__name__)


class ShardCache:
    """A folder of copies of tars and their indexes; several processes and sets may share it.

    A tar that is evicted while a process reads it stays readable there, and its space is free once it is closed. The
    folder has to be on a file system with locks, that is, on a disk of this machine. A cache is pickled, and goes through
    a fork, as folder and size; each process has its own thread that fetches.

    Args:
        folder: made where missing; by default tap/shards in XDG_CACHE_HOME or ~/.cache.
        max_bytes: of all copies together; by default 50 GB, or half of the free disk where that is less.

    Attributes:
        folder: where the copies lie.
        max_bytes: what they may take.
        store: the folder as a Store; the copies are named by the SHA-256 of the tar.

    Raises:
        ShardError: the folder cannot be made or written, or has no locks.
    """

    def __init__(self, folder: str | Path | None = None, max_bytes: int | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass
            self.max_bytes = _default_bytes(self.folder) if max_bytes is None else max_bytes
        except OSError as error:
            raise ShardError(
                f"{self.folder}: cannot be used as a cache: {error.strerror}; choose another folder"
            ) from error
        self.store = LocalStore(self.folder)
        self._fetcher = Fetcher()
        self._refused: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "max_bytes": self.max_bytes, "store": self.store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._fetcher, self._refused = Fetcher(), set()

    def has(self, entry: ShardEntry) -> bool:
        """Whether there is a copy of the tar of this line of a manifest."""
        try:
            return os.stat(self._path(entry, TAR)).st_size == entry.bytes  # noqa: PTH116  asked for each sample
        except OSError:
            return False

    def touch(self, entry: ShardEntry) -> None:
        """Notes that the copy is in use, so that others are evicted before it."""
        with suppress(FileNotFoundError):  # the open that follows will say so
            os.utime(self._path(entry, TAR))

    def discard(self, entry: ShardEntry) -> None:
        """Removes the copy, if there is one."""
        for suffix in (TAR, INDEX):
            Path(self._path(entry, suffix)).unlink(missing_ok=True)

    def request(self, store: Store, entries: Sequence[ShardEntry], has_index: bool = True) -> None:
        """Has a thread fetch tars in this order, unless they are there or another process is at it; returns at once.

        What cannot be fetched or kept is logged, and left out: the tar can still be read where it lies.

        Args:
            store: where the set lies.
            entries: their lines in the manifest.
            has_index: fetch NAME.idx with each.
        """
        room = self.max_bytes
        for entry in entries:
            room -= entry.bytes
            if room < 0:
                self._leave_out(entry, store, "more is asked for at a time than it may hold: give the cache more room")
            elif entry.sha256 not in self._refused and not self.has(entry):
                self._fetcher.add(entry.sha256, partial(self._tried, store, entry, has_index))

    def wait(self) -> None:
        """Returns when this process has nothing more to fetch."""
        self._fetcher.wait()

    def _path(self, entry: ShardEntry, suffix: str) -> str:
        return f"{self.folder}/{entry.sha256}{suffix}"

    def _leave_out(self, entry: ShardEntry, store: Store, why: object) -> None:
        """Gives a tar up in this process, and says so once: it can still be read where it lies."""
        level = logging.DEBUG if self._refused else logging.WARNING
        self._refused.add(entry.sha256)
        logger.log(level, "%s: not kept in %s: %s", store.path(entry.name + TAR), self.folder, why)

    def _tried(self, store: Store, entry: ShardEntry, has_index: bool) -> bool:
        """Whether nothing more is to be done about a tar; false while another process is at it, or in the way."""
        try:
            return self._fetched(store, entry, has_index)
        except ShardError as error:  # the reader, who asks the same store, will tell if it is for good
            logger.warning("%s: not fetched into the cache: %s", store.path(entry.name + TAR), error)
        except OSError as error:
            self._leave_out(entry, store, error.strerror)
        return True

    def _fetched(self, store: Store, entry: ShardEntry, has_index: bool) -> bool:
        part = Path(self._path(entry, _PART))
        with claimed_part(part) as descriptor:
            if descriptor is None:
                return self.has(entry)
            try:
                if self.has(entry) or not self._make_room(entry, descriptor):
                    part.unlink()
                    return self.has(entry)
                index = store.read(entry.name + INDEX) if has_index else b""
                _copy(store, entry, descriptor)
                with self._locked():  # nobody may take an index without a tar for litter
                    if has_index:
                        Path(self._path(entry, INDEX)).write_bytes(index)
                    part.replace(self._path(entry, TAR))
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return True

    def _make_room(self, entry: ShardEntry, descriptor: int) -> bool:
        """Takes the space for a tar, evicting others; false where others that are being fetched have it."""
        if entry.bytes > self.max_bytes:
            raise OSError(errno.EFBIG, f"has {entry.bytes:,} bytes, the cache {self.max_bytes:,}")
        with self._locked():
            taken = self._evict(self.max_bytes - entry.bytes)
            if taken + entry.bytes > self.max_bytes:
                return False
            # Taken now, so that others count it; a full disk shows here.
            os.posix_fallocate(descriptor, 0, entry.bytes)
        return True

    def _evict(self, most: int) -> int:
        """Removes litter, and the copies that were used longest ago until the rest has at most `most` bytes; returns its size.

        What is being fetched is counted, and stays.
        """
        taken, copies = self._contents()
        for _, name, num_bytes in copies:
            if taken <= most:
                break
            for suffix in (TAR, INDEX):
                (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
            taken -= num_bytes
        return taken

    def _contents(self) -> tuple[int, list[tuple[float, str, int]]]:
        """Bytes in use, and (last use, name, bytes) of the copies, sorted; removes what killed processes left."""
        sizes: dict[str, dict[str, os.stat_result]] = {}
        with os.scandir(self.folder) as found:
            for file in found:
                match = _OURS.fullmatch(file.name)
                if match is None:
                    continue
                with suppress(FileNotFoundError):  # a fetch that was given up, or a copy that was thrown away
                    sizes.setdefault(match[1], {})[match[2]] = file.stat()
        taken, copies = 0, []
        for name, files in sizes.items():
            if _PART in files and remove_litter(self.folder / f"{name}{_PART}"):
                del files[_PART]
            if TAR not in files and _PART not in files:
                (self.folder / f"{name}{INDEX}").unlink(missing_ok=True)
                continue
            num_bytes = sum(file.st_size for file in files.values())
            taken += num_bytes
            if TAR in files:
                copies.append((files[TAR].st_mtime, name, num_bytes))
        return taken, sorted(copies)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """While space is given out, no other process does."""
        with locked_file(self.folder / "lock"):
            yield


def default_folder() -> Path:
    """Where a cache lies for which nothing else is asked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tap" / "shards"


def _default_bytes(folder: Path) -> int:
    """The default size; what lies there already counts as free."""
    own = sum(path.stat().st_size for path in folder.iterdir() if _OURS.fullmatch(path.name))
    return min(DEFAULT_BYTES, (shutil.disk_usage(folder).free + own) // 2)


def _copy(store: Store, entry: ShardEntry, descriptor: int) -> None:
    """Copies a tar to an open file, and compares its contents with the manifest."""
    digest = hashlib.sha256()
    source = store.open(entry.name + TAR)
    try:
        for begin in range(0, entry.bytes, PIECE_BYTES):
            wanted = min(PIECE_BYTES, entry.bytes - begin)
            data = source.pread(begin, wanted)
            digest.update(data)
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, memoryview(data)[written:], begin + written)
    finally:
        source.close()
    if digest.hexdigest() != entry.sha256:
        raise ShardError("its contents are not what the manifest says; run tap shards verify")
    os.fsync(descriptor)  # a name that outlives a power cut must not stand for zeros
