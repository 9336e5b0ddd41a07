"""Where a file or folder is: a `Path` on this machine, or a `RemotePath` behind an fsspec URL that answers like one."""

from __future__ import annotations

import errno
import functools
import os
import posixpath
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from render.errors import RenderError
from render.remote import StoreError, asked, check_protocol

LARGEST_REMOTE = 1 << 32
"""Bytes that a file behind a URL may have: stores hold terabytes under one name, and no mesh is that large."""

_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
_CHAINED = re.compile(r"::[A-Za-z0-9+.-]+://|^[A-Za-z0-9+.-]+::")
_PASSWORD = re.compile(r"(?<=://)[^/@]*:[^/@]*@")
_LOCAL = ("file", "local")
_NUM_ASKING = 16  # questions to a store at a time


@dataclass(frozen=True, repr=False)
class RemotePath:
    """A file or folder behind a URL, with the part of Path's interface that reading meshes needs.

    It holds text alone, so a worker process that gets one opens the store for itself. Names are taken as they are, never
    decoded; links do not exist. As text it has neither password nor the query of an http address.

    Attributes:
        url: protocol, bucket or host, and path, without a slash at its end.
    """

    url: str

    def __str__(self) -> str:
        url = self.url.partition("?")[0] if self._is_web else self.url
        return _PASSWORD.sub("***@", url)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    @property
    def below(self) -> str:
        """The path below bucket or host, without slashes at its ends; empty for all of it."""
        below = _split(self.url)[2]
        return (below.partition("?")[0] if self._is_web else below).strip("/")

    @property
    def name(self) -> str:
        """The last part of the path; empty for bucket and host."""
        return posixpath.basename(self.below)

    @property
    def suffix(self) -> str:
        """The name's last suffix with its dot, as `Path.suffix` has it."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder that holds it; bucket and host hold themselves."""
        return self._at(posixpath.dirname(self.below))

    def __truediv__(self, name: str) -> RemotePath:
        """What has this name in the folder; ``..`` parts step up, at most to bucket or host."""
        return self._at(posixpath.normpath(f"/{self.below}/{name}").strip("/"))

    def size(self) -> int:
        """Bytes of the file.

        Raises:
            FileNotFoundError: there is none.
            IsADirectoryError: it is a folder.
            StoreError: the store cannot be asked, or does not tell.
        """
        info = self._info()
        if info is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        if info["type"] != "file":
            raise IsADirectoryError(errno.EISDIR, "is a folder, pipe or device", str(self))
        if not isinstance(info.get("size"), int):
            raise StoreError(errno.EIO, "the store does not tell the size")
        return int(info["size"])

    def read_bytes(self, largest: int = LARGEST_REMOTE) -> bytes:
        """All bytes of the file, whose size is asked first.

        Raises:
            FileNotFoundError, IsADirectoryError, StoreError: see `size`.
            OSError: it has more than ``largest`` bytes, and is not fetched.
        """
        size = self.size()
        if size > largest:
            raise OSError(errno.EFBIG, f"has {size:,} bytes, more than {largest:,}", str(self))

        def fetch(system: Any, path: str) -> bytes:
            # One byte more than there should be, so that a file that grew is not taken for whole; and with an end said,
            # s3fs does not ask for the size itself.
            content = bytes(system.cat_file(path, start=0, end=size + 1))
            if len(content) != size:
                raise ConnectionError(f"{len(content)} of {size} bytes arrived")  # asked again, like other accidents
            return content

        return asked(self.url, fetch) if size else b""

    def exists(self) -> bool:
        """Whether there is a file or folder of this name. Raises StoreError."""
        return self._info() is not None

    def is_file(self) -> bool:
        """Whether it is a file. Raises StoreError."""
        info = self._info()
        return info is not None and info["type"] == "file"

    def is_dir(self) -> bool:
        """Whether it is a folder, that is, whether a name begins with it and a slash. Raises StoreError."""
        info = self._info()
        return info is not None and info["type"] == "directory"

    def find(self) -> dict[str, int]:
        """Path from this folder to size in bytes of every file below it; markers of folders end in a slash.

        An object store is asked for one flat list, whatever the number of folders.

        Raises:
            FileNotFoundError: no such bucket.
            StoreError: the store cannot be asked.
        """

        def find(system: Any, path: str) -> dict[str, int]:
            start = f"{path.rstrip('/')}/"
            found = system.find(path, detail=True)
            system.invalidate_cache()  # it may have kept a record of each file in the store
            inside = ((name, info) for name, info in found.items() if name.startswith(start) and name != start)
            return {name[len(start) :]: int(info.get("size") or 0) for name, info in inside}

        return asked(self.url, find)

    def names(self) -> tuple[str, ...]:
        """Names of the files and folders right in this folder, sorted; remembered for the folders asked last.

        Raises:
            FileNotFoundError: no such folder.
            StoreError: the store cannot be asked.
        """
        return _names(self.url)

    @property
    def _is_web(self) -> bool:
        return self.url.startswith(("http://", "https://"))

    def _at(self, below: str) -> RemotePath:
        protocol, root, _ = _split(self.url)
        return RemotePath(f"{protocol}://{root}/{below}" if below else f"{protocol}://{root}")

    def _info(self) -> dict[str, Any] | None:
        try:
            return asked(self.url, lambda system, path: dict(system.info(path)))
        except FileNotFoundError:
            return None


