"""Shards of single spheres, whose depth and normals are known in closed form, for the tests of targets beside colour."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from render.camera import Cameras, pixel_centers
from render.rig import Viewpoint, cameras_around
from shards.build import BuildOptions, build_shards
from shards.plan import Source
from shards.schema import SCHEMA_VERSION, Sample, image_name

IMAGE_SIZE, NUM_VIEWS, NUM_POINTS = 32, 3, 64
Projection = Literal["parallel", "perspective"]
Floats = npt.NDArray[np.float64]


def sphere(seed: int) -> tuple[Floats, float]:
    """Centre (3,) and radius of a sphere inside the unit sphere."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.3, 0.6)
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction) * (1.0 - radius) * rng.uniform(0.5, 1.0), float(radius)


def seen(cameras: Cameras, view: int, center: Floats, radius: float) -> tuple[Floats, Floats]:
    """Depth (H, W), nan where nothing is, and normals (H, W, 3) in the camera's frame, at the pixels' centres."""
    pose, lens = cameras.world_to_camera[view].astype(float), cameras.intrinsics[view].astype(float)
    middle = pose[:3, :3] @ center + pose[:3, 3]
    plane = (pixel_centers(cameras.image_size) - lens[:2, 2]) / np.diag(lens)[:2]
    if cameras.projection == "parallel":
        start = np.column_stack([plane, np.zeros(len(plane))])
        along = np.tile([0.0, 0.0, 1.0], (len(plane), 1))
    else:
        start, along = np.zeros((len(plane), 3)), np.column_stack([plane, np.ones(len(plane))])
    a, b = (along**2).sum(1), ((start - middle) * along).sum(1)
    root = b**2 - a * (((start - middle) ** 2).sum(1) - radius**2)
    with np.errstate(invalid="ignore"):
        hit = start + ((-b - np.sqrt(root)) / a)[:, None] * along
    shape = (cameras.image_size, cameras.image_size)
    return hit[:, 2].reshape(shape), ((hit - middle) / radius).reshape(*shape, 3)


def make_sample(
    source: Source,
    projection: Projection = "parallel",
    kinds: Sequence[str] = ("depth", "normal"),
    views: int = NUM_VIEWS,
    size: int = IMAGE_SIZE,
) -> Sample:
    """A sphere by the number that is the source's path: grey views, and depth and normals as `tap render` stores them."""
    center, radius = sphere(int(source.path))
    angles = np.arange(max(views, 1)) * 110.0
    cameras = cameras_around(angles, np.full(len(angles), 30.0), Viewpoint(size, projection))
    normals = np.random.default_rng(int(source.path)).normal(size=(NUM_POINTS, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    found = [seen(cameras, view, center, radius) for view in range(views)]
    nearest, farthest = (
        (float(f([depth for depth, _ in found])) for f in (np.nanmin, np.nanmax)) if views else (0.0, 1.0)
    )
    step = (farthest - nearest) / 65534
    images: dict[str, npt.NDArray[Any]] = {}
    for view, (depth, normal) in enumerate(found):
        covered = np.isfinite(depth)
        grey = np.where(covered, 255 * (0.3 - 0.6 * normal[..., 2]), 255)
        images[image_name("view", view)] = np.stack([grey, 255 * covered], axis=-1).astype(np.uint8)
        world = normal @ cameras.world_to_camera[view, :3, :3].astype(float)
        stored = {"depth": 1 + np.rint((depth - nearest) / step), "normal": np.rint((world + 1) * 127.5)}
        dtypes = {"depth": np.uint16, "normal": np.uint8}
        for kind in kinds:
            inside = covered if kind == "depth" else covered[..., None]
            images[image_name(kind, view)] = np.where(inside, stored[kind], 0).astype(dtypes[kind])
    meta = {
        "schema_version": SCHEMA_VERSION, "key": source.key, "source": source.relative, "source_sha256": "0" * 64,
        "category": source.category, "split": source.split, "normalization": {"center": [0.0, 0.0, 0.0], "scale": 1.0},
        "up_axis": "z", "num_vertices": 8, "num_faces": 12, "flags": [], "rig": "test", "projection": projection,
        "backend": "closed form", "seed": 0, "image_size": size,
    }  # fmt: skip
    if "depth" in kinds:
        meta["depth"] = {"offset": nearest, "scale": step}
    arrays = {
        "points": np.concatenate([center + radius * normals, normals], axis=1).astype(np.float32),
        "world_to_camera": cameras.world_to_camera[:views].astype(np.float32),
        "intrinsics": cameras.intrinsics[:views].astype(np.float32),
    }
    return Sample(source.key, meta, arrays, images)


def write_spheres(folder: Path, splits: dict[str, int], **options: Any) -> Path:
    """A set with so many spheres in each split, each another one; options are those of `make_sample`."""
    sources = [
        Source(str(1000 * len(split) + number), f"ball/{split}/{number}", "ball", split, f"ball_{split}_{number}")
        for split, count in splits.items()
        for number in range(count)
    ]
    make = functools.partial(make_sample, **options)
    build_shards(sources, make, folder, {"rig": "test"}, BuildOptions(samples_per_shard=4, num_workers=0))
    return folder
