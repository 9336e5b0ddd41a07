"""What the training loop asks of a task, and what it tells whoever watches. Protocols only."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lightning.fabric import Fabric
from torch import Tensor, nn

from shards.stream import IntArray
from tap.loading.collate import Batch
from tap.loading.samples import Samples

if TYPE_CHECKING:
    from tap.training.report.sections import Section

Metrics = dict[str, float | str]


class Task(Protocol):
    """What is learned, as the loop sees it.

    Attributes:
        model: the module that is trained and saved.
        train_data: where the training samples come from.
        num_train: how many of them an epoch has.
        select: the metric whose highest value marks the best checkpoint, or None where nothing is selected.
    """

    model: nn.Module
    train_data: Samples
    num_train: int
    select: str | None

    def order(self, epoch: int) -> IntArray:
        """The training samples of an epoch, ``num_train`` indices into ``train_data``."""
        ...

    def part_of(self, name: str) -> str:
        """The part of the model that a parameter belongs to."""
        ...

    def rate_scale(self, part: str, epoch: float) -> float:
        """What multiplies a part's learning rate after so many (fractional) epochs."""
        ...

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch, () each; the one named ``loss`` is minimised. Samples that are not valid do not count.

        Args:
            model: ``self.model`` as Fabric wrapped it; the forward pass goes through it.
            batch: on the device.
        """
        ...

    def evaluate(self, model: nn.Module, fabric: Fabric, epoch: int, out: Path) -> Metrics:
        """Metrics after so many whole epochs, equal on every rank; may write pictures to ``out``."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A task that has more to show in ``report.html`` than every task has; `tap.training.report.sections` has the blocks."""

    def report_sections(self, out: Path) -> "list[Section]":
        """Sections made of what lies in the run folder."""
        ...


class Progress(Protocol):
    """Who watches a run. Whatever it raises stops the run as Ctrl-C does: between two steps, with the state saved."""

    def on_message(self, message: str) -> None:
        """One line for the reader."""
        ...

    def on_step(self, numbers: Mapping[str, Any]) -> None:
        """After each step: epoch, epochs, step, steps, lr, losses, samples_per_second, data_wait, seconds_left."""
        ...

    def on_eval(self, numbers: Mapping[str, Any]) -> None:
        """After each evaluation: epoch, step and the task's metrics."""
        ...


class Silent:
    """A `Progress` that shows nothing."""

    def on_message(self, message: str) -> None:
        """Nothing."""

    def on_step(self, numbers: Mapping[str, Any]) -> None:
        """Nothing."""

    def on_eval(self, numbers: Mapping[str, Any]) -> None:
        """Nothing."""
