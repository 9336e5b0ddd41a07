"""What every fine-tuning task shares: settings, where a backbone starts from, order and rates, scoring of checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from shards.stream import IntArray
from tap.backbones import BackboneConfig
from tap.config import differing_keys
from tap.datasets import DatasetConfig
from tap.errors import TapError
from tap.interchange.folder import stored_backbone
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.moves import MovesConfig
from tap.loading.samples import Samples
from tap.presets import MODEL_PRESETS
from tap.tasks.split import epoch_order
from tap.training.checkpoint import find_checkpoint, load_record, load_weights
from tap.training.train_config import TrainConfig

RESULT = "result.json"
IGNORED = -100  # label of what the loss leaves out
ScoresT = TypeVar("ScoresT")


class FineTuneConfig(BaseModel):
    """What every fine-tuning run is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: BackboneConfig | None = Field(
        None,
        description="The backbone; null takes that of the run to start from, or the small transformer from scratch.",
    )
    train: TrainConfig = Field(default_factory=TrainConfig, description="How long, how fast and where.")
    data: DataConfig = Field(default_factory=DataConfig, description="Points of a cloud; views are not read.")
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="How the data set is stored.")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="Moves the points, in the loader.")
    moves: MovesConfig = Field(default_factory=MovesConfig, description="Moves them further, on the device.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout of the head.")
    backbone_warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs in which a pre-trained backbone's learning rate rises from 0 to the head's."
    )
    train_split: str = Field(
        "train", description="Split that is trained on, and that validation is cut from where it is cut."
    )
    test_split: str = Field("test", description="Split that is read once at the end, if the set has it.")
    split_seed: int | None = Field(
        None,
        ge=0,
        description="Seed of which samples are cut for validation, kept by label_share, or make a fold; null takes "
        "train.seed.",
    )

    @property
    def sampling_seed(self) -> int:
        """The seed of which samples are taken."""
        return self.train.seed if self.split_seed is None else self.split_seed


class FineTuneTask:
    """The part of a `tap.training.task.Task` that is alike in all of fine-tuning.

    Args:
        config: of the run.
        data: training samples with augmentation.
        train: the samples that are trained on.
        pretrained: whether the backbone starts from learned weights.
    """

    def __init__(self, config: FineTuneConfig, data: Samples, train: IntArray, pretrained: bool) -> None:
        self.train_data, self.num_train = data, len(train)
        self._train = train
        self._warmup = config.backbone_warmup_epochs if pretrained else 0.0

    def order(self, epoch: int) -> IntArray:
        """The data's order, without the samples that are not trained on."""
        return epoch_order(self.train_data, self._train, epoch)

    def part_of(self, name: str) -> str:
        """Backbone or head."""
        return name.split(".")[0]

    def rate_scale(self, part: str, epoch: float) -> float:
        """A pre-trained backbone's rate rises from 0 during its warm-up."""
        return min(1.0, epoch / self._warmup) if part == "backbone" and self._warmup else 1.0


def default_backbone() -> BackboneConfig:
    """The backbone of a run from scratch that names none."""
    return MODEL_PRESETS["small/transformer"]().backbone


def resolve_backbone(wanted: BackboneConfig | None, init: Path | None) -> BackboneConfig:
    """The backbone of a run: the wanted one, which must be that of the run to start from."""
    if init is None:
        return wanted or default_backbone()
    found = stored_backbone(load_record(find_checkpoint(init)), init)
    if wanted is not None and wanted != found:
        differences = differing_keys(found.model_dump(), wanted.model_dump())
        raise TapError(
            f"{init}: its backbone is not the wanted one, in {', '.join(differences[:3])} (run and wanted); "
            "give the --preset of its backbone, or leave the backbone out to take that of the run"
        )
    return found


def score_checkpoints(
    model: nn.Module, out: Path, fabric: Fabric, judge: Callable[[], dict[str, ScoresT]]
) -> dict[str, dict[str, ScoresT]]:
    """Scores of the last and the best checkpoint of a run, in the precision in which the best was selected.

    Args:
        model: takes the weights; afterwards it is the best checkpoint's, in evaluation mode.
        out: run folder.
        fabric: device and precision.
        judge: scores the model, by part of the data.

    Returns:
        Checkpoint name -> part -> scores.
    """
    scored: dict[str, dict[str, ScoresT]] = {}
    for checkpoint in ("last", "best"):
        load_weights(model, out / checkpoint)
        model.eval()
        with torch.no_grad(), fabric.autocast():
            scored[checkpoint] = judge()
    return scored
