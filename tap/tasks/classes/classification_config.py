"""Settings of classifiers: what classification and few-shot runs share, and what classification adds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tap.backbones import BackboneConfig
from tap.datasets import DatasetConfig
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.moves import MovesConfig
from tap.network.heads import Pooling
from tap.training.train_config import TrainConfig

FineTuning = Literal["full", "mlp_linear", "mlp_3"]
"""What is trained: everything (FULL), or on a frozen backbone one linear layer (MLP-LINEAR) or the three layers of the head
(MLP-3)."""


class ClassifierConfig(BaseModel):
    """What every run that trains a classifier is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: BackboneConfig | None = Field(
        None,
        description="The backbone; null takes that of the run to start from, or the small transformer from scratch.",
    )
    train: TrainConfig = Field(default_factory=TrainConfig, description="How long, how fast and where.")
    data: DataConfig = Field(default_factory=DataConfig, description="Points of a cloud; views are not read.")
    dataset: DatasetConfig = Field(default_factory=DatasetConfig, description="How the data set is stored.")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="Moves the points, in the loader.")
    moves: MovesConfig = Field(default_factory=MovesConfig, description="Moves them further, on the device.")
    protocol: FineTuning = Field(
        "full",
        description="full trains everything; mlp_linear and mlp_3 train a linear layer or the head of three layers on a "
        "frozen backbone.",
    )
    label_smoothing: float = Field(0.3, ge=0, lt=1, description="Share of the target spread over all classes.")
    pooling: Pooling | None = Field(
        None, description="Tokens to one vector: class_max, max or max_mean; null takes class_max where there is one."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout of the head.")
    backbone_warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs in which a pre-trained backbone's learning rate rises from 0 to the head's."
    )
    train_split: str = Field("train", description="Split that is trained on and that validation is cut from.")
    test_split: str = Field("test", description="Split that is read once at the end, if the set has it.")
    split_seed: int | None = Field(
        None,
        ge=0,
        description="Seed of which samples are cut for validation, kept by label_share, or make a fold; null takes "
        "train.seed.",
    )

    @property
    def sampling_seed(self) -> int:
        """The seed of which samples are taken."""
        return self.train.seed if self.split_seed is None else self.split_seed


class ClassificationConfig(ClassifierConfig):
    """A whole classification run."""

    select: Literal["validation", "test"] = Field(
        "validation",
        description="What chooses the checkpoint: a cut of train, or test itself, as the authors did; then nothing is cut "
        "from train, and the best number is optimistic.",
    )
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="Share of each class of train that selects the checkpoint."
    )
    label_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of each class that is trained on, at least one sample, of what the validation cut leaves.",
    )
    votes: int = Field(
        0, ge=0, description="Draws over which the scores of the best checkpoint are averaged at the end; 0: no vote."
    )
    vote_moves: MovesConfig | None = Field(
        None,
        description="How a draw is moved, for example {scale = [0.8, 1.2]}; null moves it as training samples are, by "
        "augment and moves.",
    )
    figures: bool = Field(
        True,
        description="Draw confusion, features before and after, and accuracy over points and noise at the end, which takes the "
        "time of about 6 passes over the test split, without gradients; nothing is selected by it.",
    )
