"""One optimizer step, from batches to new weights: learning rates, seeds, gradients of one batch or the mean over several."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.utils.data import Sampler

from shards.stream import Address
from tap.errors import TapError
from tap.loading.collate import Batch
from tap.loading.sampling import EpochBatches
from tap.training.optim import learning_rate

if TYPE_CHECKING:
    from tap.training.session import Session


class StepBatches(Sampler[list[Address]]):
    """The batches of a rank in an epoch, as many as its optimizer steps take.

    Args:
        batches: of the rank.
        accumulate: batches of a step; an epoch with fewer has one step of all.
        drop_last: drop the batches that fill no whole step; else the last step has fewer.
    """

    def __init__(self, batches: EpochBatches, accumulate: int, drop_last: bool) -> None:
        self.batches, self.size = batches, min(accumulate, len(batches))
        self.num_steps = len(batches) // self.size if drop_last else -(-len(batches) // self.size)
        self._start = 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """The next iteration yields ``epoch`` from batch number ``start`` on."""
        self._start = start
        self.batches.set_position(epoch, start)

    def steps(self, loaded: Iterable[Batch]) -> Iterator[list[Batch]]:
        """What was loaded, a step at a time; a step begins when it is all there, so that Ctrl-C never meets half of one."""
        iterator = iter(loaded)
        while group := list(islice(iterator, self.size)):
            yield group

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return min(len(self.batches), self.num_steps * self.size)

    def __iter__(self) -> Iterator[list[Address]]:
        return islice(iter(self.batches), max(0, len(self) - self._start))


def take_step(session: "Session", batches: Sequence[Batch]) -> dict[str, float]:
    """One optimizer step.

    Args:
        session: of the run; its position stays as it is but for the count of damaged samples.
        batches: of this process, not yet on its device. The gradient is the mean over them, and over processes.

    Returns:
        Losses and gradient norm, mean over batches and processes; and ``stop``, above 0 where Ctrl-C has met one of them.

    Raises:
        TapError: one of them is not finite, on all processes alike; the weights are as they were.
    """
    fabric, position, config = session.fabric, session.position, session.config
    set_rates(session)
    session.optimizer.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        torch.manual_seed(step_seed(config.seed, position.step, fabric.global_rank, number))
        with _apart(session, number + 1 < len(batches)):
            losses = session.task.training_step(session.model, batch.to(fabric.device))
            fabric.backward(losses["loss"] / len(batches))
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss.detach() / len(batches)
    norm = fabric.clip_gradients(session.model, session.optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
    skipped = norm.new_tensor(float(sum(len(batch.problems) for batch in batches)))
    stop = norm.new_tensor(float(session.interrupts.noted))
    numbers = as_numbers(fabric, {**sums, "gradient_norm": norm, "skipped": skipped, "stop": stop})
    position.skipped += round(numbers.pop("skipped") * fabric.world_size)
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise TapError(
                f"{session.run.out}: {name} is {value} at step {position.step + 1} (epoch {position.epoch + 1}); the last "
                f"checkpoint stays as it was; lower train.learning_rate (now {config.learning_rate}) or check the data"
            )
    session.optimizer.step()
    return numbers


def step_seed(seed: int, step: int, rank: int, number: int) -> int:
    """The seed of what is drawn in a forward pass (dropout, drop path), so that a resumed run needs no random state.

    Args:
        seed: of the run.
        step: optimizer steps done.
        rank: of the process.
        number: of the batch in its step.
    """
    later = (number,) if number else ()  # one batch a step has the seed that it had before there could be more
    return int(np.random.SeedSequence((seed, step, rank, *later)).generate_state(1, np.uint64)[0])


def base_rate(session: "Session", step: int) -> float:
    """The learning rate of a step, before the parts of the model scale it."""
    config, warmup = session.config, round(session.config.warmup_epochs * session.batches.num_steps)
    return learning_rate(step, session.num_steps, warmup, config.learning_rate, config.min_learning_rate)


def set_rates(session: "Session") -> None:
    """Gives each part of the model its learning rate for the next step."""
    position, rate = session.position, base_rate(session, session.position.step)
    fraction = position.epoch + position.batch / len(session.batches)
    for group in session.optimizer.param_groups:
        group["lr"] = rate * session.task.rate_scale(group["part"], fraction)


def as_numbers(fabric: Fabric, values: dict[str, Tensor]) -> dict[str, float]:
    """Scalars as numbers, each the mean over processes."""
    stacked = torch.stack([value.detach().float().reshape(()) for value in values.values()])
    if fabric.world_size > 1:
        stacked = fabric.all_reduce(stacked, reduce_op="mean")
    return dict(zip(values, stacked.tolist(), strict=True))


def _apart(session: "Session", more: bool) -> contextlib.AbstractContextManager[Any]:
    """Gradients stay in this process while more batches of the step are to come."""
    together = session.fabric.world_size == 1
    return contextlib.nullcontext() if together else session.fabric.no_backward_sync(session.model, enabled=more)
