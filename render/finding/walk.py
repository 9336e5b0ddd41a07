"""Every mesh file below a folder, links to files and folders followed, cycles of links cut."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES

_FOLLOWED = "linked folders followed"
_CYCLE = "links back to a folder that holds them, skipped"
_DANGLING = "links that lead nowhere, skipped"
_SPECIAL = "pipes, sockets or devices named like meshes, skipped"
HIDDEN = "hidden names (.name, __MACOSX), skipped"
_NOTES = (_FOLLOWED, _CYCLE, _DANGLING, _SPECIAL, HIDDEN)


@dataclasses.dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Attributes:
        meshes: paths relative to the folder with forward slashes, sorted; bytes that are no UTF-8 as lone surrogates.
        folders: likewise, unsorted.
        num_others: files that are no mesh, hidden names and links to nothing among them.
        notes: links followed and names skipped, in words.
        sizes: bytes of each mesh where the listing told them, empty elsewhere.
    """

    meshes: tuple[str, ...]
    folders: tuple[str, ...]
    num_others: int
    notes: tuple[str, ...]
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)


def walk(folder: Path) -> Found:
    """The files below a folder; what a file holds is not looked at.

    A linked folder is followed like any other, so its meshes are listed under the link's name. A link to a folder that
    holds the link, on the way taken or on the disk, is not. Names that begin with a dot are passed over, because archives
    made on a Mac hold a `._name.off` that is no mesh beside each `name.off`.

    Raises:
        RenderError: a folder cannot be listed.
    """
    root = os.fspath(folder)
    meshes: list[str] = []
    folders: list[str] = []
    tally: Counter[str] = Counter()
    # A folder yet to be listed, and the real paths of the folders whose links led to it. No recursion: trees may be deep.
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while waiting:
        below, trail = waiting.pop()
        for entry in _entries(os.path.join(root, below)):  # noqa: PTH118  a Path a file would cost more than the listing
            relative = f"{below}/{entry.name}" if below else entry.name
            kind = _kind(entry)
            if kind == "mesh":
                meshes.append(relative)
            elif kind == "folder":
                longer = _extended(trail, entry)
                tally[_CYCLE if longer is None else _FOLLOWED] += entry.is_symlink()
                if longer is not None:
                    folders.append(relative)
                    waiting.append((relative, longer))
            else:
                tally[kind] += 1
    notes = tuple(f"{tally[note]:,} {note}" for note in _NOTES if tally[note])
    num_others = sum(tally.values()) - tally[_FOLLOWED] - tally[_CYCLE]
    return Found(tuple(sorted(meshes)), tuple(folders), num_others, notes)


def is_hidden(name: str) -> bool:
    """Whether files and folders of this name are passed over."""
    return name.startswith(".") or name == "__MACOSX"


def _entries(place: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            yield from entries
    except OSError as error:
        raise RenderError(f"{place}: cannot list the folder: {error.strerror}") from error


def _kind(entry: os.DirEntry[str]) -> str:
    """``mesh``, ``folder``, ``other``, or the note on a name that is skipped."""
    if is_hidden(entry.name):
        return HIDDEN
    try:
        if entry.is_dir():
            return "folder"
        is_file = entry.is_file()
    except OSError:  # a link to itself, or through a folder that may not be entered
        return _DANGLING
    if not is_file and entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
        return _DANGLING
    if not entry.name.lower().endswith(MESH_SUFFIXES):
        return "other"
    return "mesh" if is_file else _SPECIAL


def _extended(trail: tuple[str, ...], entry: os.DirEntry[str]) -> tuple[str, ...] | None:
    """The trail of what lies below this folder; None where the folder is a link that leads back onto its own way."""
    if not entry.is_symlink():
        return trail
    target = os.path.realpath(entry.path)
    here = os.path.realpath(os.path.dirname(entry.path))  # noqa: PTH120
    longer = (*trail, here)
    inside = target.rstrip("/") + "/"
    return None if any(place == target or place.startswith(inside) for place in longer) else longer
