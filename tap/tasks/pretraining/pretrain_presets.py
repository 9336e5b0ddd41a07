"""Presets of pre-training: a whole `PretrainConfig` for each backbone at three sizes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tap.loading.data import DataConfig
from tap.presets import MODEL_PRESETS, SMALL_SETTINGS
from tap.tasks.pretraining.pretrain_config import PretrainConfig
from tap.training.train_config import TrainConfig

_REFERENCE_RATES: Mapping[str, Mapping[str, Any]] = {
    "pointnet2": {"learning_rate": 2e-3, "min_learning_rate": 1e-5, "weight_decay": 0.05, "warmup_epochs": 0},
    "dgcnn": {
        "learning_rate": 1e-3, "min_learning_rate": 5e-6, "weight_decay": 0.05, "warmup_epochs": 0, "batch_size": 16,
    },
    "pointmlp": {"learning_rate": 2e-3, "min_learning_rate": 1e-5, "weight_decay": 0.05, "warmup_epochs": 0},
    "pointmlp_elite": {"learning_rate": 2e-3, "min_learning_rate": 1e-5, "weight_decay": 0.05, "warmup_epochs": 0},
    "transformer": {"learning_rate": 5e-4, "min_learning_rate": 1e-6, "weight_decay": 5e-4, "warmup_epochs": 3},
}  # fmt: skip
"""As the authors' configs; they have none for PointMLP-elite, which takes PointMLP's."""


def small(backbone: str) -> PretrainConfig:
    """A run for two CPU cores: 112 px, 1,024 points, 4 of 12 views, batches of 16, the generator at 20 times the rate.

    Departures from the paper that learn sooner on a few hundred objects: Fourier features, the memory's norm, the rate.
    DGCNN has a token at every point and finds neighbours among all features, so it takes 512 points.
    """
    return PretrainConfig(
        model=MODEL_PRESETS[f"small/{backbone}"](),
        train=TrainConfig(batch_size=16, epochs=60),
        data=DataConfig(num_points=512 if backbone == "dgcnn" else 1024),
        generator_rate=20.0,
    )


def reference(backbone: str) -> PretrainConfig:
    """The settings of the authors' code: 6 of 12 views, rates and batches of each backbone's config."""
    return PretrainConfig(
        model=MODEL_PRESETS[f"reference/{backbone}"](),
        train=TrainConfig(num_workers=8, **_REFERENCE_RATES[backbone]),
        data=DataConfig(num_points=1024, num_views=6),
    )


def paper(backbone: str) -> PretrainConfig:
    """The settings of the paper's text: all 12 views, batches of 32, weight decay 5e-2."""
    train = TrainConfig(learning_rate=5e-4, min_learning_rate=1e-6, weight_decay=5e-2, num_workers=8)
    return PretrainConfig(
        model=MODEL_PRESETS[f"paper/{backbone}"](), train=train, data=DataConfig(num_points=1024, num_views=12)
    )


SIZES: Mapping[str, Callable[[str], PretrainConfig]] = {"small": small, "reference": reference, "paper": paper}

PRETRAIN_PRESETS: dict[str, Callable[[], PretrainConfig]] = {
    f"{size}/{backbone}": partial(build, backbone) for backbone in SMALL_SETTINGS for size, build in SIZES.items()
}
