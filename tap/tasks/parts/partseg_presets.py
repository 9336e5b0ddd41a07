"""Presets of part segmentation: a whole `PartSegConfig` for each backbone at three sizes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tap.backbones import BackboneConfig
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.moves import MovesConfig
from tap.presets import MODEL_PRESETS, SMALL_SETTINGS
from tap.tasks.parts.part_config import PartSegConfig
from tap.training.train_config import TrainConfig


def small(backbone: str) -> PartSegConfig:
    """A run for a CPU on a few hundred shapes; that of the transformer takes the backbone of the run it starts from."""
    train = TrainConfig(
        epochs=40,
        batch_size=16,
        learning_rate=2e-3,
        min_learning_rate=1e-5,
        warmup_epochs=2,
        eval_every=5,
        save_every=5,
    )
    return PartSegConfig(
        backbone=None if backbone == "transformer" else MODEL_PRESETS[f"small/{backbone}"]().backbone,
        train=train,
        data=DataConfig(num_points=1024, short_clouds="repeat"),
        augment=AugmentConfig(scale=(0.8, 1.2)),
        moves=MovesConfig(translate=0.1),
        backbone_warmup_epochs=2,
    )


def reference(backbone: str) -> PartSegConfig:
    """The settings of the authors' code: warm-up of nothing.

    Three things differ: their loss is focal, theirs ends in two steps of the rate and ours in half a cosine, and they train on
    ``trainval`` and select on test (``train_split=trainval select=test`` does the same).
    """
    return _published(f"reference/{backbone}", backbone_warmup_epochs=0)


def paper(backbone: str) -> PartSegConfig:
    """The settings of the paper's text: warm-up of the backbone for 10 epochs, else as `reference`."""
    return _published(f"paper/{backbone}", backbone_warmup_epochs=10)


SIZES: Mapping[str, Callable[[str], PartSegConfig]] = {"small": small, "reference": reference, "paper": paper}

PARTSEG_PRESETS: dict[str, Callable[[], PartSegConfig]] = {
    f"{size}/{backbone}": partial(build, backbone) for backbone in SMALL_SETTINGS for size, build in SIZES.items()
}


def _published(name: str, backbone_warmup_epochs: float) -> PartSegConfig:
    """2,048 points with normals where the backbone reads them, 300 epochs."""
    train = TrainConfig(
        epochs=300,
        batch_size=16,
        learning_rate=1e-3,
        min_learning_rate=1e-5,
        weight_decay=1e-4,
        warmup_epochs=0,
        clip_norm=1.0,
        eval_every=5,
        num_workers=8,
    )
    backbone = MODEL_PRESETS[name]().backbone
    settings: dict[str, Any] = dict(backbone.settings)
    normals = "inputs" in settings
    if normals:
        settings["inputs"] = "xyz_normal"
    return PartSegConfig(
        backbone=BackboneConfig(name=backbone.name, settings=settings),
        decoder="pointmlp" if backbone.name == "pointmlp" else "levels",
        train=train,
        data=DataConfig(num_points=2048, normals=normals, short_clouds="repeat"),
        augment=AugmentConfig(scale=(0.8, 1.2), jitter=0.001),
        backbone_warmup_epochs=backbone_warmup_epochs,
    )
