"""Pre-training: draw the views of an object from its point cloud and the cameras, on unlabelled shards.

Nothing is selected on the evaluation split: the last checkpoint is the result.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from shards.reader import ShardReader
from shards.stores.store import Location
from shards.stream import IntArray
from tap.augment import AugmentConfig
from tap.collate import Batch, collate
from tap.data import DataConfig, SampleData, open_reader
from tap.errors import TapError
from tap.fabric import build_fabric
from tap.losses import RegionLoss
from tap.model import ModelConfig, build_model
from tap.presets import MODEL_PRESETS
from tap.run import open_run
from tap.sampling import plain_errors
from tap.task import Metrics, Progress, Silent
from tap.tasks.split import cut_share, data_account, epoch_order
from tap.tasks.views import Evaluator
from tap.train import TrainConfig, fit

logger = logging.getLogger(__name__)


class LossConfig(BaseModel):
    """Weights of the region loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground_weight: float = Field(20.0, ge=0, description="Weight of the mean squared error on the silhouette.")
    background_weight: float = Field(1.0, ge=0, description="Weight of the mean squared error around it.")

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.foreground_weight + self.background_weight <= 0:
            raise ValueError("foreground_weight and background_weight are both 0; at least one must be above")
        return self


class PretrainConfig(BaseModel):
    """A whole pre-training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig = Field(description="Backbone, photograph module and generator.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="How long, how fast and where.")
    data: DataConfig = Field(default_factory=DataConfig, description="Points and views of a sample.")
    augment: AugmentConfig = Field(
        default_factory=lambda: AugmentConfig(scale=(0.9, 1.1)), description="Moves points and cameras together."
    )
    loss: LossConfig = Field(default_factory=LossConfig, description="Weights of the loss.")
    generator_rate: float = Field(
        1.0, gt=0, description="The generator's learning rate over that of the rest; above 1 it learns to draw sooner."
    )
    train_split: str = Field("train", description="Split that is trained on.")
    eval_split: str = Field(
        "test", description="Split that is evaluated; where it is missing, a share of train is cut."
    )
    holdout_share: float = Field(0.1, gt=0, lt=1, description="Share of train that is cut where eval_split is missing.")


def small_transformer() -> PretrainConfig:
    """A run for two CPU cores: 112 px, 1,024 points, 4 of 12 views, batches of 16, the generator at 20 times the rate.

    Departures from the paper that learn sooner on a few hundred objects: Fourier features, the memory's norm, the rate.
    """
    return PretrainConfig(
        model=MODEL_PRESETS["small/transformer"](), train=TrainConfig(batch_size=16, epochs=70), generator_rate=20.0
    )


def reference_transformer() -> PretrainConfig:
    """The settings of the authors' code: 6 of 12 views, weight decay 5e-4, learning rate to 1e-6."""
    train = TrainConfig(learning_rate=5e-4, min_learning_rate=1e-6, weight_decay=5e-4, num_workers=8)
    return PretrainConfig(
        model=MODEL_PRESETS["reference/transformer"](), train=train, data=DataConfig(num_points=1024, num_views=6)
    )


def paper_transformer() -> PretrainConfig:
    """The settings of the paper's text: all 12 views, weight decay 5e-2."""
    train = TrainConfig(learning_rate=5e-4, min_learning_rate=1e-6, weight_decay=5e-2, num_workers=8)
    return PretrainConfig(
        model=MODEL_PRESETS["paper/transformer"](), train=train, data=DataConfig(num_points=1024, num_views=12)
    )


PRETRAIN_PRESETS: dict[str, Callable[[], PretrainConfig]] = {
    "small/transformer": small_transformer,
    "reference/transformer": reference_transformer,
    "paper/transformer": paper_transformer,
}


