import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tap.config import apply_overrides
from tap.errors import TapError
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.training.checkpoint import read_json
from tap.training.run import Run
from tap.training.trackers import start_trackers


class Wandb(types.ModuleType):
    """What W&B is asked for, noted."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.ended = 0
        self.Image = lambda file: f"image {Path(file).name}"

    def init(self, **settings: Any) -> "Wandb":
        self.started.append(settings)
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "step")

    def log(self, numbers: dict[str, Any]) -> None:
        self.logged.append(numbers)

    def finish(self) -> None:
        self.ended += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return module


def test_a_run_and_its_continuation_are_one_run_of_wandb(
    wandb: Wandb, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    out = tmp_path / "project" / "one"
    config = apply_overrides(pretrain_config, ["train.trackers=['wandb']", "train.eval_every=1", "train.epochs=1"])
    pretrain(shards, out, config)
    (first,) = wandb.started
    assert (first["project"], first["name"], first["mode"], first["resume"]) == ("project", "one", "offline", "allow")
    assert first["config"]["task"] == "pretrain"
    assert [row["step"] for row in wandb.logged] == [1, 2, 3, 3, 3]
    assert {"train/loss", "train/lr", "step"} <= set(wandb.logged[0])
    assert {"eval/loss", "eval/ratio", "step"} <= set(wandb.logged[3])
    assert wandb.logged[4] == {"views": "image epoch001.png", "step": 3}
    pretrain(shards, out, config, resume=True)
    assert wandb.started[1]["id"] == first["id"] == read_json(out / "wandb.json")["id"]
    assert wandb.ended == 2


def test_wandb_goes_where_its_variables_say(wandb: Wandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    start_trackers(["wandb"], Run(tmp_path, {}), 0)
    assert (wandb.started[0]["mode"], wandb.started[0]["project"]) == ("online", "mine")


def test_wandb_that_does_not_start_is_one_line(wandb: Wandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("no API key\nconfigured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(TapError, match=r"^wandb: no API key configured; or leave it out"):
        start_trackers(["wandb"], Run(tmp_path, {}), 0)


def test_tensorboard_reads_back_what_was_told(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(picture)
    (tracker,) = start_trackers(["tensorboard"], Run(tmp_path, {}), 0)
    for step in (1, 2, 3):
        tracker.log({"train/loss": step / 2}, step)
    tracker.image("views", picture, 3)
    tracker.close()
    (tracker,) = start_trackers(["tensorboard"], Run(tmp_path, {}, tmp_path / "last"), 1)  # goes on after step 1
    tracker.log({"train/loss": 9.0}, 2)
    tracker.close()
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.5), (2, 9.0)]
    assert events.Tags()["images"] == ["views"]


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_what_is_not_installed_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("wandb", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TapError, match=rf'{name} is not installed; pip install "tap3d\[{name}\]"'):
        start_trackers([name], Run(tmp_path, {}), 0)


def test_those_that_were_started_are_closed(wandb: Wandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TapError):
        start_trackers(["wandb", "tensorboard"], Run(tmp_path, {}), 0)
    assert wandb.ended == 1
