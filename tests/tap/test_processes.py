"""Two processes that train together: gradients, failures, launching. What they read is tested in test_stream_processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from tap.config import apply_overrides
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.sampling import EpochBatches, make_loader
from tap.tasks.pretraining.pretrain import PretrainConfig
from tap.training.fabric import build_fabric
from tap.training.step import StepBatches, step_seed
from tests.tap.ddp_gradients import build_task

ROOT = Path(__file__).resolve().parent.parent.parent
CHANGES = [
    "train.devices=2",
    "train.batch_size=3",
    "train.accumulate=2",
    "train.drop_last=false",
    "train.clip_norm=1e9",
]


def start(*command: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def write_config(file: Path, config: BaseModel) -> Path:
    file.write_text(config.model_dump_json())
    return file


def test_gradients_are_the_mean_over_processes_and_parameters_stay_equal(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    config = apply_overrides(pretrain_config, CHANGES)
    out = tmp_path / "run"
    out.mkdir()
    process = start("tests.tap.ddp_gradients", shards, out, write_config(tmp_path / "config.json", config))
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert output == ""  # not a word, not even of unused parameters
    first, second = (torch.load(f"{out}.{rank}.pt", weights_only=True) for rank in (0, 1))
    for part in ("grads", "weights"):
        assert first[part].keys() == second[part].keys()
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())
    expected = mean_gradients(shards, config)
    assert first["grads"]["idle"] is None
    for name, value in expected.items():
        if value is None:
            assert first["grads"][name] is None, name
        else:
            torch.testing.assert_close(first["grads"][name], value, rtol=1e-4, atol=1e-6, msg=name)
            assert torch.equal(first["grads"][name], second["grads"][name])


def mean_gradients(shards: Path, config: PretrainConfig) -> dict[str, torch.Tensor | None]:
    """Of the first step, computed in this process: the mean over two processes with two batches each."""
    task = build_task(shards, config)
    for rank in (0, 1):
        data, train = task.train_data, config.train
        epoch = EpochBatches(task.order, task.num_train, train.batch_size, rank, 2, train.drop_last)
        batches = StepBatches(epoch, train.accumulate, train.drop_last)
        for number, batch in enumerate(next(batches.steps(make_loader(data, batches, collate, 0)))):
            torch.manual_seed(step_seed(train.seed, 0, rank, number))
            (task.training_step(task.model, batch)["loss"] / 4).backward()  # type: ignore[no-untyped-call]
    return {name: value.grad for name, value in task.model.named_parameters()}


@pytest.mark.parametrize(
    ("rank", "kind", "message"),
    [
        (1, "error", "x.tar: member 3 is broken"),
        (1, "nan", "loss is nan at step 1"),
        (0, "late", "x.tar: member 4 is broken"),
    ],
)
def test_one_that_fails_ends_both_with_its_own_line(
    rank: int, kind: str, message: str, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    config = apply_overrides(pretrain_config, CHANGES)
    (tmp_path / "run").mkdir()
    file = write_config(tmp_path / "config.json", config)
    process = start("tests.tap.ddp_gradients", shards, tmp_path / "run", file, rank, kind)
    output, _ = process.communicate(timeout=200)  # both: a process that stays would hold the pipe open
    assert process.returncode == 1
    lines = [line for line in output.splitlines() if line]
    own = [line for line in lines if "ended with PeerError" not in line]
    assert len(own) == 1, output
    assert message in own[0]
    assert all(message in line for line in lines)
    assert "gloo" not in output


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fabric", "torchrun"])
def test_the_command_line_runs_on_two_processes(
    launcher: str, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    settings = {"train.batch_size": 2, "train.epochs": 1, "train.accumulate": 2, "train.accelerator": "cpu"}
    settings |= {"train.warmup_epochs": 0, "data.num_points": 128, "model.image_size": 32}
    settings |= {"model.generator.strides": "[4, 2]", "model.photograph.channels": 32, "model.photograph.cells": 4}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = ["cli.main", "pretrain", str(shards), "--out", str(tmp_path / "run"), *options]
    if launcher == "fabric":
        process = start(*command, "--devices", "2")
    else:
        process = start("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", *command)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.count("evaluated: ") == output.count("samples to train on") == output.count("checkpoint ") == 1
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]["devices"] == 2


def test_torchrun_with_another_number_of_processes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TapError, match=r"train\.devices is 2, but torchrun has started 4 processes"):
        build_fabric("cpu", 2, "32-true")
