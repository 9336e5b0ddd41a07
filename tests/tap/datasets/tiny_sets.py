"""Tiny data sets in the exact public layouts, one builder each: two classes or more, a train and a test split."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tests.tap.conftest import write_set

NUM_POINTS = 40
Array = npt.NDArray[Any]


def shape(seed: int, num_points: int = NUM_POINTS) -> Array:
    """(num_points, 6) float32 points of a tilted box off its origin, and unit normals."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (num_points, 3)) * (1, 2, 3) + (5, -4, 2)
    normals = rng.normal(size=(num_points, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.concatenate([points, normals], axis=1).astype(np.float32)


def write_h5(path: Path, labels: Sequence[int], seed: int = 0, **changes: Any) -> None:
    """A file of clouds; ``changes`` replace keys, or leave them out where None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clouds = np.stack([shape(seed + number) for number in range(len(labels))])
    content = {"data": clouds[..., :3], "normal": clouds[..., 3:], "label": np.asarray(labels, np.uint8)[:, None]}
    with h5py.File(path, "w") as file:
        for key, value in (content | changes).items():
            if value is not None:
                file[key] = value


def write_rows(path: Path, table: Array, delimiter: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, table, fmt="%.6f", delimiter=delimiter)


def scanobjectnn(root: Path, variants: Sequence[str] = ("main_split/{}_objectdataset.h5",)) -> Path:
    for variant in variants:
        mask = np.full((3, NUM_POINTS), -1)
        for seed, split in enumerate(("training", "test")):
            # the public files have flat labels and no normals
            path = root / variant.format(split)
            write_h5(path, [0, 14, 4], 10 * seed, label=np.asarray([0, 14, 4], np.int32), normal=None, mask=mask)
    return root


def modelnet_h5(root: Path) -> Path:
    names = ["airplane", "night_stand", "tv_stand"]
    (root / "shape_names.txt").write_text("\n".join(names) + "\n")
    write_h5(root / "ply_data_train0.h5", [0, 1], 1)
    write_h5(root / "ply_data_train1.h5", [2, 1, 0], 3)
    write_h5(root / "ply_data_test0.h5", [1, 0], 9)
    prefix = "data/modelnet40_ply_hdf5_2048/"
    (root / "train_files.txt").write_text(f"{prefix}ply_data_train0.h5\n{prefix}ply_data_train1.h5\n")
    (root / "test_files.txt").write_text("/home/someone/data/ply_data_test0.h5\n")
    return root


def modelnet_txt(root: Path, prefix: str = "modelnet40") -> Path:
    (root / f"{prefix}_shape_names.txt").write_text("airplane\nnight_stand\n")
    shapes = {"train": ["airplane_0001", "night_stand_0012"], "test": ["night_stand_0201"]}
    for split, names in shapes.items():
        (root / f"{prefix}_{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            folder = root / name.rpartition("_")[0]
            write_rows(folder / f"{name}.txt", shape(int(name[-4:])), ",")
    return root


SYNSETS = {"Airplane": "02691156", "Cap": "02954340", "Mug": "03797390"}
PARTS = {"Airplane": range(4), "Cap": (6, 7), "Mug": (36, 37)}


def shapenet_part(root: Path) -> Path:
    (root / "synsetoffset2category.txt").write_text("".join(f"{name}\t{code}\n" for name, code in SYNSETS.items()))
    (root / "train_test_split").mkdir(parents=True)
    for number, split in enumerate(("train", "val", "test")):
        entries = []
        for place, (name, synset) in enumerate(SYNSETS.items()):
            rows = shape(10 * number + place)
            labels = np.resize(np.asarray(list(PARTS[name])), len(rows))
            write_rows(root / synset / f"{split}{place}.txt", np.column_stack([rows, labels]), " ")
            entries.append(f"shape_data/{synset}/{split}{place}")
        (root / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(entries))
    return root


def class_folder(root: Path) -> Path:
    for seed, name in enumerate(("chair/train/1.xyz", "sofa/train/a.txt", "chair/test/2.xyz", "sofa/test/b.txt")):
        write_rows(root / name, shape(seed), " ")
    np.save(root / "chair/train/3.npy", shape(9))
    return root


def shards(root: Path) -> Path:
    return write_set(root / "set", {"train": 2, "test": 1})


LAYOUT_SETS: dict[str, Callable[[Path], Path]] = {
    "shards": shards,
    "scanobjectnn/obj_bg": scanobjectnn,
    "scanobjectnn/obj_only": lambda root: scanobjectnn(root, ["main_split_nobg/{}_objectdataset.h5"]),
    "scanobjectnn/pb_t50_rs": lambda root: scanobjectnn(root, ["main_split/{}_objectdataset_augmentedrot_scale75.h5"]),
    "modelnet40-h5": modelnet_h5,
    "modelnet40-txt": modelnet_txt,
    "modelnet10-txt": lambda root: modelnet_txt(root, "modelnet10"),
    "shapenetpart": shapenet_part,
    "folder": class_folder,
}
