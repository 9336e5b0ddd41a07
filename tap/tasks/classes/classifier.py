"""A classifier and how it learns: what `tap.training.train` needs of classification.

Legend: B batch, K classes.
"""

import dataclasses
from pathlib import Path
from typing import Self

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from shards.stream import IntArray
from tap.backbones import BackboneConfig, build_backbone
from tap.batch import PointBatch
from tap.errors import TapError
from tap.loading.collate import Batch
from tap.loading.moves import move
from tap.loading.samples import Samples
from tap.network.heads import HIDDEN, ClassificationHead, Pooling
from tap.tasks.classes.classification_config import ClassificationConfig, ClassifierConfig, FineTuning
from tap.tasks.classes.figures import figure_sections
from tap.tasks.classes.scores import predict
from tap.tasks.classes.votes import vote_section
from tap.tasks.finetuning import IGNORED, RESULT, FineTuneTask, default_backbone
from tap.training.report.sections import Section
from tap.training.task import Metrics

__all__ = [
    "ClassificationConfig",
    "ClassificationTask",
    "Classifier",
    "ClassifierConfig",
    "Judged",
    "build_classifier",
]


class Classifier(nn.Module):
    """A backbone and a head.

    Args:
        backbone: config of the backbone.
        num_classes: classes.
        dropout: of the head.
        pooling: of the tokens; None takes the class token and the maximum, or the maximum alone where there is none.
        protocol: ``full``; or with a frozen backbone ``mlp_linear``, whose head is one linear layer, or ``mlp_3``. Frozen
            means no gradients, and batch norm, dropout and drop path as in evaluation while the head trains.
    Source: the protocols are those of ReCon (ICML 2023), section 4.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        num_classes: int,
        dropout: float,
        pooling: Pooling | None = None,
        protocol: FineTuning = "full",
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone)
        pooling = pooling or ("class_max" if self.backbone.has_class_token else "max")
        hidden = () if protocol == "mlp_linear" else HIDDEN
        self.head = ClassificationHead(self.backbone.channels, num_classes, pooling, dropout, hidden)
        self.frozen = protocol != "full"
        if self.frozen:
            self.get_submodule("backbone").requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """As of `nn.Module`, but a frozen backbone stays in evaluation."""
        super().train(mode)
        if self.frozen:
            self.get_submodule("backbone").eval()
        return self

    def forward(self, points: PointBatch) -> Tensor:
        """Class scores (B, num_classes) of clouds, before softmax."""
        scores: Tensor = self.head(self.backbone(points))
        return scores


def build_classifier(config: ClassifierConfig, num_classes: int) -> Classifier:
    """The classifier of a run, with fresh weights."""
    backbone = config.backbone or default_backbone()
    return Classifier(backbone, num_classes, config.dropout, config.pooling, config.protocol)


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """The samples that a classifier is judged on while it trains.

    Attributes:
        data: where they come from.
        indices: which ones.
        split: what they are, for the tables: validation, test or query.
    """

    data: Samples
    indices: IntArray
    split: str


class ClassificationTask(FineTuneTask):
    """Classification as the loop sees it.

    Args:
        config: of the run, with its backbone.
        data: training samples with augmentation.
        train: the samples that are trained on.
        judged: the samples that select the checkpoint.
        pretrained: whether the backbone starts from learned weights.

    Raises:
        TapError: a frozen backbone that has learned nothing.
    """

    select: str | None = "accuracy"

    def __init__(
        self, config: ClassifierConfig, data: Samples, train: IntArray, judged: Judged, pretrained: bool
    ) -> None:
        if config.protocol != "full" and not pretrained:
            raise TapError(
                f"protocol {config.protocol} trains a head on a frozen backbone; say with --init what it has learned, or "
                "train everything with protocol=full"
            )
        torch.manual_seed(config.train.seed)
        self.num_classes = len(data.classes)
        self.model: nn.Module = build_classifier(config, self.num_classes)
        self._config, self._judged = config, judged
        super().__init__(config, data, train, pretrained)

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy with label smoothing, and the share of the batch that was right; both 0 of a batch of fill.

        The loop has seeded torch for this batch of this step; the moves are drawn from that seed, beside torch's own stream.
        """
        if self.model.training:
            batch = move(batch, self._config.moves, torch.initial_seed())
        scores = model(batch.point_batch())
        valid = batch.valid
        if not valid.any():  # a mean over nothing; the other processes still wait for this one's gradients
            return {"loss": scores.sum() * 0.0, "train_accuracy": scores.new_zeros(())}
        labels = batch.labels.where(valid, IGNORED)
        loss = F.cross_entropy(scores, labels, label_smoothing=self._config.label_smoothing, ignore_index=IGNORED)
        return {"loss": loss, "train_accuracy": (scores.argmax(-1) == labels)[valid].float().mean()}

    def evaluate(self, model: nn.Module, fabric: Fabric, epoch: int, out: Path) -> Metrics:
        """Loss (without smoothing), accuracy and class-mean accuracy on the samples that it is judged on."""
        scores = predict(model, self._judged.data, self._judged.indices, self._config.train, fabric)
        return {"split": self._judged.split, **scores.metrics(self.num_classes, fabric)}

    def report_sections(self, out: Path) -> list[Section]:
        """How much a vote over several draws of each test cloud changes, once there is one; then the pictures."""
        return [*vote_section(out / RESULT), *figure_sections(out)]
