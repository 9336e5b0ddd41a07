"""How well views are drawn: the loss against the mean image, and whether the pose is followed; with a picture.

Legend: B batch, V views, H W pixels.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from lightning.fabric import Fabric
from torch import nn

from shards.reader import ShardReader
from shards.stream import IntArray
from tap.batch import ViewBatch
from tap.loading.collate import Batch, collate, images_of
from tap.loading.data import SampleData
from tap.loading.sampling import evaluation_batches, make_loader
from tap.loading.skipped import Skipped
from tap.targets import RGB_ALONE, image_kinds
from tap.tasks.pretraining.baseline import Baseline, MeanImages, load_baseline, save_baseline, weighted_mean_images
from tap.tasks.pretraining.pictures import Pair, Shown, draw_views, pictures_of, view_labels
from tap.tasks.pretraining.tally import Tally
from tap.training.task import Metrics, Progress

if TYPE_CHECKING:
    from tap.tasks.pretraining.pretrain_config import PretrainConfig

NUM_SHOWN, VIEWS_SHOWN = 8, 6
TITLE = ("loss", "baseline_loss", "ratio", "view_dependence", "baseline_view_dependence")  # of a picture


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
        images = image_kinds(config.targets)
        self.data = SampleData(reader, config.data, config.train.seed, "all", skipped=skipped, images=images)
        self.indices = indices
        self._train_data = SampleData(
            train_reader, config.data, config.train.seed, "all", skipped=self.data.skipped, images=images
        )
        self._train = train
        self._weights = config.loss.judged_weights(config.targets)
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
            mean = weighted_mean_images(self._views(self._train_data, self._train), self._weights)
            save_baseline(file, self._judged(mean))
        fabric.barrier()
        self.baseline = load_baseline(file, self.config.targets)
        if self.baseline is None:
            progress.on_message("the cameras differ from sample to sample: no mean image, so no ratio is reported")

    def evaluate(self, model: nn.Module, fabric: Fabric) -> Metrics:
        """The metrics of a model.

        Returns:
            ``split``; ``loss``, averaged exactly over it; ``baseline_loss`` of the mean images on it, and ``ratio`` of the
            two; ``view_dependence``, the mean over objects and pixels of the standard deviation over the views of an
            object, generated over true; ``baseline_view_dependence``, that of the mean images, which a model that
            ignores the object reaches. Where the cameras differ, there is no baseline and no ratio. Unless colour is
            drawn alone, of each target also ``NAME_loss``, what it adds to the loss, and ``NAME_ratio``, that over what
            it adds to the mean images'. The perceptual term is not measured.
        """
        tally = Tally(self._weights)
        for batch in self._batches(self.data, self.indices, fabric):
            views = self._view_batch(batch)
            tally.add(model(batch.point_batch(), views).float(), views)
        tally.reduce(fabric)
        losses, base = tally.losses(), self.baseline
        loss = sum(losses.values())
        metrics: Metrics = {"split": self.name, "loss": loss}
        if base is not None:
            metrics |= {"baseline_loss": base.loss, "ratio": loss / max(base.loss, 1e-12)}
        metrics["view_dependence"] = tally.view_dependence()
        if base is not None:
            metrics["baseline_view_dependence"] = base.view_dependence
        return metrics if self.config.targets == RGB_ALONE else metrics | self._by_target(losses)

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
            views = self._view_batch(batch)
            images, masks = images_of(views)
            chosen = np.linspace(0, images.shape[1], VIEWS_SHOWN, endpoint=False).astype(int).tolist()
            chosen = sorted(set(chosen))
            with fabric.autocast():  # as the wrapped model that the metrics are of
                generated = model(batch.point_batch(), views)[0, chosen].float()
            mask, targets = masks[0, chosen].cpu().numpy(), self.config.targets
            drawn, true = (
                pictures_of(several.cpu().numpy(), mask, targets) for several in (generated, images[0, chosen])
            )
            pairs = [Pair(name, drawn[name], true[name]) for name in targets]
            category = str(self.data.reader.meta(item.index).get("category") or "")
            shown.append(Shown(category, pairs, view_labels(batch.world_to_camera[0, chosen].cpu().numpy())))
        told = [name for name in metrics if name in TITLE]
        numbers = ", ".join(f"{name.replace('_', ' ')} {metrics[name]:.3f}" for name in told)
        draw_views(self.picture(out, epoch), shown, f"epoch {epoch}, {self.name}: {numbers}")

    def _judged(self, mean: MeanImages | None) -> Baseline | None:
        """What mean images reach on the evaluated samples, None if not all have their cameras; reads all in any case."""
        tally, fits = Tally(self._weights), mean is not None
        for views in self._views(self.data, self.indices):
            fits = fits and mean is not None and mean.fits(views)
            if fits and mean is not None:
                true, _ = images_of(views)
                tally.add(mean.images.expand_as(true), views)
        if mean is None or not fits:
            return None
        return Baseline(mean, tally.losses(), tally.view_dependence())

    def _by_target(self, losses: Mapping[str, float]) -> Metrics:
        metrics: Metrics = {f"{name}_loss": loss for name, loss in losses.items()}
        if self.baseline is not None:
            base = self.baseline.losses
            metrics |= {f"{name}_ratio": loss / max(base[name], 1e-12) for name, loss in losses.items()}
        return metrics

    def _view_batch(self, batch: Batch) -> ViewBatch:
        return batch.view_batch(self.config.model.image_size, self.config.targets)

    def _views(self, data: SampleData, indices: IntArray) -> Iterator[ViewBatch]:
        for batch in self._batches(data, indices):
            yield self._view_batch(batch)

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
