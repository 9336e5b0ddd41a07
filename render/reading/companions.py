"""The files that a mesh file names, such as .mtl, .bin and pictures: found near it, never elsewhere, never fetched."""

import os
import re
from pathlib import Path

from render.errors import RenderError

LARGEST_COMPANION = 1 << 31
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")  # of a URI, and the letter of a Windows drive


def read_companion(mesh_path: Path, name: str, largest: int = LARGEST_COMPANION) -> bytes:
    """The bytes of a file that a mesh file names.

    A name is relative to the mesh file's folder, with slashes of either kind between its parts. Files below that folder and
    below the one above it can be read (ShapeNetCore v2 keeps its pictures in ``models/../images``), nothing else. Where
    letter case does not fit, the first name that fits without it is taken. Links that lie there are followed.

    Args:
        mesh_path: the mesh file.
        name: as the mesh file has it.
        largest: bytes that the file may have.

    Raises:
        RenderError: a URI with a scheme, a name that is absolute or leads out, no such file, or a file too large.
    """
    relative = name.strip().strip('"').replace("\\", "/")
    if _SCHEME.match(relative) or relative.startswith("/") or "\0" in relative:
        raise RenderError(f"{name!r} is not a name relative to the mesh file")
    parts = [part for part in os.path.normpath(relative).split("/") if part != "."]
    if parts.count("..") > 1:
        raise RenderError(f"{name!r} leads out of the folder above the mesh file's")
    found = mesh_path.parent
    for part in parts:
        found = _entry(found, part)
    try:
        if not found.is_file():  # a folder, or a pipe or device that could be read for ever
            raise RenderError(f"{name!r} is not a file")
        size = found.stat().st_size
        if size > largest:
            raise RenderError(f"{name!r} has {size:,} bytes, more than {largest:,}")
        return found.read_bytes()
    except OSError as error:
        raise RenderError(f"{name!r}: cannot read: {error.strerror}") from error


def _entry(folder: Path, name: str) -> Path:
    """The entry of a folder, its letter case as in the folder."""
    entry = folder / name
    if name == ".." or os.path.lexists(entry):
        return entry
    try:
        names = sorted(other.name for other in folder.iterdir())
    except OSError:
        return entry  # reading it tells what is wrong
    fitting = next((other for other in names if other.casefold() == name.casefold()), name)
    return folder / fitting
