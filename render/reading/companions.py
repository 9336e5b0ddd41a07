"""The files that a mesh file names, such as .mtl, .bin and pictures: found near it, on disk or in a store, never elsewhere."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from render.errors import RenderError, UnreachableError
from render.location import Location, RemotePath
from render.remote import StoreError

LARGEST_COMPANION = 1 << 31
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")  # of a URI, and the letter of a Windows drive


def read_companion(mesh_path: Location, name: str, largest: int = LARGEST_COMPANION) -> bytes:
    """The bytes of a file that a mesh file names.

    A name is relative to the mesh file's folder, with slashes of either kind between its parts. Files below that folder and
    below the one above it can be read (ShapeNetCore v2 keeps its pictures in ``models/../images``), nothing else. Where
    letter case does not fit, the first name that fits without it is taken. Links that lie there are followed. Behind a URL
    the folders are those of the URL, and the one above a bucket is the bucket.

    Args:
        mesh_path: the mesh file.
        name: as the mesh file has it.
        largest: bytes that the file may have.

    Raises:
        RenderError: a URI with a scheme, a name that is absolute or leads out, no such file, or a file too large.
        UnreachableError: the store of the mesh did not say whether there is such a file, or did not give it.
    """
    relative = name.strip().strip('"').replace("\\", "/")
    if _SCHEME.match(relative) or relative.startswith("/") or "\0" in relative:
        raise RenderError(f"{name!r} is not a name relative to the mesh file")
    parts = [part for part in os.path.normpath(relative).split("/") if part != "."]
    if parts.count("..") > 1:
        raise RenderError(f"{name!r} leads out of the folder above the mesh file's")
    try:
        if isinstance(mesh_path, RemotePath):
            return _remote_content(mesh_path.parent, parts, name, largest)
        found = mesh_path.parent
        for part in parts:
            found = _entry(found, part)
        if not found.is_file():  # a folder, or a pipe or device that could be read for ever
            raise RenderError(f"{name!r} is not a file")
        size = found.stat().st_size
        if size > largest:
            raise RenderError(f"{name!r} has {size:,} bytes, more than {largest:,}")
        return found.read_bytes()
    except StoreError as error:
        raise UnreachableError(f"{name!r}: cannot read: {error.strerror}") from error
    except OSError as error:
        raise RenderError(f"{name!r}: cannot read: {error.strerror}") from error


def _remote_content(folder: RemotePath, parts: Sequence[str], name: str, largest: int) -> bytes:
    """The file's bytes; its folders are listed only where there is none of exactly this name."""
    exact = folder / "/".join(parts)
    try:
        try:
            return exact.read_bytes(largest)
        except FileNotFoundError:
            found = folder
            for part in parts:
                found = found / (part if part == ".." else _fitting(found.names(), part))
            if found == exact:
                raise
            return found.read_bytes(largest)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise RenderError(f"{name!r} is not a file") from error


def _fitting(names: Sequence[str], name: str) -> str:
    """The name itself if it is there, else the first that differs in letter case alone, else the name again."""
    if name in names:
        return name
    return next((other for other in names if other.casefold() == name.casefold()), name)


def _entry(folder: Path, name: str) -> Path:
    """The entry of a folder, its letter case as in the folder."""
    entry = folder / name
    if name == ".." or os.path.lexists(entry):
        return entry
    try:
        names = sorted(other.name for other in folder.iterdir())
    except OSError:
        return entry  # reading it tells what is wrong
    return folder / _fitting(names, name)
