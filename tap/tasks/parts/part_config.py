"""Settings of part segmentation."""

from typing import Any, Literal

from pydantic import Field

from tap.loading.data import DataConfig
from tap.network.part_heads import Decoder
from tap.tasks.finetuning import FineTuneConfig


class PartSegConfig(FineTuneConfig):
    """A whole part segmentation run."""

    decoder: Decoder = Field(
        "levels", description="From the backbone's levels to the points: levels (any backbone) or pointmlp's own."
    )
    data: DataConfig = Field(
        default_factory=lambda: DataConfig(num_points=2048),
        description="Points of a cloud, of which scores are taken too; normals are read where the backbone wants them.",
    )
    select: Literal["validation", "test"] = Field(
        "validation",
        description="What chooses the checkpoint: validation, or test itself, as the authors did; then nothing is held back "
        "from train_split, val_split is not read, and the best number is optimistic.",
    )
    val_split: str | None = Field(
        "val",
        description="Split that selects the checkpoint; null, or a set without it, selects on a cut of the training split.",
    )
    validation_share: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of each category of the training split that is cut where there is no val_split.",
    )


def with_normals(config: PartSegConfig) -> PartSegConfig:
    """The config with normals read where the backbone's ``inputs`` ask for them."""
    settings: dict[str, Any] = {} if config.backbone is None else config.backbone.settings
    if settings.get("inputs") != "xyz_normal":
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"normals": True})})
