"""What a search for meshes gives: the meshes with class and split, the layout, and what was left aside."""

import dataclasses
import os

from render.finding.layouts import FORMS, SPLITS

UNLABELED = "unlabeled"


@dataclasses.dataclass(frozen=True, slots=True)  # held by the million
class MeshSource:
    """One mesh file.

    Attributes:
        path: the file, or its URL.
        relative: its name in shards and messages: a posix path below the folder, or below that of the manifest.
        category: class name, ``unlabeled`` where none is known.
        split: ``train``, ``val`` or ``test``; ``train`` where none is known.
        part_labels: file with one integer a face, text or .npy; None where there is none.
        num_bytes: size of the file where it is known without a look at it; None elsewhere.
    """

    path: str
    relative: str
    category: str
    split: str
    part_labels: str | None = None
    num_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The meshes that were found.

    Attributes:
        layout: what the folder or file was read as; never ``auto``.
        sources: sorted by relative path.
        num_ignored: other files, which are no mesh or belong to one.
        notes: whatever else a user should know, one phrase each.
    """

    layout: str
    sources: tuple[MeshSource, ...]
    num_ignored: int
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line: what the folder was taken for, what is in it, and what was left aside."""
        classes = {source.category for source in self.sources}
        splits = {split: sum(source.split == split for source in self.sources) for split in SPLITS}
        counts = ", ".join(f"{count:,} {split}" for split, count in splits.items() if count)
        ignored = (f"{self.num_ignored:,} other files ignored",) if self.num_ignored else ()
        asides = "".join(f"; {aside}" for aside in (*ignored, *self.notes))
        return (
            f"layout {self.layout} ({FORMS[self.layout]}): {len(self.sources):,} meshes, "
            f"{len(classes):,} classes, {counts}{asides}"
        )


def escaped(name: str) -> str:
    """The name fit for JSON: a name that is not UTF-8 is opened as it is and written down with its bytes escaped."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
