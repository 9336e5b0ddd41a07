"""How part segmentation learns: what `tap.training.train` needs of it.

Legend: B batch, N points, K categories, P parts.
"""

from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from tap.errors import TapError
from tap.loading.collate import Batch
from tap.loading.moves import move
from tap.network.part_segmenter import PartSegmenter
from tap.tasks.finetuning import IGNORED, FineTuneTask, default_backbone
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.part_data import PartData
from tap.tasks.parts.part_results import part_sections
from tap.tasks.parts.part_scores import part_table, predict_parts
from tap.training.report.sections import Section
from tap.training.task import Metrics


class PartSegTask(FineTuneTask):
    """Part segmentation as the loop sees it.

    Args:
        config: of the run, with its backbone.
        data: what it trains and selects on.
        pretrained: whether the backbone starts from learned weights.
    """

    select: str | None = "instance_miou"

    def __init__(self, config: PartSegConfig, data: PartData, pretrained: bool) -> None:
        torch.manual_seed(config.train.seed)
        self.classes = data.train.classes
        self.table = part_table(data.class_parts, len(data.part_names))  # (K, P)
        self.model: nn.Module = build_segmenter(config, len(data.part_names), len(self.classes))
        self.config, self._data = config, data
        super().__init__(config, data.train, data.train_indices, pretrained)

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy over all points and all parts, and the share of right points; both 0 of a batch of fill.

        The loop has seeded torch for this batch of this step; the moves are drawn from that seed.
        """
        if self.model.training:
            batch = move(batch, self.config.moves, torch.initial_seed())
        if batch.parts is None:
            raise TapError(f"{self.train_data.location}: its points have no part labels; part segmentation needs them")
        scores = model(batch.point_batch(), batch.labels).transpose(1, 2)  # (B, P, N)
        valid = batch.valid
        if not valid.any():  # a mean over nothing; the other processes still wait for this one's gradients
            return {"loss": scores.sum() * 0.0, "train_accuracy": scores.new_zeros(())}
        parts = batch.parts.where(valid[:, None], IGNORED)  # (B, N)
        loss = F.cross_entropy(scores, parts, ignore_index=IGNORED)
        return {"loss": loss, "train_accuracy": (scores.argmax(1) == parts)[valid].float().mean()}

    def evaluate(self, model: nn.Module, fabric: Fabric, epoch: int, out: Path) -> Metrics:
        """Loss, accuracy of the points, instance and class mIoU on the shapes that select."""
        scores = predict_parts(model, *self._data.validation, self.config.train, fabric, self.table)
        return {"split": "test" if self._data.on_test else "validation", **scores.metrics(len(self.classes), fabric)}

    def report_sections(self, out: Path) -> list[Section]:
        """Parts beside the truth and the IoU of each category, once they are there."""
        return part_sections(out)


def build_segmenter(config: PartSegConfig, num_parts: int, num_classes: int) -> PartSegmenter:
    """The model of a run, with fresh weights."""
    return PartSegmenter(
        config.backbone or default_backbone(),
        num_parts,
        num_classes,
        config.decoder,
        config.dropout,
        config.data.num_points,
        config.data.normals,
    )
