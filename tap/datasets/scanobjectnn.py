"""ScanObjectNN in its public layout: scanned objects of 15 classes in three variants, with HDF5 files in two folders.

Source: Uy et al., Revisiting Point Cloud Classification (ICCV 2019). OBJ_BG keeps the background, OBJ_ONLY does not,
PB_T50_RS moves, turns and scales the boxes that objects with background are cut out with.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from tap.datasets.cloud_source import CloudSource
from tap.datasets.hdf5 import read_blocks, read_labels
from tap.datasets.stored import ArraySet

CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow", "sink"),
    *("sofa", "toilet"),
)
"""In the order of their labels."""

_SPLITS = {"train": "training", "test": "test"}


class _ScanObjectNN(CloudSource):
    """One variant; the splits are train and test. The files' mask, which points are background, is not read."""

    folder: ClassVar[str]
    ending: ClassVar[str] = "objectdataset.h5"
    obtain = (
        "ask for the data (h5_files.zip) at https://hkust-vgd.github.io/scanobjectnn and give the folder with main_split "
        "in it"
    )

    def _look(self) -> tuple[Sequence[str], Mapping[str, int]]:
        for path in (self._file(split) for split in _SPLITS):
            if not path.is_file():
                raise self.missing(str(path.relative_to(self.root)))
        self._labels = {split: read_labels(self._file(split), len(CLASSES), "ScanObjectNN") for split in _SPLITS}
        return CLASSES, {split: len(labels) for split, labels in self._labels.items()}

    def _load(self, split: str, normals: bool) -> ArraySet:
        labels = np.asarray(self._indices, np.int64)[self._labels[split]]
        return ArraySet(self.location, self.classes, labels, read_blocks([self._file(split)], normals), self.up)

    def _file(self, split: str) -> Path:
        return self.root / self.folder / f"{_SPLITS[split]}_{self.ending}"


class ObjectsWithBackground(_ScanObjectNN):
    """OBJ_BG."""

    layout = "scanobjectnn/obj_bg"
    folder = "main_split"
    marks = "main_split/training_objectdataset.h5"


class ObjectsOnly(_ScanObjectNN):
    """OBJ_ONLY."""

    layout = "scanobjectnn/obj_only"
    folder = "main_split_nobg"
    marks = "main_split_nobg/training_objectdataset.h5"


class Perturbed(_ScanObjectNN):
    """PB_T50_RS, the hardest."""

    layout = "scanobjectnn/pb_t50_rs"
    folder = "main_split"
    ending = "objectdataset_augmentedrot_scale75.h5"
    marks = "main_split/training_objectdataset_augmentedrot_scale75.h5"
