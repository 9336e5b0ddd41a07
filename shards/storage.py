"""Writing that survives a crash: whole files appear at once, under their final name, or not at all."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shards.errors import ShardError

SHARD_FILE = re.compile(r"[A-Za-z0-9_-]+-\d{6,}\.(tar|json)")
"""Final names of a shard set besides manifest.json."""

TEMPORARY_FILE = re.compile(r"\.[A-Za-z0-9_-]+\.(tar|json)\.tmp-\d+")
"""Names of unfinished files; whatever carries one after a run is litter."""


def temporary_path(path: Path) -> Path:
    """The name under which `path` is written before it is renamed: hidden, same folder, different in each process."""
    return path.with_name(f".{path.name}.tmp-{os.getpid()}")


def temporary_files_of(process_id: int) -> re.Pattern[str]:
    """Names of the unfinished files of one process, which may be dead."""
    return re.compile(TEMPORARY_FILE.pattern.replace(r"\d+", str(process_id)))


def storage_error(path: Path, error: OSError) -> ShardError:
    """One line for a failed write: where, what the system said, what to do."""
    return ShardError(
        f"{path}: cannot be written: {error.strerror or error}; what was finished before is kept, "
        "so make room (or choose another folder) and go on with --resume"
    )


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable; a rename is only promised to outlive a power cut after this.

    Raises:
        OSError: the folder cannot be opened or synchronised.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Puts `data` at `path`: temporary name, fsync, rename, fsync of the folder.

    Raises:
        ShardError: the system refused, for instance because the disk is full; an earlier file at `path` is untouched.
    """
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Creates the folder where needed and holds it for this process; the system lets go when the process ends.

    Raises:
        ShardError: the folder cannot be made or written, or another run holds it.
    """
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
            raise ShardError(f"{folder}: another run is writing here; wait for it or choose another folder") from error
        except OSError as error:
            raise ShardError(f"{folder}: cannot be locked: {error.strerror}; choose a local folder") from error
        yield
    finally:
        os.close(descriptor)


def remove_files(folder: Path, pattern: re.Pattern[str]) -> None:
    """Deletes the plain files of a folder whose whole name matches; folders and everything else stay.

    Raises:
        ShardError: a file cannot be removed.
    """
    for path in sorted(folder.iterdir()):
        if pattern.fullmatch(path.name) and path.is_file():
            try:
                path.unlink(missing_ok=True)  # a dying worker may be faster
            except OSError as error:
                raise ShardError(f"{path}: cannot be removed: {error.strerror}") from error
