"""A small labelled shard set: boxes, balls and rods, their silhouettes splatted through the cameras of the package."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from render.camera import Cameras, project
from render.rig import Viewpoint, cameras_around
from shards.build import BuildOptions, build_shards
from shards.plan import Source
from shards.schema import SCHEMA_VERSION, Sample
from tap.backbones import BackboneConfig
from tap.loading.data import DataConfig
from tap.network.generator import GeneratorConfig
from tap.network.model import ModelConfig
from tap.network.photograph import PhotographConfig
from tap.tasks.classes.classifier import ClassificationConfig
from tap.tasks.pretraining.pretrain import PretrainConfig
from tap.training.train_config import TrainConfig

torch.set_num_threads(1)  # the tests' tensors are tiny: a second thread only waits

IMAGE_SIZE, NUM_VIEWS, NUM_POINTS = 32, 4, 256
CLASSES = ("ball", "box", "rod")


def surface(category: str, number: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(number, 6) points and normals of a random shape inside the unit sphere."""
    if category == "ball":
        normals = rng.normal(size=(number, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return np.concatenate([normals * rng.uniform(0.5, 0.95), normals], axis=1)
    half = rng.uniform(0.3, 0.55, 3) if category == "box" else np.array([0.12, 0.12, rng.uniform(0.6, 0.95)])
    axis = rng.integers(0, 3, number)
    sign = rng.choice([-1.0, 1.0], number)
    points = rng.uniform(-1, 1, (number, 3)) * half
    normals = np.zeros((number, 3))
    points[np.arange(number), axis] = sign * half[axis]
    normals[np.arange(number), axis] = sign
    return np.concatenate([points, normals], axis=1)


def silhouettes(points: npt.NDArray[np.float64], cameras: Cameras) -> list[npt.NDArray[np.uint8]]:
    """Grey + alpha pictures of dense points, the nearest point of a pixel shading it by its normal."""
    images = []
    pixels, depth = project(points[None, :, :3], cameras.world_to_camera, cameras.intrinsics, np.array([[1.0]]))
    for view in range(cameras.num_views):
        image = np.full((cameras.image_size, cameras.image_size, 2), (255, 0), np.uint8)
        facing = np.abs(points[:, 3:] @ cameras.world_to_camera[view, 2, :3])
        order = np.argsort(-depth[view])
        u, v = pixels[view, order].astype(int).T
        image[v, u, 0] = (255 * (0.3 + 0.6 * facing[order])).astype(np.uint8)
        image[v, u, 1] = 255
        images.append(image)
    return images


def make_sample(source: Source) -> Sample:
    rng = np.random.default_rng(int(source.path))
    state = rng.bit_generator.state
    dense = surface(source.category, 6000, rng)
    rng.bit_generator.state = state
    viewpoint = Viewpoint(IMAGE_SIZE, "parallel")
    cameras = cameras_around(np.arange(NUM_VIEWS) * 90.0 + 20.0, np.full(NUM_VIEWS, 30.0), viewpoint)
    images = silhouettes(dense, cameras)
    points = dense[rng.choice(len(dense), NUM_POINTS, replace=False)]
    meta = {
        "schema_version": SCHEMA_VERSION,
        "key": source.key,
        "source": source.relative,
        "source_sha256": "0" * 64,
        "category": source.category,
        "split": source.split,
        "normalization": {"center": [0.0, 0.0, 0.0], "scale": 1.0},
        "up_axis": "z",
        "num_vertices": 8,
        "num_faces": 12,
        "flags": [],
        "rig": "test",
        "projection": "parallel",
        "backend": "splat",
        "seed": 0,
        "image_size": IMAGE_SIZE,
    }
    arrays = {
        "points": points.astype(np.float32),
        "world_to_camera": cameras.world_to_camera.astype(np.float32),
        "intrinsics": cameras.intrinsics.astype(np.float32),
    }
    return Sample(source.key, meta, arrays, {f"view{view:02d}": image for view, image in enumerate(images)})


def write_set(folder: Path, splits: dict[str, int], first_seed: dict[str, int] | None = None) -> Path:
    """A set with so many samples of each class; splits of the same first seed hold the same shapes."""
    sources = []
    for split, count in splits.items():
        seed = (first_seed or {}).get(split, 1000 * len(split))
        for place, category in enumerate(CLASSES):
            for number in range(count):
                relative = f"{category}/{split}/{number}"
                key = relative.replace("/", "_")
                sources.append(Source(str(seed + place * count + number), relative, category, split, key))
    build_shards(sources, make_sample, folder, {"rig": "test"}, BuildOptions(samples_per_shard=4, num_workers=0))
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 training and 6 test samples of 3 classes, 4 views of 32 px, 256 points."""
    return write_set(tmp_path_factory.mktemp("sets") / "both", {"train": 5, "test": 2})


@pytest.fixture(scope="session")
def train_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 training samples and no test split."""
    return write_set(tmp_path_factory.mktemp("sets") / "train_only", {"train": 3})


@pytest.fixture(scope="session")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 training samples, and the same 3 as test: for overfitting."""
    return write_set(tmp_path_factory.mktemp("sets") / "repeated", {"train": 1, "test": 1}, {"train": 7, "test": 7})


def tiny_backbone() -> BackboneConfig:
    settings = {"num_groups": 12, "group_size": 8, "radius": 0.4, "embed_hidden": (16, 16, 32), "embed_channels": 32}
    return BackboneConfig(settings=settings | {"channels": 48, "depth": 2, "num_heads": 3, "drop_path": 0.1})


@pytest.fixture(scope="session")
def pretrain_config() -> PretrainConfig:
    """A run of 3 epochs of 3 steps that takes about a second."""
    model = ModelConfig(
        backbone=tiny_backbone(),
        photograph=PhotographConfig(channels=32, layers=2, num_heads=4, cells=4, query_octaves=4, memory_octaves=4),
        generator=GeneratorConfig(strides=(4, 2)),
        image_size=IMAGE_SIZE,
    )
    train = TrainConfig(epochs=3, batch_size=5, eval_every=2, log_every=1, warmup_epochs=1, accelerator="cpu")
    return PretrainConfig(model=model, train=train, data=DataConfig(num_points=128, num_views=3))


@pytest.fixture(scope="session")
def classification_config() -> ClassificationConfig:
    """A run of 6 epochs of 2 steps from scratch."""
    train = TrainConfig(epochs=6, batch_size=6, eval_every=2, log_every=1, warmup_epochs=1, accelerator="cpu")
    return ClassificationConfig(backbone=tiny_backbone(), train=train, data=DataConfig(num_points=128))
