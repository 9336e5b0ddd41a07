"""Take-A-Photo: backbones, photograph module, 2D generator, loss, augmentation and heads.

Names load on first use, so that importing the package costs nothing and does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tap.errors import TapError

if TYPE_CHECKING:
    from tap.augment import AugmentConfig
    from tap.backbones import BACKBONES, Backbone, BackboneConfig, build_backbone
    from tap.backbones.transformer import Transformer, TransformerConfig
    from tap.batch import Encoded, Level, PointBatch, ViewBatch
    from tap.generator import Generator, GeneratorConfig
    from tap.heads import ClassificationHead
    from tap.losses import RegionLoss, RegionSums
    from tap.model import ModelConfig, TakeAPhoto, build_model
    from tap.photograph import Photograph, PhotographConfig
    from tap.presets import MODEL_PRESETS

__all__ = [
    "BACKBONES",
    "MODEL_PRESETS",
    "AugmentConfig",
    "Backbone",
    "BackboneConfig",
    "ClassificationHead",
    "Encoded",
    "Generator",
    "GeneratorConfig",
    "Level",
    "ModelConfig",
    "Photograph",
    "PhotographConfig",
    "PointBatch",
    "RegionLoss",
    "RegionSums",
    "TakeAPhoto",
    "TapError",
    "Transformer",
    "TransformerConfig",
    "ViewBatch",
    "build_backbone",
    "build_model",
]

# What `__getattr__` reads; the imports above say the same to the type checker (a test compares the two). The function
# `augment` is left to its module, whose name it shares.
_HOMES = {
    "tap.augment": ("AugmentConfig",),
    "tap.backbones": ("BACKBONES", "Backbone", "BackboneConfig", "build_backbone"),
    "tap.backbones.transformer": ("Transformer", "TransformerConfig"),
    "tap.batch": ("Encoded", "Level", "PointBatch", "ViewBatch"),
    "tap.generator": ("Generator", "GeneratorConfig"),
    "tap.heads": ("ClassificationHead",),
    "tap.losses": ("RegionLoss", "RegionSums"),
    "tap.model": ("ModelConfig", "TakeAPhoto", "build_model"),
    "tap.photograph": ("Photograph", "PhotographConfig"),
    "tap.presets": ("MODEL_PRESETS",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
