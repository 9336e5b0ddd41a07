"""Predictions of a classifier on a set of samples, the numbers made of them, and the files they go into.

Legend: B batch, K classes.
"""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from shards.stream import IntArray
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.samples import Samples
from tap.loading.sampling import evaluation_batches, make_loader
from tap.tasks.finetuning import RESULT
from tap.tasks.split import check_label
from tap.training.checkpoint import write_json
from tap.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What a classifier said of the samples of this process.

    Attributes:
        index: (S,) int64, place in the reader.
        truth: (S,) int64.
        predicted: (S,) int64.
        confidence: (S,) float32, probability of the predicted class.
        loss: (S,) float32 cross-entropy.
    """

    index: Tensor
    truth: Tensor
    predicted: Tensor
    confidence: Tensor
    loss: Tensor

    def metrics(self, num_classes: int, fabric: Fabric | None = None) -> dict[str, float]:
        """Mean loss, accuracy over all samples, and the mean of the accuracies of the classes that occur.

        Args:
            num_classes: K.
            fabric: adds up over its processes, or None for this one alone.
        """
        right = torch.bincount(self.truth[self.predicted == self.truth], minlength=num_classes).double()
        total = torch.bincount(self.truth, minlength=num_classes).double()
        counts = torch.stack([right, total, torch.zeros_like(total)])
        counts[2, 0] = self.loss.double().sum()
        if fabric is not None and fabric.world_size > 1:
            counts = fabric.all_reduce(counts.to(fabric.device), reduce_op="sum").cpu()
        right, total, loss = counts[0], counts[1], counts[2, 0]
        present = total > 0
        return {
            "loss": float(loss / total.sum()),
            "accuracy": float(right.sum() / total.sum()),
            "class_mean_accuracy": float((right[present] / total[present]).mean()),
        }


def predict(
    model: nn.Module, data: Samples, indices: IntArray, config: TrainConfig, fabric: Fabric, alone: bool = False
) -> Scores:
    """Scores of samples, each as its fixed evaluation draw.

    Args:
        model: clouds to class scores, in evaluation mode, on Fabric's device.
        data: where the samples come from.
        indices: which ones.
        config: batch size and workers.
        fabric: the samples are shared out over its processes.
        alone: this process takes all of them.

    Raises:
        TapError: scores that are not finite, or a sample without a class.
    """
    rank, world = (0, 1) if alone else (fabric.global_rank, fabric.world_size)
    columns: list[tuple[Tensor, ...]] = []
    plan = evaluation_batches(indices, config.batch_size, rank, world, data.reader)
    for batch in make_loader(data, plan, collate, config.num_workers):
        data.skipped.note(batch.problems)
        for index, label in zip(batch.index[batch.valid].tolist(), batch.labels[batch.valid].tolist(), strict=True):
            check_label(data, index, label)
        scores = model(batch.point_batch().to(fabric.device)).float().cpu()  # (B, K)
        columns.append((batch.index[batch.valid], batch.labels[batch.valid], scores[batch.valid]))
    return score(*(torch.cat(parts) for parts in zip(*columns, strict=True)))


def score(index: Tensor, labels: Tensor, scores: Tensor) -> Scores:
    """What class scores say.

    Args:
        index: (S,) int64, place in the reader.
        labels: (S,) int64, the truth.
        scores: (S, K) float32, before softmax.

    Raises:
        TapError: a score is not finite.
    """
    if not scores.isfinite().all():
        raise TapError("the classifier's scores are not finite; lower train.learning_rate")
    confidence, predicted = scores.softmax(-1).max(-1)
    return Scores(index, labels, predicted, confidence, F.cross_entropy(scores, labels, reduction="none"))


def write_result(
    out: Path, facts: Mapping[str, Any], scored: Mapping[str, Mapping[str, Scores]], test_data: Samples | None
) -> None:
    """Writes ``result.json``, and ``predictions.csv`` of the test split where there is one.

    Args:
        out: run folder.
        facts: what else the result says.
        scored: checkpoint name (or ``vote``) -> split -> scores.
        test_data: where the test samples come from.
    """
    num_classes = facts["num_classes"]
    numbers = {
        split: {name: parts[split].metrics(num_classes) for name, parts in scored.items() if split in parts} or None
        for split in ("validation", "test")
    }
    if test_data is not None:
        classes = test_data.classes
        tests = {name: parts["test"] for name, parts in scored.items()}
        first = next(iter(tests.values()))
        with (out / "predictions.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["key", "truth", *(f"{name}{part}" for name in tests for part in ("", "_confidence"))])
            for place, index in enumerate(first.index.tolist()):
                row = [test_data.key(index), classes[int(first.truth[place])]]
                for scores in tests.values():
                    row += [classes[int(scores.predicted[place])], f"{float(scores.confidence[place]):.4f}"]
                writer.writerow(row)
    write_json(out / RESULT, {**facts, **numbers})
