"""The stream of samples over real processes: ranks, loader workers, and two processes that train together."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from pydantic import BaseModel

from shards.build import BuildOptions, build_shards
from shards.reader import ShardReader
from tap.config import apply_overrides
from tap.errors import TapError
from tap.network.model import build_model
from tap.tasks.classes.classifier import ClassificationConfig
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.tasks.pretraining.views import Evaluator
from tap.training.checkpoint import load_state, load_weights
from tests.shards import synthetic
from tests.shards.damage import flip_bit
from tests.tap import stream_rank

ROOT = Path(__file__).resolve().parent.parent.parent
Told = dict[str, dict[str, Any]]


def start(module: str, *args: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def keys_and_ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[Told]]:
    """Keys of a set of 7 uneven shards, and what each of three processes read of it."""
    folder = tmp_path_factory.mktemp("streams")
    build_shards(
        stream_rank.uneven_sources(), stream_rank.uneven_sample, folder / "set", {"rig": "mvcnn12"},
        BuildOptions(samples_per_shard=8, num_workers=0), failure_types=(synthetic.SourceError,),
    )  # fmt: skip
    processes = [start("tests.tap.stream_rank", folder / "set", rank, folder / f"{rank}.json") for rank in range(3)]
    for process in processes:
        finish(process)
    with ShardReader(folder / "set") as reader:
        assert tuple(entry.count for entry in reader.entries) == stream_rank.SIZES
        keys = [reader.key(index) for index in range(len(reader))]
    return keys, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(3)]


def interleaved(ranks: Sequence[Told], num_ranks: int, num_workers: int, name: str) -> list[list[list[Any]]]:
    """Batches of all ranks in the order of their numbers; each rank must have the same number of batches."""
    each = [ranks[rank][f"{num_ranks}/{num_workers}"][name] for rank in range(num_ranks)]
    return [batch for step in zip(*each, strict=True) for batch in step]


def valid(batches: list[list[list[Any]]]) -> list[list[Any]]:
    return [row for batch in batches for row in batch if row[1]]


@pytest.mark.parametrize("num_workers", stream_rank.WORKERS)
@pytest.mark.parametrize("num_ranks", stream_rank.RANKS)
def test_one_global_stream_whatever_ranks_and_workers(
    num_ranks: int, num_workers: int, keys_and_ranks: tuple[list[str], list[Told]]
) -> None:
    keys, ranks = keys_and_ranks
    epochs = []
    for name in ("filled0", "filled1", "evaluated"):
        batches = interleaved(ranks, num_ranks, num_workers, name)
        assert {len(batch) for batch in batches} == {stream_rank.BATCH_SIZE}
        rows = valid(batches)
        assert sorted(row[0] for row in rows) == sorted(keys)
        assert rows == valid(interleaved(ranks, 1, 0, name))  # what was drawn for each sample included
        epochs.append([row[0] for row in rows])
    assert epochs[0] != epochs[1]
    assert epochs[2] == keys
    for epoch in (0, 1):
        dropping = interleaved(ranks, num_ranks, num_workers, f"dropped{epoch}")
        number = len(keys) // stream_rank.BATCH_SIZE // num_ranks * num_ranks
        assert dropping == interleaved(ranks, 1, 0, f"filled{epoch}")[:number]


@pytest.mark.parametrize("num_ranks", stream_rank.RANKS)
def test_a_run_goes_on_with_the_next_sample_with_any_number_of_workers(
    num_ranks: int, keys_and_ranks: tuple[list[str], list[Told]]
) -> None:
    _, ranks = keys_and_ranks
    for name in ("filled", "dropped"):
        whole = interleaved(ranks, num_ranks, 0, f"{name}1")
        for num_workers in stream_rank.WORKERS:
            rest = interleaved(ranks, num_ranks, num_workers, f"{name}_resumed")
            step = ranks[0][f"{num_ranks}/{num_workers}"][f"{name}_step"]
            assert rest == whole[step * num_ranks :]
            assert rest


def train_together(task: str, shards: Path, out: Path, config: BaseModel) -> str:
    """Runs a task on two processes and returns what they print; both must end with the same parameters."""
    file = out.with_suffix(".json")
    file.write_text(config.model_dump_json())
    output = finish(start("tests.tap.ddp_run", task, shards, out, file))
    hashes = [Path(f"{out}.{rank}").read_text() for rank in (0, 1)]
    assert hashes[0] == hashes[1]
    return output


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def test_two_processes_train_on_uneven_and_damaged_samples(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    shards = Path(shutil.copytree(shards, tmp_path / "set"))
    keys = [flip_bit(shards, "train", index) for index in (3, 10)]
    changes = ["train.devices=2", "train.batch_size=3", "train.drop_last=false", "train.epochs=2", "data.on_error=skip"]
    # 15 samples make 5 batches, so the last one of the second process is all fill; so are some of the 6 to evaluate.
    config = apply_overrides(pretrain_config, changes)
    out = tmp_path / "run"
    output = train_together("pretrain", shards, out, config)
    assert all(f"{key}.points.npy is not as it was written" in output for key in keys)
    assert [row["skipped"] for row in rows_of(out / "metrics.csv")][2::3] == ["2", "4"]  # each sample once an epoch
    assert (load_state(out / "last")["step"], load_state(out / "last")["skipped"]) == (6, 4)
    told = float(rows_of(out / "eval.csv")[-1]["loss"])
    assert told == pytest.approx(evaluated_alone(shards, out, config), rel=1e-5)
    with pytest.raises(TapError, match=r"config\.train\.devices \(2 and 1\)"):
        pretrain(shards, out, apply_overrides(config, ["train.devices=1"]), resume=True)


def evaluated_alone(shards: Path, out: Path, config: PretrainConfig) -> float:
    """The loss of a run's last checkpoint, in this process."""
    train, test = ShardReader(shards, "train"), ShardReader(shards, "test")
    everything = torch.arange(15).numpy(), torch.arange(6).numpy()
    judge = Evaluator(config, train, everything[0], test, everything[1], "test")
    model = build_model(config.model).eval()
    load_weights(model, out)
    with torch.no_grad():
        return float(judge.evaluate(model, Fabric(accelerator="cpu", devices=1))["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("drop_last", [True, False])
def test_two_processes_learn_to_classify(
    drop_last: bool, shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    # 12 samples make 3 batches of 5: without dropping the second one of the second process is all fill.
    changes = ["train.devices=2", "train.batch_size=5", f"train.drop_last={json.dumps(drop_last)}", "train.epochs=2"]
    config = apply_overrides(classification_config, changes)
    train_together("classification", shards, tmp_path / "run", config)
    assert len(rows_of(tmp_path / "run/metrics.csv")) == 2 * (1 if drop_last else 2)
    result = json.loads((tmp_path / "run/result.json").read_text())
    told = float(rows_of(tmp_path / "run/eval.csv")[-1]["accuracy"])
    assert result["validation"]["last"]["accuracy"] == told
    assert len(rows_of(tmp_path / "run/predictions.csv")) == 6


@pytest.mark.slow
def test_two_processes_stopped_and_resumed_are_the_same_run(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    changes = ["train.devices=2", "train.batch_size=2", "train.epochs=4", "train.eval_every=4"]
    config = apply_overrides(pretrain_config, changes)
    train_together("pretrain", shards, tmp_path / "whole", config)
    place = random.Random(4).randrange(1, 4)
    file = tmp_path / "parts.json"
    file.write_text(config.model_dump_json())
    first = start("tests.tap.ddp_run", "pretrain", shards, tmp_path / "parts", file, place)
    assert first.communicate(timeout=300)[0] is not None
    assert first.returncode != 0
    train_together("pretrain", shards, tmp_path / "parts", apply_overrides(config, ["train.num_workers=1"]))
    assert (tmp_path / "whole.0").read_text() == (tmp_path / "parts.0").read_text()
