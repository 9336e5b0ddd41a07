"""A tiny set in the layout of ShapeNetPart: boxes with a lid and rods with a tip, which places tell; and a tiny run on it."""

import json
from pathlib import Path

import numpy as np

from tap.backbones import BackboneConfig
from tap.loading.data import DataConfig
from tap.loading.moves import MovesConfig
from tap.tasks.parts.part_config import PartSegConfig
from tap.training.train_config import TrainConfig

CATEGORIES = {"Box": ("01", 0, ("body", "lid")), "Rod": ("02", 2, ("shaft", "tip", "end"))}
POINTMLP = {
    "inputs": "xyz", "embed_channels": 8, "expansions": [2, 2], "pre_blocks": [1, 1], "pos_blocks": [1, 1],
    "num_neighbors": [8, 8], "strides": [4, 2],
}  # fmt: skip
NUM_POINTS = 300


def write_part_set(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Writes so many shapes of each category in each split, y up as the public set; +y is the last coordinate here."""
    lists: dict[str, list[str]] = {split: [] for split in ("train", "val", "test")}
    for name, (synset, offset, _) in CATEGORIES.items():
        (root / synset).mkdir(parents=True)
        number = first
        for split, count in counts.items():
            for _place in range(count):
                rows = _rows(name, offset, np.random.default_rng((offset, number)))
                np.savetxt(root / synset / f"{number}.txt", rows, "%.6f")
                lists[split].append(f"shape_data/{synset}/{number}")
                number += 1
    (root / "train_test_split").mkdir()
    for split, entries in lists.items():
        (root / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(entries))
    table = "".join(f"{name}\t{synset}\n" for name, (synset, _, _) in CATEGORIES.items())
    (root / "synsetoffset2category.txt").write_text(table)
    parts = {
        name: {"synset": synset, "part_ids": [offset + place for place in range(len(names))], "part_names": list(names)}
        for name, (synset, offset, names) in CATEGORIES.items()
    }
    (root / "parts.json").write_text(json.dumps(parts))
    return root


def _rows(name: str, offset: int, rng: np.random.Generator) -> np.ndarray:
    """(P, 7): x y z nx ny nz part, y up."""
    half = rng.uniform(0.4, 0.6, 3) if name == "Box" else np.array([0.1, rng.uniform(0.8, 1.0), 0.1])
    axis, sign = rng.integers(0, 3, NUM_POINTS), rng.choice([-1.0, 1.0], NUM_POINTS)
    points = rng.uniform(-1, 1, (NUM_POINTS, 3)) * half
    normals = np.zeros((NUM_POINTS, 3))
    points[np.arange(NUM_POINTS), axis] = sign * half[axis]
    normals[np.arange(NUM_POINTS), axis] = sign
    height = points[:, 1] / half[1]
    parts = (height > 0.5).astype(int) if name == "Box" else np.digitize(height, [-0.6, 0.6])
    if name == "Rod":
        parts = np.array([2, 0, 1])[parts]
    return np.concatenate([points, normals, offset + parts[:, None]], axis=1)


def tiny_config() -> PartSegConfig:
    """A run of four epochs of batches of four."""
    train = TrainConfig(
        epochs=4, batch_size=4, eval_every=2, log_every=1, warmup_epochs=1, save_every=100, accelerator="cpu"
    )
    backbone = BackboneConfig(name="pointmlp", settings=POINTMLP)
    return PartSegConfig(backbone=backbone, train=train, data=DataConfig(num_points=64), moves=MovesConfig(jitter=0.01))
