"""Where a run stands: the counters that a checkpoint keeps beside weights and optimizer."""

import dataclasses

from tap.task import Metrics


@dataclasses.dataclass
class Position:
    """Where a run stands; all of it is saved.

    Attributes:
        epoch: whole epochs done, evaluation included.
        batch: batches done in the epoch that is under way.
        step: optimizer steps done.
        window: sums of losses since the last row of metrics.csv, and their number under ``count``.
        metrics: of the last evaluation.
        best: highest value of the selected metric, or None.
        best_epoch: the epoch after which it was reached.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    window: dict[str, float] = dataclasses.field(default_factory=dict)
    metrics: Metrics = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_epoch: int | None = None
