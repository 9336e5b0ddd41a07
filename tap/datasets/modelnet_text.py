"""ModelNet40 and ModelNet10 as text, in the layout of modelnet40_normal_resampled: 10,000 points with normals a shape."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tap.datasets.cloud_source import CloudSource, check_files, check_once
from tap.datasets.stored import Entry, FileSet, Rows, read_rows
from tap.errors import TapError

_SPLITS = ("train", "test")


class ModelNetText(CloudSource):
    """ModelNet40 of PointNet++; the splits are train and test, files are read as they are needed."""

    layout = "modelnet40-txt"
    prefix: ClassVar[str] = "modelnet40"
    marks = "modelnet40_train.txt"
    obtain = "get modelnet40_normal_resampled.zip, linked at https://github.com/charlesq34/pointnet2"

    def _look(self) -> tuple[Sequence[str], Mapping[str, int]]:
        names = self.read_lines(f"{self.prefix}_shape_names.txt")
        check_once(str(self.root / f"{self.prefix}_shape_names.txt"), names)
        self._entries = {split: self._listed(f"{self.prefix}_{split}.txt", names) for split in _SPLITS}
        listed = [entry for entries in self._entries.values() for entry in entries]
        check_once(f"{self.location}: the lists of {self.prefix}", [entry.key for entry in listed])
        check_files(self, [entry.path for entry in listed])
        return names, {split: len(entries) for split, entries in self._entries.items()}

    def _listed(self, name: str, names: Sequence[str]) -> list[Entry]:
        places = {shape: place for place, shape in enumerate(names)}
        entries = []
        for line in self.read_lines(name):
            folder = line.rpartition("_")[0]  # a class may have underscores too: night_stand_0012
            if folder not in places:
                raise TapError(
                    f"{self.root / name}: {line!r} is no CLASS_NUMBER of a class of {self.prefix}_shape_names.txt"
                )
            entries.append(Entry(line, self.root / folder / f"{line}.txt", places[folder]))
        return entries

    def _load(self, split: str, normals: bool) -> FileSet:
        return FileSet(self.location, self.classes, self._entries[split], self._indices, _read, self.up, normals)


class ModelNet10Text(ModelNetText):
    """The ten classes of ModelNet10, which the same folder lists."""

    layout = "modelnet10-txt"
    prefix = "modelnet10"
    marks = "modelnet10_train.txt"

    @classmethod
    def recognise(cls, root: Path) -> bool:
        """By the list of training shapes, where those of ModelNet40 are not listed beside it."""
        return super().recognise(root) and not ModelNetText.recognise(root)


def _read(entry: Entry) -> Rows:
    table = read_rows(entry.path, ",", 6)
    return Rows(table[:, :3], table[:, 3:])
