"""ShapeNetPart in its public layout, and other sets of clouds with part labels in the same one.

Source: Yi et al., A Scalable Active Framework for Region Annotation in 3D Shape Collections (SIGGRAPH Asia 2016).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from shards.stores.store import Location
from tap.datasets.cloud_source import CloudSource, check_files, check_once
from tap.datasets.json_lists import read_json_file, shape_list
from tap.datasets.part_names import LARGEST, PUBLISHED, PartTable, parts_from_data, parts_from_table, published_parts
from tap.datasets.source import DatasetConfig
from tap.datasets.stored import Entry, FileSet, Rows, read_rows
from tap.errors import TapError

_CATEGORIES = "synsetoffset2category.txt"
_LISTS = {split: f"train_test_split/shuffled_{split}_file_list.json" for split in ("train", "val", "test")}
_PARTS = "parts.json"
_NUM_COLUMNS = 7  # x y z nx ny nz part


class ShapeNetPart(CloudSource):
    """A data set with part labels, see `tap.datasets.source.PartSource`.

    The splits are train, val, test, and trainval: the first two together, which the public numbers are trained on.

    Where ``parts.json`` stands in the folder it names the parts: ``{class: {"part_ids": [...], "part_names": [...]}}``. Else
    sets of the 16 published categories have the published parts, and of others all files are read to find them out.

    Attributes:
        part_names: see `PartSource`.
        class_parts: see `PartSource`.
    """

    layout = "shapenetpart"
    has_parts = True
    marks = _CATEGORIES
    obtain = "get shapenetcore_partanno_segmentation_benchmark_v0_normal.zip, linked at https://github.com/charlesq34/pointnet2"

    def __init__(
        self, location: Location, config: DatasetConfig | None = None, classes: Sequence[str] | None = None
    ) -> None:
        super().__init__(location, config, classes)
        self.part_names = self._table.names
        merged: list[list[int]] = [[] for _ in self.classes]
        for place, parts in enumerate(self._table.parts):
            merged[self._indices[place]] += parts
        self.class_parts = tuple(tuple(sorted(parts)) for parts in merged)

    @staticmethod
    def recognise(root: Path) -> bool:
        """By the table of categories and the lists of shapes."""
        return (root / _CATEGORIES).is_file() and (root / "train_test_split").is_dir()

    def _look(self) -> tuple[Sequence[str], Mapping[str, int]]:
        synsets = self._synsets()
        names = list(synsets.values())
        places = {synset: place for place, synset in enumerate(synsets)}
        lists: dict[str, list[Entry]] = {}
        for split, name in _LISTS.items():
            if not (self.root / name).is_file():
                raise self.missing(name)
            lists[split] = [
                Entry(f"{synset}/{shape}", self.root / synset / f"{shape}.txt", places[synset])
                for synset, shape in shape_list(self.root / name, synsets, _CATEGORIES)
            ]
            check_once(str(self.root / name), [entry.key for entry in lists[split]])
        self._entries = lists | {"trainval": lists["train"] + lists["val"]}
        check_files(self, [entry.path for entries in lists.values() for entry in entries])
        self._table = self._parts(names, lists)
        return names, {split: len(entries) for split, entries in self._entries.items()}

    def _synsets(self) -> dict[str, str]:
        """Folder to class name, in the order of the table."""
        table: dict[str, str] = {}
        for line in self.read_lines(_CATEGORIES):
            fields = line.split()
            if len(fields) != 2 or fields[1] in table or fields[0] in table.values() or "/" in fields[1]:
                raise TapError(f"{self.root / _CATEGORIES}: {line!r} is no new NAME FOLDER")
            table[fields[1]] = fields[0]
        return table

    def _parts(self, names: Sequence[str], lists: Mapping[str, Sequence[Entry]]) -> PartTable:
        path = self.root / _PARTS
        if path.is_file():
            return parts_from_table(path, read_json_file(path), names)
        if set(names) <= set(PUBLISHED):
            return published_parts(names)
        found: list[set[int]] = [set() for _ in names]
        for entries in lists.values():
            for entry in entries:
                parts = _read(entry, None).parts
                found[entry.place] |= set() if parts is None else set(parts.tolist())
        return parts_from_data(self.location, names, found)

    def _load(self, split: str, normals: bool) -> FileSet:
        read = partial(_read, table=self._table)
        return FileSet(self.location, self.classes, self._entries[split], self._indices, read, self.up, normals)


def _read(entry: Entry, table: PartTable | None) -> Rows:
    """A file's points, normals and parts; without a table any whole number from 0 to `LARGEST` is a part."""
    rows = read_rows(entry.path, None, _NUM_COLUMNS)
    labels = rows[:, 6]
    if table is None:
        allowed = (labels == np.floor(labels)) & (labels >= 0) & (labels <= LARGEST)
    else:
        allowed = np.isin(labels, table.parts[entry.place])
    if not allowed.all():
        line = int(np.flatnonzero(~allowed)[0])
        told = f"the whole numbers from 0 to {LARGEST}" if table is None else table.told(entry.place)
        raise TapError(f"{entry.path}: line {line + 1}: part {labels[line]:g} is not one of {told}")
    return Rows(rows[:, :3], rows[:, 3:6], labels.astype(np.int64))
