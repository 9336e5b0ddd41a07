"""The one training loop, for pre-training and for every fine-tuning task, on Lightning Fabric.

Read top to bottom: fit, train an epoch, evaluate, save; `session` sets up and `step` takes a step. What is learned comes
from a `Task`; devices, precision and processes come from Fabric. A run can be stopped at any step and goes on
bit-identically on the CPU: the state is weights, optimizer and counters, everything random is seeded by them, and the
learning rate is a pure function of the step.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning.fabric import Fabric

from tap.training import checkpoint
from tap.training.clock import deferred_interrupt, noted_interrupts, terminated_as_interrupted
from tap.training.compiling import plain_compiler_errors
from tap.training.optim import flatten_state
from tap.training.position import Position
from tap.training.report import write_report
from tap.training.run import Run
from tap.training.run_folder import EVALUATIONS, Table, draw_curves, picture_of
from tap.training.session import Session, open_session
from tap.training.step import base_rate, take_step
from tap.training.task import Progress, Task
from tap.training.train_config import TrainConfig

__all__ = ["Session", "TrainConfig", "fit"]


def fit(fabric: Fabric, task: Task, config: TrainConfig, run: Run, progress: Progress) -> Position:
    """Trains a task from the start or from the run's checkpoint, to the last epoch.

    Args:
        fabric: launched.
        task: what is learned.
        config: how.
        run: where to; ``run.resumed`` is where from.
        progress: is told of each step and evaluation, on the first process.

    Returns:
        The final position, with the metrics of the last evaluation. The run folder holds ``last`` (and ``best`` where the
        task selects), ``metrics.csv``, ``eval.csv``, ``curves.png`` and ``report.html``.

    Raises:
        TapError: a loss or gradient that is not finite (the last good checkpoint stays), bad data, a full disk.
        KeyboardInterrupt: after ``last`` was saved at the step that was reached; on all processes the same step.
        SystemExit: the same after SIGTERM, with code 143.
    """
    with (
        terminated_as_interrupted(),
        noted_interrupts(fabric.world_size > 1) as interrupts,
        plain_compiler_errors(config.compile),
    ):
        session = open_session(fabric, task, config, run, progress, interrupts)
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
            if fabric.world_size > 1 and not interrupts.agreed:  # a second Ctrl-C: the others may be elsewhere
                raise
            _save(session, "last")
            session.progress.on_message(f"stopped; saved at step {position.step}, go on with --resume")
            raise
        finally:
            for tracker in session.trackers:
                tracker.close()
    return position


def _train_epoch(session: Session) -> None:
    position, clock = session.position, session.clock
    together = session.fabric.world_size > 1
    session.model.train()
    session.batches.set_position(position.epoch, position.batch)
    skipped = position.skipped
    for batches in session.batches.steps(clock.timed(session.loader)):
        for batch in batches:
            session.task.train_data.skipped.note(batch.problems)
        # Weights, counters and metrics.csv move together; several processes note Ctrl-C from the beginning to the end.
        with contextlib.nullcontext() if together else deferred_interrupt():
            numbers = {"lr": base_rate(session, position.step), **take_step(session, batches)}
            stop = numbers.pop("stop") > 0
            position.step, position.batch = position.step + 1, position.batch + len(batches)
            samples = sum(len(batch.index) for batch in batches) * session.fabric.world_size
            speed = clock.stepped(position.step, samples)
            _log(session, numbers, speed)
        _tell(session, numbers, speed)
        if stop:
            session.interrupts.agreed = True
            raise KeyboardInterrupt
    if position.skipped > skipped:
        session.progress.on_message(
            f"epoch {position.epoch + 1}: {position.skipped - skipped} damaged samples were left out, "
            f"{position.skipped} in the run; tap shards verify names them"
        )


def _tell(session: Session, numbers: dict[str, float], speed: dict[str, float]) -> None:
    place = {"epoch": session.position.epoch + 1, "epochs": session.config.epochs, "step": session.position.step}
    try:
        session.progress.on_step({**place, **numbers, **speed})
    except KeyboardInterrupt:
        if session.fabric.world_size == 1:
            raise
        session.interrupts.noted = True  # the other processes learn of it in the next step


def _log(session: Session, numbers: dict[str, float], speed: dict[str, float]) -> None:
    """Adds a step to the window, and the window's means to metrics.csv and the trackers when it is full."""
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
        _track(session, "train", row)
    window.clear()
    session.clock.restart()


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
        _track(session, "eval", row, picture_of(run.out, position.epoch + 1))
    session.progress.on_eval(row)
    if task.select is not None:
        score = float(metrics[task.select])
        if position.best is None or score > position.best:
            best = dataclasses.replace(position, best=score, best_epoch=position.epoch + 1)
            _save(session, "best", best)
            position.best, position.best_epoch = best.best, best.best_epoch
    if session.fabric.is_global_zero:
        write_report(run.out, task)
    session.clock.restart()


def _track(session: Session, group: str, row: Mapping[str, float | str], picture: Path | None = None) -> None:
    numbers = {f"{group}/{name}": value for name, value in row.items() if isinstance(value, float)}
    for tracker in session.trackers:
        tracker.log(numbers, session.position.step)
        if picture is not None:
            tracker.image("views", picture, session.position.step)


def _save(session: Session, name: str, position: Position | None = None) -> None:
    """Saves a checkpoint; only ``last``, from which a run goes on, carries the optimizer."""
    if session.fabric.is_global_zero:
        optimizer = flatten_state(session.optimizer.state_dict(), session.names) if name == "last" else None
        state = dataclasses.asdict(position or session.position)
        weights = session.task.model.state_dict()
        checkpoint.save_checkpoint(session.run.out / name, session.run.record, state, weights, optimizer)
    session.fabric.barrier()
