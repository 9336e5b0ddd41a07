"""A folder of clouds as a data set: CLASS/SPLIT/FILE, with files as scanners and other tools write them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tap.datasets.cloud_source import CloudSource
from tap.datasets.source import UpAxis
from tap.datasets.stored import Entry, FileSet, Rows
from tap.errors import TapError
from tap.photos.clouds import CLOUD_SUFFIXES, holds_faces, read_cloud


class ClassFolder(CloudSource):
    """Classes are the folders, splits the folders in them, clouds the files in those; see `tap.photos.clouds.read_cloud`."""

    layout = "folder"
    marks = "CLASS/SPLIT/*.{" + ",".join(suffix[1:] for suffix in CLOUD_SUFFIXES) + "}"
    obtain = "sort your own files into such folders, for example chair/train/1.ply"
    default_up: ClassVar[UpAxis] = "z"

    @staticmethod
    def recognise(root: Path) -> bool:
        """By the first cloud that is two folders down; not where a folder on the way there cannot be listed."""
        try:
            return next(_clouds(root), None) is not None
        except OSError:
            return False

    def _look(self) -> tuple[Sequence[str], Mapping[str, int]]:
        try:
            found = list(_clouds(self.root))
        except OSError as error:
            raise TapError(f"{error.filename}: cannot be listed: {error.strerror}") from error
        if not found:
            raise self.missing(f"a file {self.marks}")
        names = sorted({path.parts[0] for path in found})
        self._entries: dict[str, list[Entry]] = {}
        for path in sorted(found):
            entry = Entry(path.as_posix(), self.root / path, names.index(path.parts[0]))
            self._entries.setdefault(path.parts[1], []).append(entry)
        return names, {split: len(entries) for split, entries in self._entries.items()}

    def _load(self, split: str, normals: bool) -> FileSet:
        return FileSet(self.location, self.classes, self._entries[split], self._indices, _read, self.up, normals)


def _clouds(root: Path) -> Iterator[Path]:
    """Paths of clouds, relative to the root; what is hidden is left out."""
    for folder in _folders(root):
        for split in _folders(folder):
            for file in split.iterdir():
                if file.suffix.lower() in CLOUD_SUFFIXES and not file.name.startswith(".") and file.is_file():
                    yield file.relative_to(root)


def _folders(root: Path) -> list[Path]:
    return [folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]


def _read(entry: Entry) -> Rows:
    if entry.path.suffix.lower() == ".ply" and holds_faces(entry.path):
        raise TapError(f"{entry.path}: is a mesh, whose vertices are no even sample of it; render it with tap render")
    cloud = read_cloud(entry.path)
    return Rows(cloud.points, cloud.normals)
