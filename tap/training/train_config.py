"""How long, how fast and where a run trains: the settings of the training loop."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class TrainConfig(BaseModel):
    """How long, how fast and where a run trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(100, ge=1, description="Passes over the training samples.")
    batch_size: int = Field(32, ge=1, description="Samples of a batch on each device.")
    accumulate: int = Field(
        1, ge=1, description="Batches of an optimizer step on each device; its gradient is their mean."
    )
    learning_rate: float = Field(1e-3, gt=0, description="The highest learning rate, reached after warm-up.")
    min_learning_rate: float = Field(1e-5, ge=0, description="The learning rate of the last step.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's decay; not on biases, norms and tokens.")
    warmup_epochs: float = Field(3.0, ge=0, description="Epochs of linear warm-up.")
    drop_last: bool = Field(
        True,
        description="Drop what fills no batch on every device and no whole step; else fill the batch up with samples that do "
        "not count, and end the epoch with a step of fewer batches.",
    )
    clip_norm: float = Field(10.0, gt=0, description="Gradients are scaled down to this norm.")
    seed: int = Field(0, ge=0, description="Seed of the initial weights and of everything drawn.")
    num_workers: int = Field(0, ge=0, description="Loader processes a device; 0 loads in the training process.")
    eval_every: int = Field(10, ge=1, description="Epochs between evaluations; the last epoch is always evaluated.")
    save_every: int = Field(1, ge=1, description="Epochs between checkpoints; evaluated epochs are always saved.")
    log_every: int = Field(10, ge=1, description="Steps between rows of metrics.csv.")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="Arithmetic of the forward pass.")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="The kind of device.")
    devices: int = Field(1, ge=1, description="Devices, one process each; under torchrun its number of processes.")
    compile: bool = Field(False, description="Compile the model with torch.compile; the first steps take a minute.")
    ops: Literal["auto", "reference", "cpu", "triton", "pytorch3d"] = Field(
        "auto", description="Which implementation of the point operations; auto takes the fastest that runs here."
    )
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        (), description="Where metrics go beside metrics.csv; each is an extra of the package."
    )

    @field_validator("trackers", mode="before")
    @classmethod
    def _separate(cls, value: Any) -> Any:
        """Text such as ``tensorboard`` or ``tensorboard,wandb`` names one or several."""
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value
