"""Model presets: a whole `ModelConfig` for each backbone at three sizes. The trainer adds its own settings elsewhere.

``paper/`` follows the paper, ``reference/`` the authors' code where the two differ, ``small/`` trains on two CPU cores.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tap.backbones import BackboneConfig
from tap.network.generator import GeneratorConfig
from tap.network.model import ModelConfig
from tap.network.photograph import PhotographConfig, reference_photograph

SMALL_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "pointnet2": {
        "inputs": "xyz",
        "strides": (4, 2, 2),
        "mlps": ((32, 32, 64), (64, 64, 128), (128, 128, 256)),
        "radii": (0.2, 0.4, 0.6),
        "num_neighbors": (16, 32, 32),
    },
    "dgcnn": {"inputs": "xyz", "widths": (32, 32, 64, 128), "channels": 256, "num_neighbors": 12},
    "pointmlp": {
        "inputs": "xyz",
        "embed_channels": 32,
        "expansions": (2, 2, 2),
        "pre_blocks": (1, 1, 1),
        "pos_blocks": (1, 1, 1),
        "num_neighbors": (16, 16, 16),
        "strides": (4, 2, 2),
    },
    "pointmlp_elite": {"inputs": "xyz", "num_neighbors": (12, 12, 12, 12), "strides": (4, 2, 2, 1)},
    # 64 balls of radius .2 cover a surface in the unit sphere: its farthest point centers lie about .2 apart, and a ball
    # holds 10 points on a sphere and about 40 on a slender object.
    "transformer": {
        "num_groups": 64,
        "group_size": 32,
        "radius": 0.2,
        "embed_hidden": (32, 64, 128),
        "embed_channels": 128,
        "channels": 192,
        "depth": 6,
        "num_heads": 3,
        "drop_path": 0.05,
    },
}
"""What the ``small/`` presets change of each backbone's own defaults."""


def small(backbone: str) -> ModelConfig:
    """A model for 1,024 points and 112 pixels on a CPU, with Fourier features so that it follows the pose early.

    Backbones read coordinates alone: a few hundred objects are turned about z, and height adds little to z itself.
    """
    return ModelConfig(
        backbone=BackboneConfig(name=backbone, settings=dict(SMALL_SETTINGS[backbone])),
        photograph=PhotographConfig(
            channels=128,
            layers=3,
            num_heads=4,
            drop_path=0.0,  # a short run has nothing to regularise
            query_octaves=4,
            memory_octaves=4,
            memory_norm=True,
        ),
        generator=GeneratorConfig(strides=(2, 2, 2, 2)),
        image_size=112,
    )


def paper(backbone: str) -> ModelConfig:
    """The model of the paper: raw queries, pad token, 224 pixels; each backbone has its public module's parameters."""
    return ModelConfig(backbone=BackboneConfig(name=backbone))


def reference(backbone: str) -> ModelConfig:
    """The model of the authors' code, tensor by tensor; see `tap.network.photograph.reference_photograph`."""
    from tap.backbones import build_backbone

    config = BackboneConfig(name=backbone)
    channels = build_backbone(config).channels
    return ModelConfig(backbone=config, photograph=reference_photograph(channels))


SIZES: Mapping[str, Callable[[str], ModelConfig]] = {"small": small, "reference": reference, "paper": paper}

MODEL_PRESETS: dict[str, Callable[[], ModelConfig]] = {
    f"{size}/{backbone}": partial(build, backbone) for backbone in SMALL_SETTINGS for size, build in SIZES.items()
}
