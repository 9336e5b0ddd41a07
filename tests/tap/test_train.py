import csv
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from shards.errors import ShardError
from tap.config import apply_overrides
from tap.errors import TapError
from tap.loading.collate import Batch
from tap.tasks.pretraining.pretrain import PretrainConfig, PretrainTask, pretrain
from tap.training.checkpoint import load_state, load_tensors, read_json, write_json
from tap.training.clock import deferred_interrupt
from tap.training.task import Silent
from tests.shards.damage import flip_bit

ACCELERATORS = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


class At(Silent):
    """Does something after a step."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        self.step, self.act = step, act

    def on_step(self, numbers: Mapping[str, Any]) -> None:
        if numbers["step"] == self.step:
            self.act()


def fail(error: BaseException) -> None:
    raise error


def losses(run: Path) -> list[tuple[str, ...]]:
    with (run / "metrics.csv").open() as stream:
        names = ("epoch", "step", "lr", "loss", "foreground_loss", "background_loss", "gradient_norm")
        return [tuple(row[name] for name in names) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def unbroken(shards: Path, pretrain_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    pretrain(shards, out, pretrain_config)
    return out


def same_run(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    assert (one / "eval.csv").read_text() == (other / "eval.csv").read_text()
    for file in ("model.safetensors", "optimizer.safetensors"):
        assert (one / "last" / file).read_bytes() == (other / "last" / file).read_bytes()


@pytest.mark.gpu
def test_resumed_on_cuda_the_optimizer_goes_on_beside_the_parameters(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    config = apply_overrides(pretrain_config, ["train.accelerator=cuda"])
    pretrain(shards, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        pretrain(shards, tmp_path / "parts", config, progress=At(4, lambda: fail(KeyboardInterrupt())))
    assert pretrain(shards, tmp_path / "parts", config, resume=True)["steps"] == 9
    whole, parts = (float(losses(tmp_path / name)[-1][3]) for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=1e-2)


@pytest.mark.parametrize("step", [2, 3, 6])
def test_stopped_at_a_step_and_resumed_is_the_same_run(
    step: int, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, unbroken: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain(shards, tmp_path, pretrain_config, progress=At(step, lambda: fail(KeyboardInterrupt())))
    assert load_state(tmp_path / "last")["step"] == step
    pretrain(shards, tmp_path, apply_overrides(pretrain_config, ["train.num_workers=1"]), resume=True)
    same_run(unbroken, tmp_path)


def test_stopped_after_every_step_and_resumed_with_workers_is_the_same_run(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    changes = [
        "train.accumulate=2",
        "train.batch_size=3",
        "train.drop_last=false",
        "train.epochs=2",
        "train.num_workers=2",
    ]
    config = apply_overrides(pretrain_config, changes)  # steps of 2, 2 and 1 batches
    assert pretrain(shards, tmp_path / "whole", config)["steps"] == 6
    for step in range(1, 6):
        at = At(step, lambda: fail(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            pretrain(shards, tmp_path / "parts", config, resume=True, progress=at)
        assert load_state(tmp_path / "parts" / "last")["step"] == step
    pretrain(shards, tmp_path / "parts", config, resume=True)
    same_run(tmp_path / "whole", tmp_path / "parts")
    # Running statistics are among the weights that are compared; they move in a forward pass, not in the step.
    assert any(
        name.endswith("running_mean") for name in load_tensors(tmp_path / "whole" / "last" / "model.safetensors")
    )


def test_a_crash_goes_back_to_the_checkpoint(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, unbroken: Path
) -> None:
    with pytest.raises(RuntimeError):
        pretrain(shards, tmp_path, pretrain_config, progress=At(5, lambda: fail(RuntimeError())))
    assert load_state(tmp_path / "last")["step"] == 3
    pretrain(shards, tmp_path, pretrain_config, resume=True)
    same_run(unbroken, tmp_path)


def test_ctrl_c_in_a_step_waits_for_its_end(shards: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain(shards, tmp_path, pretrain_config, progress=At(4, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert load_state(tmp_path / "last")["step"] == 4
    done = []

    def interrupted_block() -> None:
        with deferred_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted_block()
    assert done


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])  # ignored in a job in the background
def test_sigterm_saves_as_ctrl_c_does(
    ctrl_c: Any, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, unbroken: Path
) -> None:
    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with pytest.raises(SystemExit) as end:
            pretrain(shards, tmp_path, pretrain_config, progress=At(4, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert load_state(tmp_path / "last")["step"] == 4
    pretrain(shards, tmp_path, pretrain_config, resume=True)
    same_run(unbroken, tmp_path)


def test_the_run_folder_explains_itself(unbroken: Path) -> None:
    names = {path.name for path in unbroken.iterdir()}
    assert names == {
        "config.json", "environment.json", "metrics.csv", "eval.csv", "curves.png", "pictures", "last", "baseline.safetensors",
        "report.html",
    }  # fmt: skip
    assert {path.name for path in (unbroken / "pictures").iterdir()} == {"epoch002.png", "epoch003.png"}
    assert [row[:2] for row in losses(unbroken)] == [(str(1 + step // 3), str(step + 1)) for step in range(9)]


def test_a_loss_that_is_not_finite_stops_with_its_step(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = PretrainTask.training_step
    seen = []

    def bad(self: PretrainTask, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(1)
        scale = float("nan") if len(seen) == 5 else 1.0
        return {name: loss * scale for name, loss in good(self, model, batch).items()}

    monkeypatch.setattr(PretrainTask, "training_step", bad)
    with pytest.raises(TapError, match=r"loss is nan at step 5 \(epoch 2\)"):
        pretrain(shards, tmp_path, pretrain_config)
    assert load_state(tmp_path / "last")["step"] == 3


def test_a_folder_with_another_run_is_refused(shards: Path, pretrain_config: PretrainConfig, unbroken: Path) -> None:
    with pytest.raises(TapError, match="holds a run already"):
        pretrain(shards, unbroken, pretrain_config)
    with pytest.raises(TapError, match=r"config\.train\.epochs \(3 and 4\)"):
        pretrain(shards, unbroken, apply_overrides(pretrain_config, ["train.epochs=4"]), resume=True)


def test_a_finished_run_resumes_to_its_result(shards: Path, pretrain_config: PretrainConfig, unbroken: Path) -> None:
    before = (unbroken / "eval.csv").read_text()
    result = pretrain(shards, unbroken, pretrain_config, resume=True)
    assert (result["epochs"], result["steps"]) == (3, 9)
    assert f"{result['metrics']['loss']}" in before
    assert (unbroken / "eval.csv").read_text() == before
    assert Path(result["picture"]).is_file()


def stopped(shards: Path, out: Path, config: PretrainConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain(shards, out, config, progress=At(2, lambda: fail(KeyboardInterrupt())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("window"), "not the counters of a run, they differ in window"),
        (lambda state: state.update(steps=1), "they differ in steps"),
        (lambda state: state.update(step="many"), "step: .*, got 'many'"),
        (lambda state: state.update(batch=-1), "batch: .*, got -1"),
    ],
)
def test_damaged_counters_are_one_line(
    change: Callable[[dict[str, Any]], Any],
    message: str,
    shards: Path,
    tmp_path: Path,
    pretrain_config: PretrainConfig,
) -> None:
    stopped(shards, tmp_path, pretrain_config)
    state = load_state(tmp_path / "last")
    change(state)
    write_json(tmp_path / "last" / "state.json", state)
    with pytest.raises(TapError, match=message):
        pretrain(shards, tmp_path, pretrain_config, resume=True)


def test_lost_optimizer_state_is_named(shards: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    stopped(shards, tmp_path, pretrain_config)
    file = tmp_path / "last" / "optimizer.safetensors"
    kept = {name: tensor for name, tensor in load_tensors(file).items() if not name.startswith("photograph.memory")}
    save_file(kept, file)
    with pytest.raises(TapError, match=r"parameters have no state, first photograph\.memory"):
        pretrain(shards, tmp_path, pretrain_config, resume=True)


def test_an_empty_table_is_begun_anew(shards: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    stopped(shards, tmp_path, pretrain_config)
    for name in ("metrics.csv", "eval.csv"):
        (tmp_path / name).write_bytes(b"")
    pretrain(shards, tmp_path, pretrain_config, resume=True)
    assert [row[1] for row in losses(tmp_path)] == [str(step) for step in range(3, 10)]


def told_skipped(run: Path) -> list[int]:
    with (run / "metrics.csv").open() as stream:
        return [int(row["skipped"]) for row in csv.DictReader(stream)]


class Messages(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, message: str) -> None:
        self.messages.append(message)


def test_a_damaged_sample_stops_the_run_which_goes_on_without_it(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "set"))
    config = apply_overrides(pretrain_config, ["train.drop_last=false", "train.batch_size=4", "train.eval_every=9"])
    stopped(folder, tmp_path / "run", config)
    key = flip_bit(folder, "train", 6)
    with pytest.raises(ShardError, match=rf"^\S+\.tar: {key}\.points\.npy is not as it was written"):
        pretrain(folder, tmp_path / "run", config, resume=True)
    skipping = apply_overrides(config, ["data.on_error=skip", "train.num_workers=1"])
    progress = Messages()
    assert pretrain(folder, tmp_path / "run", skipping, resume=True, progress=progress)["steps"] == 12
    counts = told_skipped(tmp_path / "run")
    assert counts[:2] == [0, 0]
    assert counts[-1] - counts[7] == counts[7] - counts[3] == 1  # once in each epoch of four steps
    assert "epoch 3: 1 damaged samples were left out" in progress.messages[-1]
    assert load_state(tmp_path / "run" / "last")["skipped"] == counts[-1]
    longer = apply_overrides(skipping, ["train.save_every=2"])
    assert pretrain(folder, tmp_path / "run", longer, resume=True)["steps"] == 12  # and the count is known again


def test_the_count_of_damaged_samples_survives_a_stop(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "set"))
    flip_bit(folder, "train", 6, "view01.png")
    changes = ["train.drop_last=false", "train.batch_size=4", "data.on_error=skip", "data.num_views=4"]
    config = apply_overrides(pretrain_config, changes)
    pretrain(folder, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        pretrain(folder, tmp_path / "parts", config, progress=At(7, lambda: fail(KeyboardInterrupt())))
    pretrain(folder, tmp_path / "parts", config, resume=True)
    same_run(tmp_path / "whole", tmp_path / "parts")
    assert told_skipped(tmp_path / "whole") == told_skipped(tmp_path / "parts")
    assert told_skipped(tmp_path / "whole")[-1] == 3


def test_a_run_that_was_begun_before_these_settings_goes_on(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, unbroken: Path
) -> None:
    stopped(shards, tmp_path, pretrain_config)
    for file, path, names in (
        ("state.json", (), ("skipped",)),
        ("config.json", ("config", "train"), ("drop_last",)),
        ("config.json", ("config", "data"), ("on_error", "cache", "cache_gb")),
    ):
        content = read_json(tmp_path / "last" / file)
        node = content
        for key in path:
            node = node[key]
        for name in names:
            del node[name]
        write_json(tmp_path / "last" / file, content)
    with (tmp_path / "metrics.csv").open() as stream:
        rows = [{name: value for name, value in row.items() if name != "skipped"} for row in csv.DictReader(stream)]
    with (tmp_path / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(TapError, match=r"config\.train\.drop_last \(True and False\)"):
        pretrain(shards, tmp_path, apply_overrides(pretrain_config, ["train.drop_last=false"]), resume=True)
    pretrain(shards, tmp_path, pretrain_config, resume=True)
    same_run(unbroken, tmp_path)
    assert told_skipped(tmp_path) == [0] * 9


def test_without_dropping_every_sample_is_trained_on_once_an_epoch(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, seen = PretrainTask.training_step, []

    def noted(self: PretrainTask, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        seen.append((len(batch.index), batch.index[batch.valid].tolist()))
        return good(self, model, batch)

    monkeypatch.setattr(PretrainTask, "training_step", noted)
    pretrain(shards, tmp_path, apply_overrides(pretrain_config, ["train.drop_last=false", "train.batch_size=4"]))
    assert {size for size, _ in seen} == {4}
    assert len(seen) == 12
    for epoch in range(3):
        assert sorted(index for _, batch in seen[4 * epoch : 4 * epoch + 4] for index in batch) == list(range(15))


def test_bfloat16_runs(shards: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    config = apply_overrides(pretrain_config, ["train.precision=bf16-mixed", "train.epochs=1"])
    assert pretrain(shards, tmp_path, config)["steps"] == 3


def test_an_unknown_accelerator_is_one_line(shards: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    with pytest.raises(TapError, match=r"train\.accelerator: .*'warp'"):
        apply_overrides(pretrain_config, ["train.accelerator=warp"])
    missing = next(kind for kind, there in ACCELERATORS.items() if not there)
    with pytest.raises(TapError, match=rf"train\.accelerator={missing}"):
        pretrain(shards, tmp_path, apply_overrides(pretrain_config, [f"train.accelerator={missing}"]))


def test_a_file_in_the_place_of_the_run_is_one_line(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(TapError, match="cannot be written"):
        pretrain(shards, tmp_path / "run", pretrain_config)
