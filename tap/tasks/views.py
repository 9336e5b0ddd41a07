"""How well views are drawn: the loss against the mean image, and whether the pose is followed; with a picture.

Legend: B batch, V views, H W pixels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from shards.reader import ShardReader
from shards.stream import IntArray
from tap.batch import ViewBatch
from tap.collate import Batch, collate, images_of
from tap.data import SampleData
from tap.losses import RegionSums, region_sums
from tap.sampling import evaluation_batches, make_loader
from tap.skipped import Skipped
from tap.task import Metrics, Progress
from tap.tasks.baseline import Baseline, MeanImages, load_baseline, save_baseline, weighted_mean_images
from tap.tasks.pictures import Shown, draw_views, view_labels

if TYPE_CHECKING:
    from tap.tasks.pretrain import PretrainConfig

NUM_SHOWN, VIEWS_SHOWN = 8, 6


class Tally:
    """Squared errors and view spreads, added up over samples: on the CPU, because MPS has no float64."""

    def __init__(self) -> None:
        self._sums: RegionSums | None = None
        self._spread = torch.zeros(2, dtype=torch.float64)  # drawn, true

    def add(self, drawn: Tensor, views: ViewBatch) -> None:
        """Adds drawn images (B, V, 3, H, W) float32 of views with images; samples that are not valid are left out."""
        true, _ = images_of(views)
        part = region_sums(drawn, views).detached()
        self._sums = part if self._sums is None else self._sums + part
        for number, images in enumerate((drawn, true)):
            spread = view_spread(images)  # (B,)
            self._spread[number] += (spread if views.valid is None else spread[views.valid]).sum().cpu().double()

    def reduce(self, fabric: Fabric) -> None:
        """Adds up over processes; each then has all."""
        self._sums = RegionSums(*(_reduced(fabric, value) for value in self._added().parts()))
        self._spread = _reduced(fabric, self._spread)

    def loss(self, foreground_weight: float, background_weight: float) -> float:
        """The weighted loss of all that was added."""
        return float(self._added().loss(foreground_weight, background_weight))

    def view_dependence(self) -> float:
        """The spread of the drawn views over that of the true ones."""
        return float(self._spread[0] / self._spread[1].clamp(min=1e-12))

    def _added(self) -> RegionSums:
        assert self._sums is not None, "there is at least one sample to evaluate"  # noqa: S101
        return self._sums


class Evaluator:
    """Judges a pre-training model on a fixed set of samples, with all their views.

    Args:
        config: of the run.
        train_reader: where the mean images come from.
        train: its samples that are trained on.
        reader: where the evaluated samples come from.
        indices: these samples, at least one.
        name: what to call them in the metrics.
        skipped: the run's ledger of damaged samples, or None for one of its own.
    """

    def __init__(
        self,
        config: "PretrainConfig",
        train_reader: ShardReader,
        train: IntArray,
        reader: ShardReader,
        indices: IntArray,
        name: str,
        skipped: Skipped | None = None,
    ) -> None:
        self.config, self.name = config, name
        self.data = SampleData(reader, config.data, config.train.seed, "all", skipped=skipped)
        self.indices = indices
        self._train_data = SampleData(train_reader, config.data, config.train.seed, "all", skipped=self.data.skipped)
        self._train = train
        self._weights = (config.loss.foreground_weight, config.loss.background_weight)
        self.baseline: Baseline | None = None
        self._shown = _spread(self.data, indices, NUM_SHOWN)

    def prepare(self, fabric: Fabric, out: Path, resumed: bool, progress: Progress) -> None:
        """Finds the mean image of each view over the samples that are trained on, and what it reaches on those evaluated.

        Every sample is read once, so one that cannot be trained on is met here and not hours later; but of training samples
        that differ in their cameras only the first few.

        Args:
            fabric: the first process computes, all know.
            out: run folder; keeps ``baseline.safetensors``.
            resumed: take what the run folder keeps.
            progress: is told.
        """
        file = out / "baseline.safetensors"
        if fabric.is_global_zero and not (resumed and file.exists()):
            progress.on_message(f"mean image of each view over {len(self._train)} training samples")
            mean = weighted_mean_images(self._views(self._train_data, self._train), *self._weights)
            save_baseline(file, self._judged(mean))
        fabric.barrier()
        self.baseline = load_baseline(file)
        if self.baseline is None:
            progress.on_message("the cameras differ from sample to sample: no mean image, so no ratio is reported")

    def evaluate(self, model: nn.Module, fabric: Fabric) -> Metrics:
        """The metrics of a model.

        Returns:
            ``split``; ``loss``, averaged exactly over it; ``baseline_loss`` of the mean images on it, and ``ratio`` of the
            two; ``view_dependence``, the mean over objects and pixels of the standard deviation over the views of an
            object, generated over true; ``baseline_view_dependence``, that of the mean images, which a model that
            ignores the object reaches. Where the cameras differ, there is no baseline and no ratio.
        """
        tally = Tally()
        for batch in self._batches(self.data, self.indices, fabric):
            views = batch.view_batch(self.config.model.image_size)
            tally.add(model(batch.point_batch(), views).float(), views)
        tally.reduce(fabric)
        loss, base = tally.loss(*self._weights), self.baseline
        metrics: Metrics = {"split": self.name, "loss": loss}
        if base is not None:
            metrics |= {"baseline_loss": base.loss, "ratio": loss / max(base.loss, 1e-12)}
        metrics["view_dependence"] = tally.view_dependence()
        if base is not None:
            metrics["baseline_view_dependence"] = base.view_dependence
        return metrics

    def picture(self, out: Path, epoch: int) -> Path:
        """Where the picture of an epoch lies."""
        return out / "pictures" / f"epoch{epoch:03d}.png"

    def draw(self, model: nn.Module, fabric: Fabric, epoch: int, out: Path, metrics: Metrics) -> None:
        """Writes the picture of an epoch: generated above true views of the same few objects each time.

        Args:
            model: not wrapped for several processes, since only one of them draws.
            fabric: gives the device that the model is on and its precision.
            epoch: whole epochs done.
            out: run folder.
            metrics: stand above the picture.
        """
        shown = []
        for item in self.data.readable(self._shown):
            batch = collate([item]).to(fabric.device)
            views = batch.view_batch(self.config.model.image_size)
            images, _ = images_of(views)
            chosen = np.linspace(0, images.shape[1], VIEWS_SHOWN, endpoint=False).astype(int).tolist()
            chosen = sorted(set(chosen))
            with fabric.autocast():  # as the wrapped model that the metrics are of
                generated = model(batch.point_batch(), views)[0, chosen].float().cpu().numpy()
            true = images[0, chosen].cpu().numpy()
            category = str(self.data.reader.meta(item.index).get("category") or "")
            shown.append(Shown(category, generated, true, view_labels(batch.world_to_camera[0, chosen].cpu().numpy())))
        numbers = ", ".join(f"{name.replace('_', ' ')} {metrics[name]:.3f}" for name in metrics if name != "split")
        draw_views(self.picture(out, epoch), shown, f"epoch {epoch}, {self.name}: {numbers}")

    def _judged(self, mean: MeanImages | None) -> Baseline | None:
        """What mean images reach on the evaluated samples, None if not all have their cameras; reads all in any case."""
        tally, fits = Tally(), mean is not None
        for views in self._views(self.data, self.indices):
            fits = fits and mean is not None and mean.fits(views)
            if fits and mean is not None:
                true, _ = images_of(views)
                tally.add(mean.images.expand_as(true), views)
        if mean is None or not fits:
            return None
        return Baseline(mean, tally.loss(*self._weights), tally.view_dependence())

    def _views(self, data: SampleData, indices: IntArray) -> Iterator[ViewBatch]:
        for batch in self._batches(data, indices):
            yield batch.view_batch(self.config.model.image_size)

    def _batches(self, data: SampleData, indices: IntArray, fabric: Fabric | None = None) -> Iterator[Batch]:
        counts = set(data.num_views(indices))  # samples of unlike views go one by one
        config, rank, world = self.config, 0, 1
        size = max(1, config.train.batch_size * config.data.num_views // max(counts)) if len(counts) == 1 else 1
        if fabric is not None:
            rank, world = fabric.global_rank, fabric.world_size
        plan = evaluation_batches(indices, size, rank, world, data.reader)
        for batch in make_loader(data, plan, collate, config.train.num_workers):
            data.skipped.note(batch.problems)
            yield batch if fabric is None else batch.to(fabric.device)


def view_spread(images: Tensor) -> Tensor:
    """How much the views of each object differ: standard deviation over views, mean over pixels.

    Args:
        images: (B, V, 3, H, W) floating.

    Returns:
        (B,) of the same dtype; 0 where there is one view.
    """
    return images.std(dim=1, correction=0).mean(dim=(1, 2, 3))


def _spread(data: SampleData, indices: IntArray, number: int) -> list[int]:
    """Up to ``number`` samples, of as many classes as possible, the same ones each time."""
    members: dict[int, list[int]] = {}
    for index in indices.tolist():
        label = data.label(index)
        if label is not None:
            members.setdefault(label, []).append(index)
    rounds: list[int] = []
    for depth in range(number):
        rounds += [group[depth] for _, group in sorted(members.items()) if depth < len(group)]
    first = len(members)
    if first > number:  # more classes than places: evenly among them
        return [rounds[place] for place in np.linspace(0, first, number, endpoint=False).astype(int)]
    return rounds[:number]


def _reduced(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum over all processes, on the CPU; NCCL adds only what is on the device."""
    if fabric.world_size == 1:
        return values
    total: Tensor = fabric.all_reduce(values.to(fabric.device), reduce_op="sum")
    return total.cpu()
