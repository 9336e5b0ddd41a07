"""Small samples computed from a source's name: a picklable callable for the tests, importable in spawned processes.

It is imported as `tests.shards.synthetic`: pytest puts the repository root on the path (`pythonpath` in pyproject.toml),
and a spawned process takes the path over from its parent.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from shards.key import unique_keys
from shards.plan import Source
from shards.record import read_manifest, write_manifest
from shards.schema import SCHEMA_VERSION, Sample
from shards.stores.store import open_store

NUM_POINTS = 20
NUM_VIEWS = 3
SIDE = 16
CATEGORIES = ("chair", "lamp", "mug")


class SourceError(Exception):
    """A bad source, as RenderError is one for the real callable."""


def make_sources(num_train: int = 10, num_test: int = 3) -> list[Source]:
    names = [f"{CATEGORIES[i % 3]}/train/{CATEGORIES[i % 3]}_{i:04d}.off" for i in range(num_train)]
    names += [f"{CATEGORIES[i % 3]}/test/{CATEGORIES[i % 3]}_{i + 900:04d}.off" for i in range(num_test)]
    keys = unique_keys(names)
    return [
        Source(f"/nowhere/{name}", name, name.split("/")[0], name.split("/")[1], key)
        for name, key in zip(names, keys, strict=True)
    ]


def make_sample(source: Source) -> Sample:
    """The sample of a source: random, but the same for the same key."""
    random = np.random.default_rng(list(source.key.encode()))
    num_points = NUM_POINTS + len(source.key) % 3
    images = random.integers(0, 256, (NUM_VIEWS, SIDE, SIDE, 2), dtype=np.uint8)
    images[..., 1] = np.where(images[..., 1] > 127, 255, 0)
    return Sample(
        key=source.key,
        meta=make_meta(source),
        arrays={
            "points": random.normal(size=(num_points, 6)).astype(np.float32),
            "world_to_camera": np.tile(np.eye(4, dtype=np.float32), (NUM_VIEWS, 1, 1)),
            "intrinsics": np.tile(np.eye(3, dtype=np.float32) * np.float32(100), (NUM_VIEWS, 1, 1)),
        },
        images={f"view{number:02d}": image for number, image in enumerate(images)},
    )


def make_meta(source: Source) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "key": source.key,
        "source": source.relative,
        "source_sha256": hashlib.sha256(source.relative.encode()).hexdigest(),
        "category": source.category,
        "split": source.split,
        "normalization": {"center": [0.0, 0.5, -1.0], "scale": 2.0},
        "up_axis": "z",
        "num_vertices": 8,
        "num_faces": 12,
        "flags": ["open"] if source.key.endswith(("1", "4")) else [],
        "rig": "mvcnn12",
        "projection": "parallel",
        "backend": "cpu",
        "seed": 0,
        "image_size": SIDE,
    }


def failing_sample(source: Source) -> Sample:
    """Every source whose number ends in 2 is bad."""
    if source.key.endswith("2"):
        raise SourceError(f"{source.path}: no faces\nafter cleaning")
    return make_sample(source)


def bad_sample(source: Source) -> Sample:
    raise SourceError("")


def buggy_sample(source: Source) -> Sample:
    if source.key.endswith("3"):
        raise ZeroDivisionError("a bug")
    return make_sample(source)


def slow_sample(source: Source) -> Sample:
    time.sleep(0.02)
    return make_sample(source)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones included: name to bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def change_manifest(folder: Path, **fields: Any) -> None:
    """Writes the manifest of a set with other values of some fields, and a checksum that fits them."""
    store = open_store(folder)
    write_manifest(store, read_manifest(store).model_copy(update=fields))