Location: TypeAlias = Path | RemotePath


def is_url(text: str) -> bool:
    """Whether a text is a URL of any protocol, ``file://`` among them, and not the path of a file."""
    return "://" in text and _URL.match(text) is not None


def as_location(text: str | Location) -> Location:
    """The place that a text names; a Path or RemotePath is returned as it is.

    Args:
        text: a path, a ``file://`` URL of this machine, or a URL of any protocol that fsspec knows.

    Raises:
        RenderError: the protocol is unknown, needs a package that is not installed, or the URL is one of several parts.
    """
    if not isinstance(text, str):
        return text
    if "://" in text and _CHAINED.search(text):
        shown = _PASSWORD.sub("***@", text)
        raise RenderError(f"{shown}: URLs within URLs are not read; copy or unpack the meshes to one place")
    if not is_url(text):
        return Path(text)
    protocol, root, below = _split(text)
    if protocol in _LOCAL:
        return Path(root + below)
    location = RemotePath(f"{protocol}://{root}{below.rstrip('/')}")
    check_protocol(protocol, str(location))
    return location


def file_sizes(paths: Sequence[str]) -> list[int | None]:
    """Bytes of each file, local or behind a URL; None where it does not exist or cannot be seen."""
    remote = [path for path in paths if is_url(path)]
    with ThreadPoolExecutor(_NUM_ASKING) as pool:  # each answer of a store is waited for
        answers = dict(zip(remote, pool.map(_seen_size, remote), strict=True))
    return [answers[path] if path in answers else _seen_size(path) for path in paths]


def _seen_size(path: str) -> int | None:
    try:
        if is_url(path):
            location = as_location(path)
            return location.size() if isinstance(location, RemotePath) else location.stat().st_size
        return os.stat(path).st_size  # noqa: PTH116  a Path a file would double the cost
    except OSError:
        return None


@functools.lru_cache(8)  # a flat folder of a million meshes would be listed anew for each that lacks a file
def _names(url: str) -> tuple[str, ...]:
    listed = asked(url, lambda system, path: [str(name) for name in system.ls(path, detail=False)])
    return tuple(sorted({name.rstrip("/").rsplit("/", 1)[-1] for name in listed} - {""}))


def _split(url: str) -> tuple[str, str, str]:
    """Protocol, bucket or host (with a password, if any), and the rest with its first slash."""
    protocol, _, rest = url.partition("://")
    root, slash, below = rest.partition("/")
    return protocol.lower(), root, slash + below
