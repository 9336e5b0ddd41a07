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
from tap.batch import ViewBatch
from tap.collate import Batch, collate, images_of
from tap.data import SampleData
from tap.losses import RegionSums, region_sums
from tap.sampling import EVALUATION, Address, IntArray, evaluation_batches, make_loader
from tap.task import Metrics, Progress
from tap.tasks.baseline import MeanImages, load_baseline, save_baseline, weighted_mean_images
from tap.tasks.pictures import Shown, draw_views, view_labels

if TYPE_CHECKING:
    from tap.tasks.pretrain import PretrainConfig

NUM_SHOWN, VIEWS_SHOWN = 8, 6


class Evaluator:
    """Judges a pre-training model on a fixed set of samples, with all their views.

    Args:
        config: of the run.
        train_reader: where the mean images come from.
        train: its samples that are trained on.
        reader: where the evaluated samples come from.
        indices: these samples, at least one.
        name: what to call them in the metrics.
    """

    def __init__(
        self,
        config: "PretrainConfig",
        train_reader: ShardReader,
        train: IntArray,
        reader: ShardReader,
        indices: IntArray,
        name: str,
    ) -> None:
        self.config, self.name = config, name
        self.data = SampleData(reader, config.data, config.train.seed, "all")
        self.indices = indices
        self._train_data = SampleData(train_reader, config.data, config.train.seed, "all")
        self._train = train
        self._weights = (config.loss.foreground_weight, config.loss.background_weight)
        self.baseline: tuple[MeanImages, float] | None = None
        self._shown = _spread(self.data, indices, NUM_SHOWN)

    def prepare(self, fabric: Fabric, out: Path, resumed: bool, progress: Progress) -> None:
        """Finds the mean image of each view over the samples that are trained on, and its loss on those evaluated.

        Every sample is read once, so one that cannot be trained on is met here and not hours later.

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
            loss = self._loss_of(mean)
            save_baseline(file, None if mean is None or loss is None else (mean, loss))
        fabric.barrier()
        self.baseline = load_baseline(file)
        if self.baseline is None:
            progress.on_message("the cameras differ from sample to sample: no mean image, so no ratio is reported")

    def evaluate(self, model: nn.Module, fabric: Fabric) -> Metrics:
        """The metrics of a model.

        Returns:
            ``split``; ``loss``, averaged exactly over it; ``baseline_loss`` of the mean images on it, and ``ratio`` of the
            two (missing where the cameras differ); ``view_dependence``, the mean over objects and pixels of the standard
            deviation over the views of an object, generated over true.
        """
        sums: RegionSums | None = None
        spread = torch.zeros(2, dtype=torch.float64, device=fabric.device)
        for batch in self._batches(self.data, self.indices, fabric):
            views = batch.view_batch(self.config.model.image_size)
            true, _ = images_of(views)
            generated = model(batch.point_batch(), views).float()
            sums = _added(sums, region_sums(generated, views))
            for number, images in enumerate((generated, true)):
                spread[number] += (view_spread(images) * batch.counted).sum().double()
        assert sums is not None, "there is at least one sample to evaluate"  # noqa: S101
        spread = _reduced(fabric, spread)
        loss = float(_reduced_sums(fabric, sums).loss(*self._weights))
        metrics: Metrics = {"split": self.name, "loss": loss}
        if self.baseline is not None:
            metrics |= {"baseline_loss": self.baseline[1], "ratio": loss / max(self.baseline[1], 1e-12)}
        metrics["view_dependence"] = float(spread[0] / spread[1].clamp(min=1e-12))
        return metrics

    def picture(self, out: Path, epoch: int) -> Path:
        """Where the picture of an epoch lies."""
        return out / "pictures" / f"epoch{epoch:03d}.png"

    def draw(self, model: nn.Module, device: torch.device, epoch: int, out: Path, metrics: Metrics) -> None:
        """Writes the picture of an epoch: generated above true views of the same few objects each time.

        Args:
            model: not wrapped for several processes, since only one of them draws.
            device: where the model is.
            epoch: whole epochs done.
            out: run folder.
            metrics: stand above the picture.
        """
        shown = []
        for index in self._shown:
            batch = collate([self.data[Address(EVALUATION, index)]]).to(device)
            views = batch.view_batch(self.config.model.image_size)
            images, _ = images_of(views)
            chosen = np.linspace(0, images.shape[1], VIEWS_SHOWN, endpoint=False).astype(int).tolist()
            chosen = sorted(set(chosen))
            generated = model(batch.point_batch(), views)[0, chosen].float().cpu().numpy()
            true = images[0, chosen].cpu().numpy()
            category = str(self.data.reader.meta(index).get("category") or "")
            shown.append(Shown(category, generated, true, view_labels(batch.world_to_camera[0, chosen].cpu().numpy())))
        numbers = ", ".join(f"{name.replace('_', ' ')} {metrics[name]:.3f}" for name in metrics if name != "split")
        draw_views(self.picture(out, epoch), shown, f"epoch {epoch}, {self.name}: {numbers}")

    def _loss_of(self, mean: MeanImages | None) -> float | None:
        """The loss of mean images on the evaluated samples, None if not all have their cameras; reads all in any case."""
        sums: RegionSums | None = None
        fits = mean is not None
        for views in self._views(self.data, self.indices):
            fits = fits and mean is not None and mean.fits(views)
            if fits and mean is not None:
                true, _ = images_of(views)
                sums = _added(sums, region_sums(mean.images.expand_as(true), views))
        return float(sums.loss(*self._weights)) if fits and sums is not None else None

    def _views(self, data: SampleData, indices: IntArray) -> Iterator[ViewBatch]:
        for batch in self._batches(data, indices):
            yield batch.view_batch(self.config.model.image_size)

    def _batches(self, data: SampleData, indices: IntArray, fabric: Fabric | None = None) -> Iterator[Batch]:
        counts = {data.reader.num_views(int(index)) for index in indices}  # samples of unlike views go one by one
        config, rank, world = self.config, 0, 1
        size = max(1, config.train.batch_size * config.data.num_views // max(counts)) if len(counts) == 1 else 1
        if fabric is not None:
            rank, world = fabric.global_rank, fabric.world_size
        plan = evaluation_batches(indices, size, rank, world)
        for batch in make_loader(data, plan, collate, config.train.num_workers):
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
        members.setdefault(data.label(index), []).append(index)
    rounds: list[int] = []
    for depth in range(number):
        rounds += [group[depth] for _, group in sorted(members.items()) if depth < len(group)]
    first = len(members)
    if first > number:  # more classes than places: evenly among them
        return [rounds[place] for place in np.linspace(0, first, number, endpoint=False).astype(int)]
    return rounds[:number]


def _added(sums: RegionSums | None, part: RegionSums) -> RegionSums:
    return part.detached() if sums is None else sums + part.detached()


def _reduced(fabric: Fabric, values: Tensor) -> Tensor:
    total: Tensor = fabric.all_reduce(values, reduce_op="sum") if fabric.world_size > 1 else values
    return total


def _reduced_sums(fabric: Fabric, sums: RegionSums) -> RegionSums:
    return RegionSums(
        *(
            _reduced(fabric, value)
            for value in (sums.foreground_error, sums.foreground_count, sums.background_error, sums.background_count)
        )
    )
