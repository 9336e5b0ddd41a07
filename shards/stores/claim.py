"""Files that one process at a time may hold; when that process dies, in whatever way, another one may.

Locks are let go of by name before a file is closed: a child that was forked meanwhile has it open too, and would go on
holding what its parent thinks it has given back.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Waits until no other process holds the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextmanager
def claimed_part(part: Path) -> Iterator[int | None]:
    """The open file that only one process at a time may fill; None where another one does."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Renamed or removed between the two calls: what is locked then is nobody's any more.
            is_ours = os.path.samestat(os.fstat(descriptor), os.stat(part))  # noqa: PTH116
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        yield descriptor if is_ours else None
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def remove_litter(part: Path) -> bool:
    """Removes it if the process that filled it has died, and tells whether it did."""
    with claimed_part(part) as descriptor:
        if descriptor is not None:
            part.unlink()
        return descriptor is not None
