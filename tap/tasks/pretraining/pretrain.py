"""Pre-training: draw the views of an object from its point cloud and the cameras, on unlabelled shards.

Nothing is selected on the evaluation split: the last checkpoint is the result.
"""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from shards.errors import ShardError
from shards.reader import ShardReader
from shards.stores.store import Location
from shards.stream import Address, IntArray
from tap.errors import TapError
from tap.loading.collate import Batch, collate
from tap.loading.data import SampleData, open_reader
from tap.loading.samples import Samples
from tap.loading.sampling import EVALUATION, plain_errors
from tap.losses import TargetLoss, with_channels
from tap.network.model import build_model
from tap.targets import RGB_ALONE, channel_slices, image_kinds
from tap.tasks.pretraining.pretrain_config import LossConfig, PretrainConfig
from tap.tasks.pretraining.views import Evaluator
from tap.tasks.split import check_backbone, cut_share, data_account, epoch_order
from tap.training.fabric import build_fabric
from tap.training.machine import prepare_machine
from tap.training.run import open_run
from tap.training.task import Metrics, Progress, Silent
from tap.training.train import fit

__all__ = ["LossConfig", "PretrainConfig", "PretrainTask", "pretrain"]


class PretrainTask:
    """Pre-training as the loop sees it.

    Args:
        config: of the run.
        data: training samples with some views and augmentation.
        indices: the samples of ``data`` that are trained on.
        evaluator: judges the model.
        perceptual: measures the perceptual term, a `tap.perceptual.PerceptualLoss`; needed where the loss has a weight for it.
    """

    select: str | None = None

    def __init__(
        self,
        config: PretrainConfig,
        data: SampleData,
        indices: IntArray,
        evaluator: Evaluator,
        perceptual: nn.Module | None = None,
    ) -> None:
        torch.manual_seed(config.train.seed)
        self.model: nn.Module = build_model(config.model)
        self.train_data: Samples = data
        self.num_train = len(indices)
        self._indices, self._config, self._evaluator = indices, config, evaluator
        self._loss, self._perceptual = TargetLoss(config.loss.weights(config.targets)), perceptual

    def order(self, epoch: int) -> IntArray:
        """The reader's order, without the samples that are held out."""
        return epoch_order(self.train_data, self._indices, epoch)

    def part_of(self, name: str) -> str:
        """Backbone, photograph module or generator."""
        return name.split(".")[0]

    def rate_scale(self, part: str, epoch: float) -> float:
        """The generator's rate may differ from that of the rest."""
        return self._config.generator_rate if part == "generator" else 1.0

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch: the total; of colour the two regions; what each target adds, unless colour is drawn alone.

        Names: ``loss``, ``foreground_loss``, ``background_loss``, ``NAME_loss`` of a target, and ``perceptual_loss``, what
        the perceptual term adds.
        """
        config = self._config
        views = batch.view_batch(config.model.image_size, config.targets)
        generated = model(batch.point_batch(), views)
        terms = self._loss(generated, views)
        losses: dict[str, Tensor] = {"loss": terms.total}
        if "rgb" in terms.regions:
            colour = terms.regions["rgb"]
            losses |= {"foreground_loss": colour["foreground"], "background_loss": colour["background"]}
        if config.targets != RGB_ALONE:
            losses |= {f"{name}_loss": share for name, share in terms.shares.items()}
        if self._perceptual is not None:
            part = channel_slices(config.targets)["rgb"]
            distance = self._perceptual(generated[:, :, part].float(), with_channels(views, part))
            losses["perceptual_loss"] = config.loss.perceptual_weight * distance
            losses["loss"] = terms.total + losses["perceptual_loss"]
        return losses

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
    if eval_reader is reader and config.eval_split != config.train_split:
        progress.on_message(f"no split {config.eval_split!r} here: {eval_name} is held out from training and evaluated")
    images, seed = image_kinds(config.targets), config.train.seed
    data = SampleData(reader, config.data, seed, "some", config.augment, images=images)
    probe = SampleData(eval_reader, config.data, seed, "all", skipped=data.skipped, images=images)
    for dataset, indices in ((data, train), (probe, held_out)):  # before any training
        _check_samples(dataset, indices, config)
    prepare_machine(config.train)  # says what it lacks before the mean images take their time
    evaluator = Evaluator(config, reader, train, eval_reader, held_out, eval_name, data.skipped)
    task = PretrainTask(config, data, train, evaluator, _perceptual(config.loss))
    check_backbone(task.model, data, train)
    account = data_account(shards, config.train_split, *([] if eval_reader is reader else [config.eval_split]))
    facts = {"shards": str(shards), "evaluated_on": eval_name, "render": dict(reader.config)}
    run = open_run(out, "pretrain", config, account, resume, facts)
    fabric = build_fabric(config.train.accelerator, config.train.devices, config.train.precision)
    evaluator.prepare(fabric, out, run.resumed is not None, progress)
    position = fit(fabric, task, config.train, run, progress)
    metrics: Metrics = position.metrics
    return {
        "metrics": metrics,
        "epochs": position.epoch,
        "steps": position.step,
        "checkpoint": str(out / "last"),
        "picture": str(evaluator.picture(out, position.epoch)),
    }


def _perceptual(config: LossConfig) -> nn.Module | None:
    """What measures the perceptual term, None where it has no weight; `TapError` without the weights of VGG-16."""
    if not config.perceptual_weight:
        return None
    from tap.perceptual import PerceptualLoss  # few runs ask for it

    return PerceptualLoss(None if config.perceptual_file is None else Path(config.perceptual_file))


def _check_samples(data: SampleData, indices: IntArray, config: PretrainConfig) -> None:
    """Reads one sample of each kind as it is read for training, so that what does not fit is met before any."""
    first = next(data.readable(indices))
    for index in (first.index, *data.unlike(indices)):
        try:
            item = data[Address(EVALUATION, index)]
        except ShardError:  # noted when a batch meets it
            if config.data.on_error == "raise":
                raise
            continue
        collate([item]).view_batch(config.model.image_size, config.targets)


def _evaluation_split(
    shards: Location, reader: ShardReader, config: PretrainConfig
) -> tuple[IntArray, IntArray, ShardReader, str]:
    """Samples to train on, samples to evaluate, the reader of the latter, and what to call them.

    Where there is no split of the default name, a share of the training samples is cut; a split that somebody asked for by
    another name must be there.
    """
    everything = torch.arange(len(reader)).numpy()
    is_named = config.eval_split != PretrainConfig.model_fields["eval_split"].default
    is_there = bool(data_account(shards, config.eval_split)["num_samples"])
    if config.eval_split != config.train_split and (is_there or is_named):
        eval_reader = open_reader(shards, config.eval_split, config.data)  # says which splits there are
        return everything, torch.arange(len(eval_reader)).numpy(), eval_reader, config.eval_split
    train, held_out = cut_share([0] * len(reader), config.holdout_share, config.train.seed)
    if not len(held_out):
        raise TapError(
            f"{shards}: {len(reader)} sample in {config.train_split}, too few to hold one out for evaluation"
        )
    return train, held_out, reader, f"{config.holdout_share:.0%} of {config.train_split}"
