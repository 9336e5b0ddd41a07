"""The one training loop, for pre-training and for every fine-tuning task, on Lightning Fabric.

Read top to bottom: set up, fit, evaluate. What is learned comes from a `Task`; devices, precision and processes come from
Fabric. A run can be stopped at any step and goes on bit-identically on the CPU: the state is weights, optimizer and
counters, everything random is seeded by them, and the learning rate is a pure function of the step.
"""

import dataclasses
import math
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tap import checkpoint
from tap.clock import Clock, deferred_interrupt
from tap.collate import Batch, collate
from tap.errors import TapError
from tap.optim import flatten_state, learning_rate, load_optimizer, parameter_groups
from tap.position import Position, load_position
from tap.run import Run
from tap.run_folder import EVALUATIONS, METRICS, Table, draw_curves
from tap.sampling import EpochBatches, make_loader
from tap.task import Progress, Task


class TrainConfig(BaseModel):
    """How long, how fast and where a run trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(100, ge=1, description="Passes over the training samples.")
    batch_size: int = Field(32, ge=1, description="Samples of a step on each device.")
    learning_rate: float = Field(1e-3, gt=0, description="The highest learning rate, reached after warm-up.")
    min_learning_rate: float = Field(1e-5, ge=0, description="The learning rate of the last step.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's decay; not on biases, norms and tokens.")
    warmup_epochs: float = Field(3.0, ge=0, description="Epochs of linear warm-up.")
    drop_last: bool = Field(
        True, description="Drop what fills no batch on every device; else fill it up with samples that do not count."
    )
    clip_norm: float = Field(10.0, gt=0, description="Gradients are scaled down to this norm.")
    seed: int = Field(0, ge=0, description="Seed of the initial weights and of everything drawn.")
    num_workers: int = Field(0, ge=0, description="Loader processes a device; 0 loads in the training process.")
    eval_every: int = Field(10, ge=1, description="Epochs between evaluations; the last epoch is always evaluated.")
    save_every: int = Field(1, ge=1, description="Epochs between checkpoints; evaluated epochs are always saved.")
    log_every: int = Field(10, ge=1, description="Steps between rows of metrics.csv.")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="Arithmetic of the forward pass.")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="The kind of device.")
    devices: int = Field(1, ge=1, description="Devices, one process each.")


@dataclasses.dataclass
class Session:
    """A run that is set up: what every function below works on."""

    fabric: Fabric
    task: Task
    config: TrainConfig
    run: Run
    progress: Progress
    model: nn.Module
    optimizer: torch.optim.Optimizer
    names: list[str]
    batches: EpochBatches
    loader: DataLoader[Any]
    position: Position
    table: Table
    clock: Clock


def fit(fabric: Fabric, task: Task, config: TrainConfig, run: Run, progress: Progress) -> Position:
    """Trains a task from the start or from the run's checkpoint, to the last epoch.

    Args:
        fabric: launched.
        task: what is learned.
        config: how.
        run: where to; ``run.resumed`` is where from.
        progress: is told of each step and evaluation.

    Returns:
        The final position, with the metrics of the last evaluation. The run folder holds ``last`` (and ``best`` where the
        task selects), ``metrics.csv``, ``eval.csv`` and ``curves.png``.

    Raises:
        TapError: a loss or gradient that is not finite (the last good checkpoint stays), bad data, a full disk.
        KeyboardInterrupt: after ``last`` was saved at the step that was reached.
    """
    session = _set_up(fabric, task, config, run, progress)
    position = session.position
    try:
        while position.epoch < config.epochs:
            _train_epoch(session)
            due = (position.epoch + 1) % config.eval_every == 0 or position.epoch + 1 == config.epochs
            if due:
                _evaluate(session)
            position.epoch, position.batch = position.epoch + 1, 0
            if due or position.epoch % config.save_every == 0:
                _save(session, "last")
    except KeyboardInterrupt:
        _save(session, "last")
        progress.on_message(f"stopped; saved at step {position.step}, go on with --resume")
        raise
    return position


def _set_up(fabric: Fabric, task: Task, config: TrainConfig, run: Run, progress: Progress) -> Session:
    groups, names = parameter_groups(task.model, config.weight_decay, task.part_of)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    position = Position()
    if run.resumed is not None:
        position = load_position(run.resumed)
        checkpoint.load_weights(task.model, run.resumed)
    model, optimizer = fabric.setup(task.model, optimizer)
    if run.resumed is not None:  # only now, because the state goes to where the parameters are
        load_optimizer(optimizer, names, run.resumed / checkpoint.OPTIMIZER)
        progress.on_message(f"{run.out}: goes on after step {position.step}, epoch {position.epoch}")
    if fabric.is_global_zero:
        Table(run.out / METRICS).cut("step", position.step)
        Table(run.out / METRICS).widen("skipped", "0")
        Table(run.out / EVALUATIONS).cut("epoch", position.epoch)
    fabric.barrier()
    place, data = (fabric.global_rank, fabric.world_size), task.train_data
    batches = EpochBatches(task.order, task.num_train, config.batch_size, *place, config.drop_last, data.reader)
    pin = fabric.device.type == "cuda"
    loader = make_loader(data, batches, collate, config.num_workers, pin)
    clock = Clock(config.epochs * len(batches), position.step)
    table = Table(run.out / METRICS)
    return Session(
        fabric, task, config, run, progress, model, optimizer, names, batches, loader, position, table, clock
    )


def _train_epoch(session: Session) -> None:
    position, clock = session.position, session.clock
    session.model.train()
    session.batches.set_position(position.epoch, position.batch)
    skipped = position.skipped
    for batch in clock.timed(session.loader):
        session.task.train_data.skipped.note(batch.problems)
        with deferred_interrupt():  # weights, counters and metrics.csv move together
            losses = _step(session, batch.to(session.fabric.device))
            position.step, position.batch = position.step + 1, position.batch + 1
            speed = clock.stepped(position.step, len(batch.index) * session.fabric.world_size)
            numbers = {"lr": _base_rate(session, position.step - 1), **losses}
            _log(session, numbers, speed)
        place = {"epoch": position.epoch + 1, "epochs": session.config.epochs, "step": position.step}
        session.progress.on_step({**place, **numbers, **speed})
    if position.skipped > skipped and session.fabric.is_global_zero:
        session.progress.on_message(
            f"epoch {position.epoch + 1}: {position.skipped - skipped} damaged samples were left out, "
            f"{position.skipped} in the run; tap shards verify names them"
        )


def _log(session: Session, numbers: dict[str, float], speed: dict[str, float]) -> None:
    """Adds a step to the window, and the window's means to metrics.csv when it is full."""
    position, window = session.position, session.position.window
    for name, value in {**numbers, "count": 1.0}.items():
        window[name] = window.get(name, 0.0) + value
    if position.step % session.config.log_every:
        return
    count = window.pop("count")
    row = {"epoch": position.epoch + 1, "step": position.step, **{name: sum_ / count for name, sum_ in window.items()}}
    row |= {"skipped": position.skipped, "lr": numbers["lr"]}
    row |= {name: round(speed[name], 4) for name in ("samples_per_second", "data_wait")}
    if session.fabric.is_global_zero:
        session.table.append(row)
    window.clear()
    session.clock.restart()