class PretrainTask:
    """Pre-training as the loop sees it.

    Args:
        config: of the run.
        data: training samples with some views and augmentation.
        indices: the samples of ``data`` that are trained on.
        evaluator: judges the model.
    """

    select: str | None = None

    def __init__(self, config: PretrainConfig, data: SampleData, indices: IntArray, evaluator: Evaluator) -> None:
        torch.manual_seed(config.train.seed)
        self.model: nn.Module = build_model(config.model)
        self.train_data, self.num_train = data, len(indices)
        self._indices, self._config, self._evaluator = indices, config, evaluator
        self._loss = RegionLoss(config.loss.foreground_weight, config.loss.background_weight)

    def order(self, epoch: int) -> IntArray:
        """The reader's order, without the samples that are held out."""
        return epoch_order(self.train_data.reader, self._indices, self._config.train.seed, epoch)

    def part_of(self, name: str) -> str:
        """Backbone, photograph module or generator."""
        return name.split(".")[0]

    def rate_scale(self, part: str, epoch: float) -> float:
        """The generator's rate may differ from that of the rest."""
        return self._config.generator_rate if part == "generator" else 1.0

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Total, foreground and background loss of a batch."""
        views = batch.view_batch(self._config.model.image_size)
        terms = self._loss(model(batch.point_batch(), views), views)
        return {"loss": terms["total"], "foreground_loss": terms["foreground"], "background_loss": terms["background"]}

    def evaluate(self, model: nn.Module, fabric: Fabric, epoch: int, out: Path) -> Metrics:
        """Loss, its ratio to that of the mean images, view dependence; and a picture."""
        metrics = self._evaluator.evaluate(model, fabric)
        if fabric.is_global_zero:
            self._evaluator.draw(self.model, fabric, epoch, out, metrics)
        fabric.barrier()
        return metrics


@plain_errors()
def pretrain(
    shards: Location, out: Path, config: PretrainConfig, resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Pre-trains on a shard set.

    Args:
        shards: path or URL of the set.
        out: run folder.
        config: the run.
        resume: go on from ``out``'s last checkpoint, if it has one.
        progress: is told how it goes.

    Returns:
        ``metrics`` of the last evaluation (loss, ratio, view_dependence and the split they were measured on), ``epochs``,
        ``steps``, ``checkpoint`` (path of the last one), ``picture`` (path of the last one).

    Raises:
        TapError: settings that do not fit the data, a folder that holds another run, a loss that is not finite.
        ShardError: no such set, or a damaged one.
    """
    progress = progress or Silent()
    out = Path(out)
    reader = open_reader(shards, config.train_split, config.data)
    train, held_out, eval_reader, eval_name = _evaluation_split(shards, reader, config)
    progress.on_message(f"{len(train)} samples to train on, {len(held_out)} of {eval_name} to evaluate")
    data = SampleData(reader, config.data, config.train.seed, "some", config.augment)
    probe = SampleData(eval_reader, config.data, config.train.seed, "all", skipped=data.skipped)
    for dataset, indices in ((data, train), (probe, held_out)):  # before any training
        collate([next(dataset.readable(indices))]).view_batch(config.model.image_size)
    account = data_account(shards, config.train_split, *([] if eval_reader is reader else [config.eval_split]))
    run = open_run(out, "pretrain", config, account, resume, {"shards": str(shards), "evaluated_on": eval_name})
    fabric = build_fabric(config.train.accelerator, config.train.devices, config.train.precision)
    evaluator = Evaluator(config, reader, train, eval_reader, held_out, eval_name, data.skipped)
    evaluator.prepare(fabric, out, run.resumed is not None, progress)
    position = fit(fabric, PretrainTask(config, data, train, evaluator), config.train, run, progress)
    metrics: Metrics = position.metrics
    return {
        "metrics": metrics,
        "epochs": position.epoch,
        "steps": position.step,
        "checkpoint": str(out / "last"),
        "picture": str(evaluator.picture(out, position.epoch)),
    }


def _evaluation_split(
    shards: Location, reader: ShardReader, config: PretrainConfig
) -> tuple[IntArray, IntArray, ShardReader, str]:
    """Samples to train on, samples to evaluate, the reader of the latter, and what to call them."""
    everything = torch.arange(len(reader)).numpy()
    if config.eval_split != config.train_split and data_account(shards, config.eval_split)["num_samples"]:
        eval_reader = open_reader(shards, config.eval_split, config.data)
        return everything, torch.arange(len(eval_reader)).numpy(), eval_reader, config.eval_split
    train, held_out = cut_share([0] * len(reader), config.holdout_share, config.train.seed)
    if not len(held_out):
        raise TapError(
            f"{shards}: {len(reader)} sample in {config.train_split}, too few to hold one out for evaluation"
        )
    name = f"{config.holdout_share:.0%} of {config.train_split}"
    logger.info("%s: no split %r; evaluating on %s, which is not trained on", shards, config.eval_split, name)
    return train, held_out, reader, name
