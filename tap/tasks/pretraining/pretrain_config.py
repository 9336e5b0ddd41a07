"""The settings of a pre-training run: model, data, targets, loss and the splits that it uses."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.network.model import ModelConfig
from tap.targets import RGB_ALONE, TARGETS, TargetName, num_channels
from tap.training.train_config import TrainConfig

PAPER_WEIGHTS = (20.0, 1.0)


class LossConfig(BaseModel):
    """Weights of the loss; each target counts as the sum of its two regions, see `tap.targets`.

    With the defaults the four targets weigh about the same: on 42 objects the mean image of each view, which a model has to
    beat, has .26 of colour, .23 of depth, .27 of normals, .22 of the silhouette.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground_weight: float = Field(
        PAPER_WEIGHTS[0], ge=0, description="Weight of the mean squared error of colour on the silhouette."
    )
    background_weight: float = Field(
        PAPER_WEIGHTS[1], ge=0, description="Weight of the mean squared error of colour around it."
    )
    depth_weight: float = Field(12.0, gt=0, description="Weight of the mean squared error of depth on the silhouette.")
    normal_weight: float = Field(8.0, gt=0, description="Weight of the mean squared error of normals on it.")
    mask_weight: float = Field(
        1.0, gt=0, description="Weight of the mean squared error of the silhouette, on and around."
    )
    perceptual_weight: float = Field(
        0.0, ge=0, description="Weight of the distance of VGG-16 features; needs colour and the extra perceptual."
    )
    perceptual_file: str | None = Field(
        None, description="Weights of VGG-16 as safetensors or as torchvision stores them; null takes the user's cache."
    )

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.foreground_weight + self.background_weight + self.perceptual_weight <= 0:
            raise ValueError("foreground_weight and background_weight are both 0; at least one must be above")
        return self

    def weights(self, targets: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Weights of foreground and background of each target, in the order of the targets."""
        found = {}
        for name in targets:
            target, is_colour = TARGETS[name], name == "rgb"
            foreground = self.foreground_weight if is_colour else getattr(self, f"{name}_weight")
            background = self.background_weight if is_colour else getattr(self, f"{name}_weight")
            found[name] = (foreground * target.foreground_weight, background * target.background_weight)
        return found

    def judged_weights(self, targets: Sequence[str]) -> dict[str, tuple[float, float]]:
        """The same for evaluation, where colour that only the perceptual term asks for is judged by the paper's weights."""
        found = self.weights(targets)
        return {name: pair if any(pair) else PAPER_WEIGHTS for name, pair in found.items()}


class PretrainConfig(BaseModel):
    """A whole pre-training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig = Field(description="Backbone, photograph module and generator.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="How long, how fast and where.")
    data: DataConfig = Field(default_factory=DataConfig, description="Points and views of a sample.")
    augment: AugmentConfig = Field(
        default_factory=lambda: AugmentConfig(scale=(0.9, 1.1)), description="Moves points and cameras together."
    )
    targets: tuple[TargetName, ...] = Field(
        RGB_ALONE,
        min_length=1,
        description="What is drawn of each view: rgb, depth, normal, mask; sets model.generator.out_channels.",
    )
    loss: LossConfig = Field(default_factory=LossConfig, description="Weights of the loss.")
    generator_rate: float = Field(
        1.0, gt=0, description="The generator's learning rate over that of the rest; above 1 it learns to draw sooner."
    )
    train_split: str = Field("train", description="Split that is trained on.")
    eval_split: str = Field(
        "test", description="Split that is evaluated; where there is no test split, a share of train is cut."
    )
    holdout_share: float = Field(0.1, gt=0, lt=1, description="Share of train that is cut where eval_split is missing.")

    @field_validator("targets", mode="before")
    @classmethod
    def _separate(cls, value: Any) -> Any:
        """Text such as ``rgb,depth`` names several."""
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"targets {','.join(self.targets)}: name each target once")
        if self.loss.perceptual_weight > 0 and "rgb" not in self.targets:
            raise ValueError(f"targets {','.join(self.targets)}: loss.perceptual_weight needs rgb among them")
        return self

    @model_validator(mode="after")
    def _generator_draws_them(self) -> Self:
        channels, generator = num_channels(self.targets), self.model.generator
        if generator.out_channels != channels:
            fitting = generator.model_copy(update={"out_channels": channels})
            object.__setattr__(self, "model", self.model.model_copy(update={"generator": fitting}))  # it is frozen
        return self
