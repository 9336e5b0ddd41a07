"""A small set with everything that a page has to show: odd names, flags, failures, channels, labels, no views at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.build import BuildOptions, build_shards
from shards.plan import Source
from shards.progress import ignore_progress
from shards.schema import Sample
from tests.shards.synthetic import SourceError, make_meta

EVIL = "</script><script>window.evil=1</script><b>&amp;'\""
CATEGORIES = (EVIL, "chair", "cloud", "lamp")
NUM_SOURCES = 40
SIDE = 32
NUM_POINTS = 3000
FLAGS: dict[int, list[str]] = {
    4: ["blank_view"], 5: ["small_silhouette"], 9: ["small_silhouette"], 12: ["<i>own flag</i>"], 16: ["cut_by_frame"],
}  # fmt: skip
QUALITY = {5: {"smallest_silhouette": 0.03}, 9: {"smallest_silhouette": 0.01}, 16: {"cut_views": 1}}
FAILS = 39


def make_sources() -> list[Source]:
    """Sources 0 to 39, one class after another; every tenth one is for testing."""
    names = [CATEGORIES[number % 4] for number in range(NUM_SOURCES)]
    splits = ["test" if number % 10 == 0 else "train" for number in range(NUM_SOURCES)]
    return [
        Source(f"/nowhere/{number}", f"{name}/{number}.off", name, split, f"thing_{number:02d}")
        for number, (name, split) in enumerate(zip(names, splits, strict=True))
    ]


def make_sample(source: Source) -> Sample:
    """A ball: grey views, of which sample 4 lacks one and sample 16 has one at the edge; clouds have no views."""
    number = int(source.key[-2:])
    if number == FAILS:
        raise SourceError(f"{source.relative}: <u>no faces</u>")
    num_views = 0 if source.category == "cloud" else 2 + number % 3
    directions = np.random.default_rng(number).normal(size=(NUM_POINTS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    arrays: dict[str, NDArray[Any]] = {
        "points": np.hstack([directions * 0.5, directions]).astype(np.float32),
        "world_to_camera": np.tile(np.eye(4, dtype=np.float32), (num_views, 1, 1)),
        "intrinsics": np.tile(np.eye(3, dtype=np.float32), (num_views, 1, 1)),
    }
    if number % 8 == 1:
        arrays["colors"] = np.full((NUM_POINTS, 3), (200, 30, 30), np.uint8)
        arrays["part"] = np.where(directions[:, 2] > 0, 1, -1).astype(np.int32)
    images: dict[str, NDArray[Any]] = {}
    for view in range(num_views):
        image = ball_view(0 if (number, view) == (4, 1) else 10 - view, 14 if (number, view) == (16, 1) else 0)
        images[f"view{view:02d}"] = image
        if number % 8 == 1:
            images[f"depth{view:02d}"] = np.where(image[..., 1] > 0, 30000, 0).astype(np.uint16)
            images[f"normal{view:02d}"] = np.full((SIDE, SIDE, 3), 127, np.uint8)
    meta = make_meta(source) | {"flags": FLAGS.get(number, [])}
    return Sample(source.key, meta | ({"quality": QUALITY[number]} if number in QUALITY else {}), arrays, images)


def ball_view(radius: int, shift: int = 0) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 2) grey and alpha: a disc of this radius, moved to the right."""
    down, across = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    inside = (across - shift) ** 2 + down**2 < radius**2
    return np.dstack([np.where(inside, 120, 255), np.where(inside, 255, 0)]).astype(np.uint8)


def build_showcase(folder: Path) -> Path:
    """The set, written to `folder`: 39 samples in shards of at most 8, one failure."""
    options = BuildOptions(samples_per_shard=8, num_workers=0)
    build_shards(make_sources(), make_sample, folder, {}, options, ignore_progress, (SourceError,))
    return folder
