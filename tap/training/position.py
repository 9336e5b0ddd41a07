"""Where a run stands: the counters that a checkpoint keeps beside weights and optimizer."""

import dataclasses
from pathlib import Path

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from tap.errors import TapError
from tap.training.checkpoint import STATE, load_state
from tap.training.task import Metrics


@dataclasses.dataclass
class Position:
    """Where a run stands; all of it is saved.

    Attributes:
        epoch: whole epochs done, evaluation included.
        batch: batches that each rank has done in the epoch that is under way.
        step: optimizer steps done.
        skipped: damaged samples that training left out, on all ranks; one that was met in three epochs counts three times.
        window: sums of losses since the last row of metrics.csv, and their number under ``count``.
        metrics: of the last evaluation.
        best: highest value of the selected metric, or None.
        best_epoch: the epoch after which it was reached.
    """

    epoch: NonNegativeInt = 0
    batch: NonNegativeInt = 0
    step: NonNegativeInt = 0
    skipped: NonNegativeInt = 0
    window: dict[str, float] = dataclasses.field(default_factory=dict)
    metrics: Metrics = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_epoch: int | None = None


def load_position(checkpoint: Path) -> Position:
    """Where the run of a checkpoint folder stands; `TapError` if its counters are damaged or of something else."""
    state, file = {"skipped": 0, **load_state(checkpoint)}, checkpoint / STATE  # older runs did not count these
    names = {field.name for field in dataclasses.fields(Position)}
    if set(state) != names:
        odd = ", ".join(sorted(names ^ set(state)))
        raise TapError(f"{file}: not the counters of a run, they differ in {odd}; start anew with another --out")
    try:
        return TypeAdapter(Position).validate_python(state)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise TapError(
            f"{file}: {key}: {first['msg']}, got {first['input']!r}; start anew with another --out"
        ) from error
