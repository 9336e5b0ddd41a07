"""Presets of classification: a whole `ClassificationConfig` for each backbone at three sizes."""

from collections.abc import Callable, Mapping
from functools import partial

from tap.loading.augment import AugmentConfig
from tap.presets import MODEL_PRESETS, SMALL_SETTINGS
from tap.tasks.classifier import ClassificationConfig
from tap.training.train_config import TrainConfig


def small(backbone: str) -> ClassificationConfig:
    """A run for two CPU cores; that of the transformer takes the backbone of the run it starts from, whichever it is."""
    train = TrainConfig(
        epochs=60, learning_rate=5e-4, min_learning_rate=1e-6, warmup_epochs=3, eval_every=5, save_every=5
    )
    return ClassificationConfig(
        backbone=None if backbone == "transformer" else MODEL_PRESETS[f"small/{backbone}"]().backbone,
        train=train,
        augment=AugmentConfig(scale=(0.9, 1.1), rotate_z=180.0),
        label_smoothing=0.1,
        backbone_warmup_epochs=5,
    )


def reference(backbone: str) -> ClassificationConfig:
    """The settings of the authors' code: warm-up of all parameters for 10 epochs."""
    return _published(f"reference/{backbone}", warmup_epochs=10, backbone_warmup_epochs=0)


def paper(backbone: str) -> ClassificationConfig:
    """The settings of the paper's text: warm-up of the backbone alone for 10 epochs."""
    return _published(f"paper/{backbone}", warmup_epochs=0, backbone_warmup_epochs=10)


SIZES: Mapping[str, Callable[[str], ClassificationConfig]] = {"small": small, "reference": reference, "paper": paper}

CLASSIFICATION_PRESETS: dict[str, Callable[[], ClassificationConfig]] = {
    f"{size}/{backbone}": partial(build, backbone) for backbone in SMALL_SETTINGS for size, build in SIZES.items()
}


def _published(name: str, warmup_epochs: float, backbone_warmup_epochs: float) -> ClassificationConfig:
    train = TrainConfig(
        epochs=300,
        learning_rate=5e-4,
        min_learning_rate=1e-6,
        weight_decay=0.05,
        warmup_epochs=warmup_epochs,
        eval_every=5,
        num_workers=8,
    )
    backbone = MODEL_PRESETS[name]().backbone
    return ClassificationConfig(
        backbone=backbone,
        train=train,
        augment=AugmentConfig(scale=(0.9, 1.1), rotate_z=180.0),
        pooling="max_mean" if backbone.name == "dgcnn" else None,
        backbone_warmup_epochs=backbone_warmup_epochs,
    )
