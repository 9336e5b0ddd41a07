"""Which file a row of a manifest means, and the name that it gets in shards, where neither bucket nor password shows."""

import os
import posixpath
from pathlib import Path

from render.errors import RenderError
from render.location import Location, RemotePath, as_location, is_url


def listed(manifest: Location, text: str) -> tuple[str, str]:
    """What opens the file that a row names, and its name in shards.

    The name is the path from the manifest's folder, without `.` and `..`: a step up is written `__up__`. What was given from
    the root and is not below the folder begins with `__root__`; likewise `__url__` stands for protocol and bucket of another
    place. It is empty where the row names the folder, or a bucket, and no file.

    Args:
        manifest: where the list is; relative paths start beside it.
        text: a path, or a URL.

    Raises:
        RenderError: the reason alone: a protocol that cannot be read, a path from the root in a list behind a URL, or one
            that leads out of its bucket.
    """
    if is_url(text):
        location = as_location(text)
        if isinstance(location, RemotePath):
            return location.url, _remote_name(manifest, location)
        return str(location), _local_name(manifest, posixpath.abspath(location))
    if isinstance(manifest, RemotePath):
        return _remote_file(manifest, text), _relative_name(text)
    # Half the cost of a Path, and rows come by the million.
    path = os.path.join(manifest.parent, text)  # noqa: PTH118
    if posixpath.isabs(text):
        return path, _local_name(manifest, posixpath.normpath(text))
    return path, _relative_name(text)


def _relative_name(text: str) -> str:
    parts = posixpath.normpath(text).split("/")
    return "" if parts in (["."], [".."]) else "/".join("__up__" if part == ".." else part for part in parts)


def _local_name(manifest: Location, path: str) -> str:
    if isinstance(manifest, Path):
        folder = posixpath.abspath(manifest.parent)
        if path == folder or path.startswith(folder.rstrip("/") + "/"):
            return posixpath.relpath(path, folder)
    return "__root__/" + path.lstrip("/")


def _remote_file(manifest: RemotePath, text: str) -> str:
    if posixpath.isabs(text):
        raise RenderError(f"{text!r} starts at the root of a machine; behind a URL, paths are relative or URLs")
    if posixpath.normpath(posixpath.join(manifest.parent.below, text)).startswith(".."):
        raise RenderError(f"{text!r} leads out of the bucket or host")
    return (manifest.parent / text).url


def _remote_name(manifest: Location, location: RemotePath) -> str:
    below = posixpath.normpath(f"/{location.below}").lstrip("/")
    if isinstance(manifest, RemotePath):
        folder = manifest.parent
        start = f"{folder.below}/" if folder.below else ""
        if below.startswith(start) and folder / below[len(start) :] == location:
            return below[len(start) :]
    return below and f"__url__/{below}"
