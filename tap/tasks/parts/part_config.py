"""Settings of part segmentation."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tap.backbones import BackboneConfig
from tap.datasets import DatasetConfig
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.moves import MovesConfig
from tap.network.part_heads import Decoder
from tap.training.train_config import TrainConfig


class PartSegConfig(BaseModel):
    """A whole part segmentation run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: BackboneConfig | None = Field(
        None,
        description="The backbone; null takes that of the run to start from, or the small transformer from scratch.",
    )
    decoder: Decoder = Field(
        "levels", description="From the backbone's levels to the points: levels (any backbone) or pointmlp's own."
    )
    train: TrainConfig = Field(default_factory=TrainConfig, description="How long, how fast and where.")
    data: DataConfig = Field(
        default_factory=lambda: DataConfig(num_points=2048),
        description="Points of a cloud, of which scores are taken too; normals are read where the backbone wants them.",
    )
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="How the data set is stored.")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="Moves the points, in the loader.")
    moves: MovesConfig = Field(default_factory=MovesConfig, description="Moves them further, on the device.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout of the decoder.")
    backbone_warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs in which a pre-trained backbone's learning rate rises from 0 to the decoder's."
    )
    select: Literal["validation", "test"] = Field(
        "validation",
        description="What chooses the checkpoint: validation, or test itself, as the authors did; then nothing is held back "
        "from train_split, val_split is not read, and the best number is optimistic.",
    )
    train_split: str = Field("train", description="Split that is trained on.")
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
    test_split: str = Field("test", description="Split that is read once at the end, if the set has it.")
    split_seed: int | None = Field(
        None, ge=0, description="Seed of which shapes are cut for validation; null takes train.seed."
    )

    @property
    def sampling_seed(self) -> int:
        """The seed of which shapes are cut."""
        return self.train.seed if self.split_seed is None else self.split_seed


def with_normals(config: PartSegConfig) -> PartSegConfig:
    """The config with normals read where the backbone's ``inputs`` ask for them."""
    settings: dict[str, Any] = {} if config.backbone is None else config.backbone.settings
    if settings.get("inputs") != "xyz_normal":
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"normals": True})})
