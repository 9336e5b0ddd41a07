"""HDF5 files of clouds with the keys data, label and maybe normal, as ScanObjectNN and ModelNet40 are given away in.

Legend: n clouds, P points.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tap.datasets.stored import Block
from tap.errors import TapError


def read_labels(path: Path, num_classes: int, names: str) -> npt.NDArray[np.int64]:
    """The labels of a file, after a look at the shape of its points.

    Args:
        path: the file.
        num_classes: labels go from 0 to one less.
        names: where the classes stand, for messages.

    Returns:
        (n,) int64.

    Raises:
        TapError: no such file, damaged, without data or label, or a label that is no class.
    """
    with _open(path) as file:
        points, label = _dataset(path, file, "data"), _dataset(path, file, "label")
        if points.ndim != 3 or points.shape[2] != 3 or label.size != len(points) or label.shape[:1] != points.shape[:1]:
            raise TapError(
                f"{path}: data is {points.shape} and label {label.shape}; (n, points, 3) and (n,) are expected"
            )
        if not len(points):
            raise TapError(f"{path}: holds no clouds; its data is {points.shape}")
        labels = np.asarray(label[()]).reshape(-1)
    if labels.dtype.kind not in "iu":
        raise TapError(f"{path}: labels are {labels.dtype}; whole numbers are expected")
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise TapError(
            f"{path}: the label of row {wrong[0]} is {labels[wrong[0]]}; {names}: {num_classes} classes, "
            f"so labels go from 0 to {num_classes - 1}"
        )
    return labels.astype(np.int64)


def read_blocks(paths: Sequence[Path], normals: bool) -> list[Block]:
    """The clouds of files, each a block; their normals too where they are wanted and there.

    Raises:
        TapError: a file is damaged, or its normals are not of the points' shape.
    """
    blocks = []
    for path in paths:
        with _open(path) as file:
            points = _values(path, file, "data")
            known = _values(path, file, "normal") if normals and "normal" in file else None
        if known is not None and known.shape != points.shape:
            raise TapError(f"{path}: normal is {known.shape}, data {points.shape}; they must be of one shape")
        blocks.append(Block(path.stem, points, known))
    return blocks


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        reason = (
            "no such file"
            if not path.exists()
            else f"cannot be read as HDF5, copy it anew: {str(error).splitlines()[0]}"
        )
        raise TapError(f"{path}: {reason}") from error


def _dataset(path: Path, file: h5py.File, key: str) -> Any:
    found = file.get(key)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        raise TapError(
            f"{path}: has no numbers under the key {key!r}; its keys are {', '.join(sorted(file)) or 'none'}"
        )
    return found


def _values(path: Path, file: h5py.File, key: str) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = np.asarray(_dataset(path, file, key)[()], np.float32)
    return values
