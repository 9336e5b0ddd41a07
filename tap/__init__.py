"""Take-A-Photo: backbones, photograph module, 2D generator, loss, augmentation and heads.

Names load on first use, so that importing the package costs nothing and does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tap.errors import TapError

if TYPE_CHECKING:
    from tap.ablations import ABLATIONS, Ablation, apply_ablation
    from tap.backbones import BACKBONES, Backbone, BackboneConfig, build_backbone
    from tap.backbones.dgcnn import DGCNN, DGCNNConfig
    from tap.backbones.pointmlp import PointMLP, PointMLPConfig, PointMLPElite, PointMLPEliteConfig
    from tap.backbones.pointnet2 import PointNet2, PointNet2Config
    from tap.backbones.transformer import Transformer, TransformerConfig
    from tap.batch import Encoded, Level, PointBatch, ViewBatch
    from tap.interchange.export import export_run
    from tap.interchange.hub import load_backbone
    from tap.interchange.importing import import_weights
    from tap.loading.augment import AugmentConfig
    from tap.losses import RegionLoss, RegionSums
    from tap.network.generator import Generator, GeneratorConfig
    from tap.network.heads import ClassificationHead
    from tap.network.model import ModelConfig, TakeAPhoto, build_model
    from tap.network.photograph import Photograph, PhotographConfig, build_photograph, reference_photograph
    from tap.network.projection import ProjectedPhotograph
    from tap.perceptual import PerceptualLoss
    from tap.presets import MODEL_PRESETS

__all__ = [
    "ABLATIONS",
    "BACKBONES",
    "DGCNN",
    "MODEL_PRESETS",
    "Ablation",
    "AugmentConfig",
    "Backbone",
    "BackboneConfig",
    "ClassificationHead",
    "DGCNNConfig",
    "Encoded",
    "Generator",
    "GeneratorConfig",
    "Level",
    "ModelConfig",
    "PerceptualLoss",
    "Photograph",
    "PhotographConfig",
    "PointBatch",
    "PointMLP",
    "PointMLPConfig",
    "PointMLPElite",
    "PointMLPEliteConfig",
    "PointNet2",
    "PointNet2Config",
    "ProjectedPhotograph",
    "RegionLoss",
    "RegionSums",
    "TakeAPhoto",
    "TapError",
    "Transformer",
    "TransformerConfig",
    "ViewBatch",
    "apply_ablation",
    "build_backbone",
    "build_model",
    "build_photograph",
    "export_run",
    "import_weights",
    "load_backbone",
    "reference_photograph",
]

# What `__getattr__` reads; the imports above say the same to the type checker (a test compares the two). The function
# `augment` is left to its module, whose name it shares.
_HOMES = {
    "tap.ablations": ("ABLATIONS", "Ablation", "apply_ablation"),
    "tap.loading.augment": ("AugmentConfig",),
    "tap.backbones": ("BACKBONES", "Backbone", "BackboneConfig", "build_backbone"),
    "tap.backbones.dgcnn": ("DGCNN", "DGCNNConfig"),
    "tap.backbones.pointmlp": ("PointMLP", "PointMLPConfig", "PointMLPElite", "PointMLPEliteConfig"),
    "tap.backbones.pointnet2": ("PointNet2", "PointNet2Config"),
    "tap.backbones.transformer": ("Transformer", "TransformerConfig"),
    "tap.batch": ("Encoded", "Level", "PointBatch", "ViewBatch"),
    "tap.network.generator": ("Generator", "GeneratorConfig"),
    "tap.network.heads": ("ClassificationHead",),
    "tap.interchange.export": ("export_run",),
    "tap.interchange.hub": ("load_backbone",),
    "tap.interchange.importing": ("import_weights",),
    "tap.losses": ("RegionLoss", "RegionSums"),
    "tap.network.model": ("ModelConfig", "TakeAPhoto", "build_model"),
    "tap.perceptual": ("PerceptualLoss",),
    "tap.network.photograph": ("Photograph", "PhotographConfig", "build_photograph", "reference_photograph"),
    "tap.presets": ("MODEL_PRESETS",),
    "tap.network.projection": ("ProjectedPhotograph",),
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
