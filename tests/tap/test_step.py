from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from tap.config import apply_overrides
from tap.errors import TapError
from tap.loading.sampling import EpochBatches
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.training.clock import Interrupts
from tap.training.fabric import build_fabric
from tap.training.run import Run
from tap.training.session import Session, open_session, parameters_without_gradient
from tap.training.step import StepBatches, as_numbers, step_seed, take_step
from tap.training.task import Silent
from tests.tap.ddp_gradients import build_task


def batches_of(num_samples: int, accumulate: int, drop_last: bool) -> StepBatches:
    epoch = EpochBatches(lambda epoch: np.arange(num_samples), num_samples, 2, drop_last=drop_last)
    return StepBatches(epoch, accumulate, drop_last)


@pytest.mark.parametrize(
    ("accumulate", "drop_last", "steps"),
    [
        (1, True, [1, 1, 1, 1, 1]),
        (2, True, [2, 2]),
        (2, False, [2, 2, 1]),
        (5, True, [5]),
        (9, True, [5]),  # an epoch shorter than a step is one step
        (9, False, [5]),
    ],
)
def test_an_epoch_is_cut_into_steps(accumulate: int, drop_last: bool, steps: list[int]) -> None:
    batches = batches_of(10, accumulate, drop_last)
    loaded: Any = iter(list(batches))
    assert [len(group) for group in batches.steps(loaded)] == steps
    assert (batches.num_steps, len(batches)) == (len(steps), sum(steps))


def test_a_resumed_epoch_has_the_steps_that_were_left() -> None:
    batches = batches_of(10, 2, True)
    whole = list(batches)
    batches.set_position(0, 2)
    assert list(batches) == whole[2:]
    batches.set_position(0, 4)
    assert list(batches) == []
    batches.set_position(1)
    assert len(list(batches)) == 4


def test_each_batch_of_a_step_and_each_process_draws_its_own() -> None:
    seeds = {step_seed(7, step, rank, number) for step in range(3) for rank in range(3) for number in range(3)}
    assert len(seeds) == 27
    # What runs that were begun before batches were accumulated have drawn.
    assert step_seed(7, 3, 1, 0) == int(np.random.SeedSequence((7, 3, 1)).generate_state(1, np.uint64)[0])


def open_here(shards: Path, out: Path, config: PretrainConfig) -> Session:
    out.mkdir()
    fabric = build_fabric("cpu", 1, "32-true")
    return open_session(fabric, build_task(shards, config), config.train, Run(out, {}), Silent(), Interrupts())


def test_the_gradient_is_the_mean_over_the_batches_of_a_step(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    config = apply_overrides(pretrain_config, ["train.accumulate=3", "train.clip_norm=1e9"])
    session = open_here(shards, tmp_path / "run", config)
    batches = next(session.batches.steps(session.loader))
    plain = build_task(shards, config)
    plain.model.load_state_dict(session.task.model.state_dict())
    losses = []
    for number, batch in enumerate(batches):
        torch.manual_seed(step_seed(config.train.seed, 0, 0, number))
        losses.append(plain.training_step(plain.model, batch)["loss"])
    torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
    numbers = take_step(session, batches)
    assert len(batches) == 3
    assert numbers["loss"] == pytest.approx(float(torch.stack(losses).mean().detach()), rel=1e-5)
    for (name, value), other in zip(session.task.model.named_parameters(), plain.model.parameters(), strict=True):
        if other.grad is None:
            assert value.grad is None, name
        else:
            torch.testing.assert_close(value.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_accumulated_batches_and_steps_are_counted(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    config = apply_overrides(pretrain_config, ["train.accumulate=2", "train.epochs=2", "train.batch_size=4"])
    assert pretrain(shards, tmp_path / "dropped", config)["steps"] == 2  # 3 whole batches, one of them dropped
    kept = apply_overrides(config, ["train.drop_last=false"])
    assert pretrain(shards, tmp_path / "kept", kept)["steps"] == 4
    with pytest.raises(TapError, match=r"config\.train\.accumulate \(2 and 1\)"):
        pretrain(shards, tmp_path / "kept", apply_overrides(kept, ["train.accumulate=1"]), resume=True)


def test_parameters_that_a_step_does_not_use_are_found(shards: Path, pretrain_config: PretrainConfig) -> None:
    task = build_task(shards, pretrain_config)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    found = parameters_without_gradient(task)
    assert "idle" in found
    assert set(found) <= {"idle", "photograph.pad"}
    assert task.model.training
    assert all(torch.equal(before[name], value) for name, value in task.model.state_dict().items())


def test_numbers_of_one_process_are_themselves() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    assert as_numbers(fabric, {"a": torch.tensor(2.0), "b": torch.tensor([3.5])}) == {"a": 2.0, "b": 3.5}
