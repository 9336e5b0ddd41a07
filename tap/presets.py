"""Model presets: functions that return a whole `ModelConfig`. The trainer adds its own settings elsewhere.

``paper/`` follows the paper, ``reference/`` the authors' code where the two differ, ``small/`` trains on two CPU cores.
"""

from collections.abc import Callable

from tap.backbones import BackboneConfig
from tap.backbones.transformer import TransformerConfig
from tap.generator import GeneratorConfig
from tap.model import ModelConfig
from tap.photograph import PhotographConfig


def paper_transformer() -> ModelConfig:
    """The transformer of the paper: 21.9 M parameters in the backbone, raw queries, pad token, 224 pixels."""
    return ModelConfig(backbone=_transformer(TransformerConfig()))


def reference_transformer() -> ModelConfig:
    """The transformer as in the authors' code, whose memory has no pad token (it is created and never used).

    Still ours: 8 heads of 32, where their photograph module has 32 heads of 32 at 256 channels.
    """
    paper = paper_transformer()
    return paper.model_copy(update={"photograph": paper.photograph.model_copy(update={"pad_token": False})})


def small_transformer() -> ModelConfig:
    """A transformer for 1,024 points and 112 pixels on a CPU, with Fourier features so that it follows the pose early.

    64 balls of radius .2 cover a surface in the unit sphere: its farthest point centers lie about .2 apart, and a ball
    holds 10 points on a sphere and about 40 on a slender object.
    """
    backbone = TransformerConfig(
        num_groups=64,
        group_size=32,
        radius=0.2,
        embed_hidden=(32, 64, 128),
        embed_channels=128,
        channels=192,
        depth=6,
        num_heads=3,
        drop_path=0.05,
    )
    return ModelConfig(
        backbone=_transformer(backbone),
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


MODEL_PRESETS: dict[str, Callable[[], ModelConfig]] = {
    "small/transformer": small_transformer,
    "reference/transformer": reference_transformer,
    "paper/transformer": paper_transformer,
}


def _transformer(config: TransformerConfig) -> BackboneConfig:
    return BackboneConfig(name="transformer", settings=config.model_dump(mode="json"))