def _step(session: Session, batch: Batch) -> dict[str, float]:
    """One optimizer step; the losses and the gradient norm as numbers, mean over ranks."""
    fabric, position, config = session.fabric, session.position, session.config
    # Dropout and drop path follow from (seed, step, rank), so a resumed run needs no stored random state.
    seed = np.random.SeedSequence((config.seed, position.step, fabric.global_rank)).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(seed))
    fraction = position.epoch + position.batch / len(session.batches)
    for group in session.optimizer.param_groups:
        group["lr"] = _base_rate(session, position.step) * session.task.rate_scale(group["part"], fraction)
    losses = session.task.training_step(session.model, batch)
    session.optimizer.zero_grad(set_to_none=True)
    fabric.backward(losses["loss"])
    norm = fabric.clip_gradients(session.model, session.optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
    problems = norm.new_tensor(float(len(batch.problems)))
    numbers = _as_numbers(fabric, {**losses, "gradient_norm": norm, "skipped": problems})
    position.skipped += round(numbers.pop("skipped") * fabric.world_size)
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise TapError(
                f"{session.run.out}: {name} is {value} at step {position.step + 1} (epoch {position.epoch + 1}); the last "
                f"checkpoint stays as it was; lower train.learning_rate (now {config.learning_rate}) or check the data"
            )
    session.optimizer.step()
    return numbers


def _base_rate(session: Session, step: int) -> float:
    config, length = session.config, len(session.batches)
    return learning_rate(
        step,
        config.epochs * length,
        round(config.warmup_epochs * length),
        config.learning_rate,
        config.min_learning_rate,
    )


def _as_numbers(fabric: Fabric, values: dict[str, Tensor]) -> dict[str, float]:
    stacked = torch.stack([value.detach().float().reshape(()) for value in values.values()])
    if fabric.world_size > 1:
        stacked = fabric.all_reduce(stacked, reduce_op="mean")
    return dict(zip(values, stacked.tolist(), strict=True))


def _evaluate(session: Session) -> None:
    position, task, run = session.position, session.task, session.run
    session.model.eval()
    with torch.no_grad():
        metrics = task.evaluate(session.model, session.fabric, position.epoch + 1, run.out)
    row = {"epoch": position.epoch + 1, "step": position.step, **metrics}
    position.metrics = metrics
    if session.fabric.is_global_zero:
        Table(run.out / EVALUATIONS).append(row)
        draw_curves(run.out)
    session.progress.on_eval(row)
    session.clock.restart()
    if task.select is not None:
        score = float(metrics[task.select])
        if position.best is None or score > position.best:
            best = dataclasses.replace(position, best=score, best_epoch=position.epoch + 1)
            _save(session, "best", best)
            position.best, position.best_epoch = best.best, best.best_epoch


def _save(session: Session, name: str, position: Position | None = None) -> None:
    """Saves a checkpoint; only ``last``, from which a run goes on, carries the optimizer."""
    if session.fabric.is_global_zero:
        optimizer = flatten_state(session.optimizer.state_dict(), session.names) if name == "last" else None
        state = dataclasses.asdict(position or session.position)
        weights = session.task.model.state_dict()
        checkpoint.save_checkpoint(session.run.out / name, session.run.record, state, weights, optimizer)
    session.fabric.barrier()
