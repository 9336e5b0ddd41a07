"""Two processes that take two steps of two batches: python -m tests.tap.ddp_gradients SHARDS OUT CONFIG.json.

Each writes OUT.RANK.pt: gradients of the first step and parameters after the second. Where a rank and a kind of failure
follow, that rank fails in its second step: ``error``, ``nan``, or ``late`` (once its last evaluation begins).
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shards.errors import ShardError
from shards.reader import ShardReader
from tap.loading.collate import Batch
from tap.loading.data import SampleData
from tap.loading.sampling import plain_errors
from tap.tasks.pretraining.pretrain import PretrainConfig, PretrainTask
from tap.training.clock import Interrupts
from tap.training.fabric import build_fabric
from tap.training.ranks import end
from tap.training.run import Run
from tap.training.session import open_session
from tap.training.step import take_step
from tap.training.task import Silent


class IdleTask(PretrainTask):
    """Pre-training of a model with one parameter that nothing uses."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.model.register_parameter("idle", nn.Parameter(torch.ones(2)))
        self.fails, self.calls = "", 0

    def training_step(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        losses = super().training_step(model, batch)
        if self.fails == "error" and self.calls == 4:  # the first call looks for parameters without a gradient
            raise ShardError("x.tar: member 3 is broken")
        return {name: loss * float("nan") if self.fails == "nan" else loss for name, loss in losses.items()}


def build_task(shards: Path, config: PretrainConfig) -> IdleTask:
    """A task without an evaluator, which no step needs."""
    reader = ShardReader(shards, "train")
    data = SampleData(reader, config.data, config.train.seed, "some", config.augment)
    evaluator: Any = None
    return IdleTask(config, data, np.arange(len(reader)), evaluator)


@plain_errors()
def run(shards: Path, out: Path, config: PretrainConfig, failing: int, kind: str) -> None:
    train = config.train
    fabric = build_fabric(train.accelerator, train.devices, train.precision)
    task = build_task(shards, config)
    task.fails = kind if fabric.global_rank == failing else ""
    session = open_session(fabric, task, train, Run(out, {}), Silent(), Interrupts())
    grads: dict[str, Tensor | None] = {}
    for step, batches in enumerate(session.batches.steps(session.loader)):
        take_step(session, batches)
        session.position.step += 1
        if step == 0:
            grads = {name: value.grad for name, value in task.model.named_parameters()}
            grads = {name: None if value is None else value.clone() for name, value in grads.items()}
        elif step == 1:
            break
    if task.fails == "late":
        raise ShardError("x.tar: member 4 is broken")
    fabric.barrier()
    torch.save({"grads": grads, "weights": task.model.state_dict()}, f"{out}.{fabric.global_rank}.pt")


def main() -> None:
    torch.set_num_threads(1)
    failing, kind = (int(sys.argv[4]), sys.argv[5]) if len(sys.argv) > 4 else (-1, "")
    config = PretrainConfig.model_validate_json(Path(sys.argv[3]).read_text())
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]), config, failing, kind)
    except Exception as error:
        os.write(1, f"ended with {type(error).__name__}: {error}\n".encode())  # at once: the other one writes too
        end(1)
        sys.exit(2)  # the above ends a process of several


if __name__ == "__main__":
    main()
