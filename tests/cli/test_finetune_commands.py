"""`tap finetune classification` and `fewshot` as a user meets them, on an app of their own."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cli.finetune_commands import classification, fewshot
from cli.main import app as tap

finetune = typer.Typer()
finetune.command()(classification)
finetune.command()(fewshot)
TINY = [
    "data.num_points=128", "train.epochs=1", "train.batch_size=4", "train.accelerator=cpu", "validation_share=0.4",
    'backbone={"name": "pointnet2", "settings": {"inputs": "xyz", "strides": [8], "mlps": [[8, 16]], "radii": [0.4], '
    '"num_neighbors": [8]}}',
]  # fmt: skip


@pytest.fixture(scope="module")
def shards(mesh_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "set"
    options = ["--up", "z", "--set", "image_size=112", "--set", "num_points=256"]
    assert CliRunner().invoke(tap, ["render", str(mesh_folder), "--out", str(out), *options]).exit_code == 0
    return out


def invoke(runner: CliRunner, *arguments: str | Path, settings: list[str] = TINY) -> Result:
    chosen = [part for setting in settings for part in ("--set", setting)]
    return runner.invoke(finetune, [*(str(argument) for argument in arguments), *chosen], env={"COLUMNS": "140"})


def test_one_run_with_a_vote_says_what_it_selected_on(runner: CliRunner, shards: Path, tmp_path: Path) -> None:
    result = invoke(runner, "classification", shards, "--out", tmp_path / "run", "--votes", "2")
    assert result.exit_code == 0, result.output
    assert "best, vote of 2 draws" in result.output
    assert "chosen on validation accuracy, 40% of each class of train" in result.output
    assert "test was read once" in result.output
    stored = json.loads((tmp_path / "run/config.json").read_text())
    assert stored["config"]["votes"] == 2


def test_selected_on_test_is_said_to_be_optimistic(runner: CliRunner, shards: Path, tmp_path: Path) -> None:
    result = invoke(runner, "classification", shards, "--out", tmp_path / "run", "--select", "test")
    assert result.exit_code == 0, result.output
    assert "chosen on test accuracy, as the authors did: optimistic" in result.output
    assert "read once" not in result.output


def test_seeds_print_mean_and_deviation(runner: CliRunner, shards: Path, tmp_path: Path) -> None:
    result = invoke(runner, "classification", shards, "--out", tmp_path / "runs", "--seeds", "2")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "runs/summary.json").read_text())
    found = summary["test"]["best"]["accuracy"]
    assert f"{100 * found['mean']:.1f} ± {100 * found['std']:.1f} %" in result.output
    assert "over 2 seeds" in result.output
    again = invoke(runner, "classification", shards, "--out", tmp_path / "runs", "--seeds", "2", "--resume")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "runs/summary.json").read_text()) == summary


def test_folds_print_mean_and_deviation(runner: CliRunner, shards: Path, tmp_path: Path) -> None:
    settings = [setting for setting in TINY if not setting.startswith("validation")]
    options = ["--way", "2", "--shot", "2", "--folds", "2", "--query", "1"]
    result = invoke(runner, "fewshot", shards, "--out", tmp_path / "runs", *options, settings=settings)
    assert result.exit_code == 0, result.output
    assert "over 2 folds" in result.output
    assert "selected on nothing: a fold has no validation samples" in result.output
    assert json.loads((tmp_path / "runs/summary.json").read_text())["num_used"] == {"train": 4, "test": 2}


def test_layout_and_label_map_reach_the_config(runner: CliRunner, shards: Path, tmp_path: Path) -> None:
    names = json.loads((shards / "manifest.json").read_text())["classes"]
    first = sorted(names)[0]
    options = ["--layout", "shards", "--label-map", f"{first}=thing"]
    result = invoke(runner, "classification", shards, "--out", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "run/config.json").read_text())
    assert record["config"]["dataset"]["layout"] == "shards"
    assert "thing" in record["data"]["classes"]
    wrong = invoke(runner, "classification", shards, "--out", tmp_path / "other", "--label-map", "nothing=thing")
    assert wrong.exit_code == 1
    assert "names the class 'nothing', which is not there" in wrong.stderr


@pytest.mark.parametrize(
    "arguments", [["--select", "train"], ["--seeds", "0"], ["--votes", "0"], ["--label-map", "chair"]], ids=" ".join
)
def test_wrong_usage(runner: CliRunner, tmp_path: Path, arguments: list[str]) -> None:
    result = invoke(runner, "classification", tmp_path, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
