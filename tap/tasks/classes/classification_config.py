"""Settings of classifiers: what classification and few-shot runs share, and what classification adds."""

from typing import Literal

from pydantic import Field

from tap.loading.moves import MovesConfig
from tap.network.heads import Pooling
from tap.tasks.finetuning import FineTuneConfig

FineTuning = Literal["full", "mlp_linear", "mlp_3"]
"""What is trained: everything (FULL), or on a frozen backbone one linear layer (MLP-LINEAR) or the three layers of the head
(MLP-3)."""


class ClassifierConfig(FineTuneConfig):
    """What every run that trains a classifier is told."""

    protocol: FineTuning = Field(
        "full",
        description="full trains everything; mlp_linear and mlp_3 train a linear layer or the head of three layers on a "
        "frozen backbone.",
    )
    label_smoothing: float = Field(0.3, ge=0, lt=1, description="Share of the target spread over all classes.")
    pooling: Pooling | None = Field(
        None, description="Tokens to one vector: class_max, max or max_mean; null takes class_max where there is one."
    )


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
