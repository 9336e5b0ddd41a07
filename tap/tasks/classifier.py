"""A classifier, its settings, and how it learns: what `tap.training.train` needs of classification.

Legend: B batch, K classes.
"""

from pathlib import Path

import torch
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from shards.stream import IntArray
from tap.backbones import BackboneConfig, build_backbone
from tap.batch import PointBatch
from tap.datasets import DatasetConfig
from tap.loading.augment import AugmentConfig
from tap.loading.collate import Batch
from tap.loading.data import DataConfig
from tap.loading.samples import Samples
from tap.network.heads import ClassificationHead, Pooling
from tap.presets import MODEL_PRESETS
from tap.tasks.scores import predict
from tap.tasks.split import epoch_order
from tap.training.task import Metrics
from tap.training.train_config import TrainConfig

IGNORED = -100  # label of a sample that the loss leaves out


class ClassificationConfig(BaseModel):
    """A whole classification run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: BackboneConfig | None = Field(
        None,
        description="The backbone; null takes that of the run to start from, or the small transformer from scratch.",
    )
    train: TrainConfig = Field(default_factory=TrainConfig, description="How long, how fast and where.")
    data: DataConfig = Field(default_factory=DataConfig, description="Points of a cloud; views are not read.")
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="How the data set is stored.")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="Moves the points.")
    label_smoothing: float = Field(0.3, ge=0, lt=1, description="Share of the target spread over all classes.")
    pooling: Pooling | None = Field(
        None, description="Tokens to one vector: class_max, max or max_mean; null takes class_max where there is one."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout of the head.")
    backbone_warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs in which a pre-trained backbone's learning rate rises from 0 to the head's."
    )
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="Share of each class of train that selects the checkpoint."
    )
    train_split: str = Field("train", description="Split that is trained on and that validation is cut from.")
    test_split: str = Field("test", description="Split that is read once at the end, if the set has it.")


class Classifier(nn.Module):
    """A backbone and a head.

    Args:
        backbone: config of the backbone.
        num_classes: classes.
        dropout: of the head.
        pooling: of the tokens; None takes the class token and the maximum, or the maximum alone where there is none.
    """

    def __init__(
        self, backbone: BackboneConfig, num_classes: int, dropout: float, pooling: Pooling | None = None
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone)
        pooling = pooling or ("class_max" if self.backbone.has_class_token else "max")
        self.head = ClassificationHead(self.backbone.channels, num_classes, pooling, dropout)

    def forward(self, points: PointBatch) -> Tensor:
        """Class scores (B, num_classes) of clouds, before softmax."""
        scores: Tensor = self.head(self.backbone(points))
        return scores


class ClassificationTask:
    """Classification as the loop sees it.

    Args:
        config: of the run, with its backbone.
        data: training samples with augmentation.
        train: the samples that are trained on.
        validation: the samples that select the checkpoint.
        pretrained: whether the backbone starts from learned weights.
    """

    select: str | None = "accuracy"

    def __init__(
        self, config: ClassificationConfig, data: Samples, train: IntArray, validation: IntArray, pretrained: bool
    ) -> None:
        torch.manual_seed(config.train.seed)
        self.num_classes = len(data.classes)
        backbone = config.backbone or default_backbone()
        self.model: nn.Module = Classifier(backbone, self.num_classes, config.dropout, config.pooling)
        self.train_data, self.num_train = data, len(train)
        self._config, self._train, self._validation = config, train, validation
        self._warmup = config.backbone_warmup_epochs if pretrained else 0.0

    def order(self, epoch: int) -> IntArray:
        """The reader's order, without the validation samples."""
        return epoch_order(self.train_data, self._train, epoch)

    def part_of(self, name: str) -> str:
        """Backbone or head."""
        return name.split(".")[0]

    def rate_scale(self, part: str, epoch: float) -> float:
        """A pre-trained backbone's rate rises from 0 during its warm-up."""
        return min(1.0, epoch / self._warmup) if part == "backbone" and self._warmup else 1.0

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy with label smoothing, and the share of the batch that was right; both 0 of a batch of fill."""
        scores = model(batch.point_batch())
        valid = batch.valid
        if not valid.any():  # a mean over nothing; the other processes still wait for this one's gradients
            return {"loss": scores.sum() * 0.0, "train_accuracy": scores.new_zeros(())}
        labels = batch.labels.where(valid, IGNORED)
        loss = F.cross_entropy(scores, labels, label_smoothing=self._config.label_smoothing, ignore_index=IGNORED)
        return {"loss": loss, "train_accuracy": (scores.argmax(-1) == labels)[valid].float().mean()}

    def evaluate(self, model: nn.Module, fabric: Fabric, epoch: int, out: Path) -> Metrics:
        """Loss (without smoothing), accuracy and class-mean accuracy on the validation cut."""
        plan = (self._validation, self._config.train)
        scores = predict(model, self.train_data, *plan, fabric)
        return {"split": "validation", **scores.metrics(self.num_classes, fabric)}


def default_backbone() -> BackboneConfig:
    """The backbone of a run from scratch that names none."""
    return MODEL_PRESETS["small/transformer"]().backbone
