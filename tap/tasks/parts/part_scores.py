"""How well parts are told apart: intersection over union by shape, category and all, as ShapeNetPart is judged.

The label of a point is the best among the parts of its shape's category, which is given. Legend: B batch, S shapes,
N points, K categories, P parts.
"""

import dataclasses
from collections.abc import Sequence

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from shards.stream import IntArray
from tap.errors import TapError
from tap.loading.collate import Batch, collate
from tap.loading.samples import Samples
from tap.loading.sampling import evaluation_batches, make_loader
from tap.tasks.split import check_label
from tap.training.train_config import TrainConfig


def part_table(class_parts: Sequence[Sequence[int]], num_parts: int) -> Tensor:
    """Which parts a category has: (K, P) bool.

    Raises:
        TapError: a part is none of the ``num_parts``.
    """
    table = torch.zeros(len(class_parts), num_parts, dtype=torch.bool)
    for category, parts in enumerate(class_parts):
        if not all(0 <= part < num_parts for part in parts):
            raise TapError(
                f"category {category} has the parts {list(parts)}, each has to be one of 0 to {num_parts - 1}"
            )
        table[category, list(parts)] = True
    return table


def best_parts(scores: Tensor, categories: Tensor, table: Tensor) -> Tensor:
    """The part of each point: the highest score among the parts of the shape's category.

    Args:
        scores: (B, N, P) floating.
        categories: (B,) int64.
        table: (K, P) bool, see `part_table`.

    Returns:
        (B, N) int64.
    """
    return scores.masked_fill(~table[categories][:, None], -torch.inf).argmax(-1)


def shape_ious(predicted: Tensor, truth: Tensor, categories: Tensor, table: Tensor) -> Tensor:
    """The IoU of each shape: the mean over all parts of its category.

    Args:
        predicted: (B, N) integers in [0, P).
        truth: (B, N) integers in [0, P).
        categories: (B,) int64.
        table: (K, P) bool, see `part_table`.

    Returns:
        (B,) float64. A part that is neither there nor predicted counts as 1.
    """
    num_parts = table.shape[1]
    said, true = (F.one_hot(labels.long(), num_parts).bool() for labels in (predicted, truth))  # (B, N, P)
    both, either = (said & true).sum(1).double(), (said | true).sum(1).double()  # (B, P)
    ious = torch.where(either > 0, both / either.clamp(min=1), 1.0)  # (B, P)
    wanted = table[categories].double()
    return (ious * wanted).sum(1) / wanted.sum(1)


@dataclasses.dataclass(frozen=True, eq=False)
class PartScores:
    """What a model said of the shapes of this process, each one draw of its points.

    Attributes:
        index: (S,) int64, place in the data.
        category: (S,) int64.
        truth: (S, N) int16.
        predicted: (S, N) int16.
        iou: (S,) float64, see `shape_ious`.
        loss: (S,) float32 cross-entropy over all parts, mean over the points.
    """

    index: Tensor
    category: Tensor
    truth: Tensor
    predicted: Tensor
    iou: Tensor
    loss: Tensor

    def metrics(self, num_classes: int, fabric: Fabric | None = None) -> dict[str, float]:
        """Mean loss, accuracy over all points, instance mIoU (mean over shapes) and class mIoU (mean of the categories' means).

        Args:
            num_classes: K; categories without a shape are left out.
            fabric: adds up over its processes, or None for this one alone.
        """
        sums = torch.zeros(3, num_classes, dtype=torch.float64)
        sums[0].index_add_(0, self.category, self.iou)
        sums[1] = torch.bincount(self.category, minlength=num_classes)
        right = (self.truth == self.predicted).double().mean(1)  # equally many points of each shape
        sums[2, 0], sums[2, 1] = self.loss.double().sum(), right.sum()
        if fabric is not None and fabric.world_size > 1:
            sums = fabric.all_reduce(sums.to(fabric.device), reduce_op="sum").cpu()
        ious, count, others = sums
        present, total = count > 0, count.sum()
        return {
            "loss": float(others[0] / total),
            "point_accuracy": float(others[1] / total),
            "instance_miou": float(ious.sum() / total),
            "class_miou": float((ious[present] / count[present]).mean()),
        }

    def by_category(self, classes: Sequence[str]) -> dict[str, tuple[int, float]]:
        """Category to how many shapes it has and their mean IoU; those without a shape are left out."""
        found = {}
        for number, name in enumerate(classes):
            ious = self.iou[self.category == number]
            if len(ious):
                found[name] = (len(ious), float(ious.mean()))
        return found


def predict_parts(
    model: nn.Module,
    data: Samples,
    indices: IntArray,
    config: TrainConfig,
    fabric: Fabric,
    table: Tensor,
    alone: bool = False,
) -> PartScores:
    """Parts of shapes, each as its fixed evaluation draw: ``data.num_points`` of its points, scored on those.

    Args:
        model: clouds and categories to part scores, in evaluation mode, on Fabric's device.
        data: where the shapes come from.
        indices: which ones.
        config: batch size and workers.
        fabric: the shapes are shared out over its processes.
        table: (K, P) bool, see `part_table`.
        alone: this process takes all of them.

    Raises:
        TapError: scores that are not finite, or a shape without a category, or with a part that its category has not.
    """
    rank, world = (0, 1) if alone else (fabric.global_rank, fabric.world_size)
    columns: list[tuple[Tensor, ...]] = []
    plan = evaluation_batches(indices, config.batch_size, rank, world, data.reader)
    for batch in make_loader(data, plan, collate, config.num_workers):
        data.skipped.note(batch.problems)
        parts = checked_parts(batch, data, table)
        on_device = batch.to(fabric.device)
        scores = model(on_device.point_batch(), on_device.labels).float().cpu()  # (B, N, P)
        if not scores.isfinite().all():
            raise TapError("the part scores are not finite; lower train.learning_rate")
        predicted = best_parts(scores, batch.labels, table)
        loss = F.cross_entropy(scores.transpose(1, 2), parts, reduction="none").mean(1)
        ious = shape_ious(predicted, parts, batch.labels, table)
        row = (batch.index, batch.labels, parts.short(), predicted.short(), ious, loss)
        columns.append(tuple(column[batch.valid] for column in row))
    return PartScores(*(torch.cat(found) for found in zip(*columns, strict=True)))


def checked_parts(batch: Batch, data: Samples, table: Tensor) -> Tensor:
    """The (B, N) int64 part labels of a batch on the CPU.

    Raises:
        TapError: it has none, or a shape has no category or a part that its category has not; the shape is named.
    """
    if batch.parts is None:
        raise TapError(f"{data.location}: its points have no part labels; part segmentation needs them")
    for row, (index, label) in enumerate(zip(batch.index.tolist(), batch.labels.tolist(), strict=True)):
        check_label(data, index, label)
        allowed = table[label].nonzero()[:, 0].tolist()
        wrong = sorted(set(batch.parts[row].tolist()).difference(allowed))
        if wrong:
            raise TapError(
                f"{data.location}: shape {data.key(index)} of category {data.classes[label]} has a point of part {wrong[0]}, "
                f"that category has the parts {allowed}; mend the labels"
            )
    return batch.parts
