"""ModelNet40 as HDF5 files, and any set in the layout of modelnet40_ply_hdf5_2048: 2,048 points of each shape."""

from collections.abc import Mapping, Sequence

import numpy as np

from tap.datasets.cloud_source import CloudSource, check_files, check_once
from tap.datasets.hdf5 import read_blocks, read_labels
from tap.datasets.stored import ArraySet

_LISTS = {"train": "train_files.txt", "test": "test_files.txt"}
_NAMES = "shape_names.txt"


class ModelNetHdf5(CloudSource):
    """ModelNet40 of PointNet; the splits are train and test.

    The lists name their files with the folders of whoever made them, so of a line only the file name counts.
    """

    layout = "modelnet40-h5"
    marks = _LISTS["train"]
    obtain = "get modelnet40_ply_hdf5_2048.zip, linked at https://github.com/charlesq34/pointnet"

    def _look(self) -> tuple[Sequence[str], Mapping[str, int]]:
        names = self.read_lines(_NAMES)
        check_once(str(self.root / _NAMES), names)
        self._files = {
            split: [self.root / line.replace("\\", "/").rpartition("/")[2] for line in self.read_lines(name)]
            for split, name in _LISTS.items()
        }
        files = [path for paths in self._files.values() for path in paths]
        check_once(f"{self.location}: {' and '.join(_LISTS.values())}", [path.name for path in files])
        check_files(self, files)
        self._labels = {
            split: np.concatenate([read_labels(path, len(names), _NAMES) for path in paths])
            for split, paths in self._files.items()
        }
        return names, {split: len(labels) for split, labels in self._labels.items()}

    def _load(self, split: str, normals: bool) -> ArraySet:
        labels = np.asarray(self._indices, np.int64)[self._labels[split]]
        return ArraySet(self.location, self.classes, labels, read_blocks(self._files[split], normals), self.up)
