"""Presets of classification and few-shot runs: a whole config for each backbone at several sizes."""

from collections.abc import Callable, Mapping
from functools import partial

from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.moves import MovesConfig
from tap.presets import MODEL_PRESETS, SMALL_SETTINGS
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.fewshot_folds import FewShotConfig
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


def small_fewshot(backbone: str) -> FewShotConfig:
    """Folds for two CPU cores; that of the transformer takes the backbone of the run it starts from."""
    classification = small(backbone)
    changes = {"epochs": 60, "batch_size": 16, "eval_every": 60, "save_every": 60, "drop_last": False}
    return FewShotConfig(
        backbone=classification.backbone,
        train=classification.train.model_copy(update=changes),
        augment=classification.augment,
        label_smoothing=classification.label_smoothing,
        backbone_warmup_epochs=classification.backbone_warmup_epochs,
    )


def reference_fewshot(backbone: str) -> FewShotConfig:
    """Folds as Point-BERT (CVPR 2022) trains them: no label smoothing, clouds stretched along each axis and shifted.

    But here the last epoch counts, not the best one on the query samples.
    """
    classification = reference(backbone)
    return FewShotConfig(
        backbone=classification.backbone,
        train=classification.train.model_copy(update={"epochs": 150, "eval_every": 150, "num_workers": 4}),
        data=classification.data,
        moves=MovesConfig(scale=(2 / 3, 3 / 2), scale_axes=True, translate=0.2),
        label_smoothing=0.0,
        pooling=classification.pooling,
    )


SIZES: Mapping[str, Callable[[str], ClassificationConfig]] = {"small": small, "reference": reference, "paper": paper}

CLASSIFICATION_PRESETS: dict[str, Callable[[], ClassificationConfig]] = {
    f"{size}/{backbone}": partial(build, backbone) for backbone in SMALL_SETTINGS for size, build in SIZES.items()
}

FEWSHOT_PRESETS: dict[str, Callable[[], FewShotConfig]] = {
    f"{size}/{backbone}": partial(build, backbone)
    for backbone in SMALL_SETTINGS
    for size, build in (("small", small_fewshot), ("reference", reference_fewshot))
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
        data=DataConfig(train_points="farthest_random", eval_points="farthest"),  # as the authors' code draws them
        augment=AugmentConfig(scale=(0.9, 1.1), rotate_z=180.0),
        pooling="max_mean" if backbone.name == "dgcnn" else None,
        backbone_warmup_epochs=backbone_warmup_epochs,
    )
