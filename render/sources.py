"""Finding meshes in a folder and reading class and split off their paths. Opens no mesh."""

import dataclasses
import os
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES

Layout = Literal["auto", "modelnet", "class", "flat"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
SPLITS = ("train", "val", "test")
UNLABELED = "unlabeled"
_PATTERNS = {"modelnet": "<class>/<split>/<name>", "class": "<class>/<name>", "flat": "<name>"}
_DEPTHS = {"modelnet": 3, "class": 2, "flat": 1}


@dataclasses.dataclass(frozen=True)
class MeshSource:
    """One mesh file.

    Attributes:
        path: the file.
        relative: its path below the folder, with forward slashes.
        category: class name, ``unlabeled`` in a flat folder.
        split: ``train``, ``val`` or ``test``; ``train`` where the layout has no splits.
    """

    path: str
    relative: str
    category: str
    split: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The meshes of a folder, sorted by relative path, and the layout they were read by."""

    layout: str
    sources: tuple[MeshSource, ...]
    num_ignored: int

    def describe(self) -> str:
        """One line: what the folder was taken for, and what is in it."""
        classes = {source.category for source in self.sources}
        splits = {split: sum(source.split == split for source in self.sources) for split in SPLITS}
        counts = ", ".join(f"{count:,} {split}" for split, count in splits.items() if count)
        ignored = f"; {self.num_ignored:,} other files ignored" if self.num_ignored else ""
        return (
            f"layout {self.layout} ({_PATTERNS[self.layout]}): {len(self.sources):,} meshes, "
            f"{len(classes):,} classes, {counts}{ignored}"
        )


def find_meshes(folder: Path, layout: Layout = "auto") -> Listing:
    """The mesh files below a folder.

    Args:
        folder: where to look; links to folders are not followed.
        layout: ``modelnet``, ``class``, ``flat``, or ``auto`` to go by the depth of the files.

    Raises:
        RenderError: no such folder, no mesh in it, or a mesh whose path does not fit the layout.
    """
    if not folder.is_dir():
        raise RenderError(
            f"{folder}: {'is not a folder' if folder.exists() else 'no such folder'}; name one with meshes"
        )
    if layout not in LAYOUTS:
        raise RenderError(f"layout {layout!r} is unknown; name one of {', '.join(LAYOUTS)}")
    found, num_ignored = _walk(folder)
    if not found:
        raise RenderError(
            f"{folder}: no mesh below it ({num_ignored:,} other files); tap reads {', '.join(MESH_SUFFIXES)}"
        )
    chosen = _guess(folder, found) if layout == "auto" else layout
    misfit = next((path for path in found if not _fits(path, chosen)), None)
    if misfit is not None:
        splits = f", where <split> is one of {', '.join(SPLITS)}" if chosen == "modelnet" else ""
        raise RenderError(
            f"{folder / misfit}: does not fit layout {chosen} ({_PATTERNS[chosen]}{splits}); "
            "move it or choose another --layout"
        )
    return Listing(chosen, tuple(_source(folder, path, chosen) for path in found), num_ignored)


def _walk(folder: Path) -> tuple[list[PurePosixPath], int]:
    def fail(error: OSError) -> None:
        raise RenderError(f"{error.filename}: cannot list the folder: {error.strerror}") from error

    found, num_ignored = [], 0
    for place, _, names in os.walk(folder, onerror=fail):
        for name in names:
            if name.lower().endswith(MESH_SUFFIXES):
                found.append(PurePosixPath((Path(place) / name).relative_to(folder).as_posix()))
            else:
                num_ignored += 1
    return sorted(found, key=str), num_ignored


def _guess(folder: Path, found: list[PurePosixPath]) -> str:
    for layout in _DEPTHS:
        if all(_fits(path, layout) for path in found):
            return layout
    depths = ", ".join(
        f"{sum(len(path.parts) == depth for path in found):,} at depth {depth}"
        for depth in sorted({len(path.parts) for path in found})
    )
    raise RenderError(
        f"{folder}: cannot tell the layout ({depths}); arrange the meshes as one of {', '.join(_PATTERNS.values())}"
    )


def _fits(path: PurePosixPath, layout: str) -> bool:
    return len(path.parts) == _DEPTHS[layout] and (layout != "modelnet" or path.parts[1] in SPLITS)


def _source(folder: Path, path: PurePosixPath, layout: str) -> MeshSource:
    # A name that is not UTF-8 is opened as it is and written down with its bytes escaped.
    parts = [os.fsencode(part).decode("utf-8", "backslashreplace") for part in path.parts]
    return MeshSource(
        path=str(folder / path),
        relative="/".join(parts),
        category=UNLABELED if layout == "flat" else parts[0],
        split=path.parts[1] if layout == "modelnet" else "train",
    )
