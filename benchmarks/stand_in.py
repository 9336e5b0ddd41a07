"""Sources without files and a callable that costs next to nothing, for measuring all that is around them."""

import functools
import hashlib
from typing import Any

import numpy as np

from shards.codec import PackedSample, encode_json, pack_sample, split_member
from shards.plan import Source
from shards.schema import SCHEMA_VERSION, Sample

NUM_VIEWS, SIDE, NUM_POINTS, NUM_CLASSES = 12, 8, 16, 55


def make_names(num_sources: int) -> list[str]:
    """Paths of ModelNet's layout, with 32 hex digits as name."""
    digests = [hashlib.md5(str(number).encode()).hexdigest() for number in range(num_sources)]
    return [
        f"class_{number % NUM_CLASSES:02d}/{'test' if number % 5 == 0 else 'train'}/{digest}.off"
        for number, digest in enumerate(digests)
    ]


def make_sources(names: list[str], keys: list[str]) -> list[Source]:
    """Sources, each with strings of its own, as a listing gives them."""
    return [
        Source(f"/data/meshes/{name}", name, name.split("/")[0], name.split("/")[1], key)
        for name, key in zip(names, keys, strict=True)
    ]


@functools.cache
def template() -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """JSON, and the other members by field, of a sample that keeps the contract."""
    meta = {
        "schema_version": SCHEMA_VERSION, "key": "k", "source": "k.off", "source_sha256": hashlib.sha256(b"").hexdigest(),
        "category": "c", "split": "train", "normalization": {"center": [0.0, 0.0, 0.0], "scale": 1.0}, "up_axis": "z",
        "num_vertices": 8, "num_faces": 12, "flags": [], "rig": "mvcnn12", "projection": "parallel", "backend": "cpu",
        "seed": 0, "image_size": SIDE,
    }  # fmt: skip
    cameras = np.tile(np.eye(4, dtype=np.float32), (NUM_VIEWS, 1, 1))
    arrays = {
        "points": np.ones((NUM_POINTS, 6), np.float32),
        "world_to_camera": cameras,
        "intrinsics": cameras[:, :3, :3],
    }
    views = {f"view{number:02d}": np.full((SIDE, SIDE, 2), 255, np.uint8) for number in range(NUM_VIEWS)}
    packed = pack_sample(Sample("k", meta, arrays, views))
    return meta, [(split_member(name)[1], data) for name, data in packed.members if name != "k.json"]


def stand_in(source: Source) -> PackedSample:
    """The prepared sample under this source's name."""
    blank, others = template()
    meta = {**blank, "key": source.key, "source": source.relative, "category": source.category, "split": source.split}
    members = [(f"{source.key}.{field}", data) for field, data in others]
    return PackedSample(source.key, meta, tuple(sorted([*members, (f"{source.key}.json", encode_json(meta))])))
