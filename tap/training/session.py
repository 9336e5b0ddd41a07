"""A training run that is set up: model, optimizer, data, position and whoever is told, in one record for the loop."""

import dataclasses
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader

from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.sampling import EpochBatches, make_loader
from tap.training import checkpoint
from tap.training.clock import Clock, Interrupts
from tap.training.compiling import compiled
from tap.training.fabric import Processes
from tap.training.machine import prepare_machine
from tap.training.optim import load_optimizer, parameter_groups
from tap.training.position import Position, load_position
from tap.training.run import Run
from tap.training.run_folder import EVALUATIONS, METRICS, Table
from tap.training.step import StepBatches
from tap.training.task import Progress, Silent, Task
from tap.training.trackers import Tracker, start_trackers
from tap.training.train_config import TrainConfig


@dataclasses.dataclass
class Session:
    """A run that is set up: what the loop works on.

    Attributes:
        fabric: devices, processes, precision.
        task: what is learned; ``task.model`` is the plain model that is saved.
        config: how.
        run: where to.
        progress: who watches; on further processes nobody.
        model: ``task.model`` as Fabric (and the compiler) wrapped it.
        optimizer: of its parameters.
        names: parameter names in the optimizer's order.
        batches: what each step trains on.
        loader: brings it.
        position: how far it is.
        table: metrics.csv.
        clock: speed and time left.
        trackers: who gets the metrics beside the table; on further processes nobody.
        interrupts: Ctrl-C that waits for the end of a step.
    """

    fabric: Fabric
    task: Task
    config: TrainConfig
    run: Run
    progress: Progress
    model: nn.Module
    optimizer: torch.optim.Optimizer
    names: list[str]
    batches: StepBatches
    loader: DataLoader[Any]
    position: Position
    table: Table
    clock: Clock
    trackers: list[Tracker]
    interrupts: Interrupts

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.config.epochs * self.batches.num_steps


def open_session(
    fabric: Fabric, task: Task, config: TrainConfig, run: Run, progress: Progress, interrupts: Interrupts
) -> Session:
    """Sets a run up from the start or from its checkpoint.

    Raises:
        TapError: a checkpoint of something else, a table that cannot be continued, a machine that cannot compile or lacks
            what the config names.
    """
    prepare_machine(config)
    progress = progress if fabric.is_global_zero else Silent()
    groups, names = parameter_groups(task.model, config.weight_decay, task.part_of)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    position = Position()
    if run.resumed is not None:
        position = load_position(run.resumed)
        checkpoint.load_weights(task.model, run.resumed)
    if isinstance(fabric.strategy, Processes):
        fabric.strategy.has_unused_parameters = bool(parameters_without_gradient(task))
    model, optimizer = fabric.setup(compiled(task.model, fabric.device) if config.compile else task.model, optimizer)
    if run.resumed is not None:  # only now, because the state goes to where the parameters are
        load_optimizer(optimizer, names, run.resumed / checkpoint.OPTIMIZER)
        progress.on_message(f"{run.out}: goes on after step {position.step}, epoch {position.epoch}")
    _cut_tables(fabric, run, position)
    place, data = (fabric.global_rank, fabric.world_size), task.train_data
    epoch = EpochBatches(task.order, task.num_train, config.batch_size, *place, config.drop_last, data.reader)
    batches = StepBatches(epoch, config.accumulate, config.drop_last)
    loader = make_loader(data, batches, collate, config.num_workers, fabric.device.type == "cuda")
    clock = Clock(config.epochs * batches.num_steps, position.step)
    trackers = start_trackers(config.trackers, run, position.step) if fabric.is_global_zero else []
    table = Table(run.out / METRICS)
    found = (model, optimizer, names, batches, loader, position, table, clock, trackers, interrupts)
    return Session(fabric, task, config, run, progress, *found)


def parameters_without_gradient(task: Task) -> list[str]:
    """The parameters that a training step leaves without a gradient, found by a forward pass of one sample.

    Raises:
        TapError: the loss has no gradient at all.
    """
    model, data = task.model, task.train_data
    model.eval()  # running statistics stay as they are
    loss = task.training_step(model, collate([next(data.readable(task.order(0)))]))["loss"]
    model.train()
    if loss.grad_fn is None:
        raise TapError("the loss of a training step does not depend on the model")
    seen, waiting, used = {loss.grad_fn}, [loss.grad_fn], set()
    while waiting:
        node: Any = waiting.pop()
        used.add(id(getattr(node, "variable", None)))
        following = {one for one, _ in node.next_functions if one is not None} - seen
        seen |= following
        waiting += following
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    return [name for name, value in trained if id(value) not in used]


def _cut_tables(fabric: Fabric, run: Run, position: Position) -> None:
    if fabric.is_global_zero:
        Table(run.out / METRICS).cut("step", position.step)
        Table(run.out / METRICS).widen("skipped", "0")
        Table(run.out / EVALUATIONS).cut("epoch", position.epoch)
    fabric.barrier()
