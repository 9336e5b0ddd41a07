"""`tap pretrain`, `tap finetune` and `tap demo` as a user meets them; what they learn is tested in tests/tap."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app


@pytest.fixture(scope="module")
def shards(mesh_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "set"
    options = ["--up", "z", "--set", "image_size=112", "--set", "num_points=256"]
    assert CliRunner().invoke(app, ["render", str(mesh_folder), "--out", str(out), *options]).exit_code == 0
    return out


def invoke(runner: CliRunner, *arguments: str | Path) -> Result:
    return runner.invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "small/transfomer"], "the nearest is 'small/transformer'; name one of paper/"),
        (["--ablation", "F9"], "'F9' is unknown"),
        (["--targets", "rgb,depths"], "error: --targets: targets.1: Input should be 'rgb'"),
        (["--set", "train.epoch=3"], "the nearest known one is 'train.epochs'"),
        (["--set", "train.epochs"], "expected key=value"),
        (["--set", "train.epochs=none"], "train.epochs"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        ([], "256 points"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_pretraining_settings_are_one_line(
    runner: CliRunner, shards: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = invoke(runner, "pretrain", shards, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["pretrain"], ["finetune", "classification"]], ids=" ".join)
def test_a_folder_without_shards_is_one_line(runner: CliRunner, tmp_path: Path, command: list[str]) -> None:
    result = invoke(runner, *command, tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "manifest.json" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_run_to_start_from_is_one_line(runner: CliRunner, shards: Path, tmp_path: Path) -> None:
    few = ["--set", "data.num_points=256"]
    result = invoke(runner, "finetune", "classification", shards, "--out", tmp_path / "run", "--init", tmp_path, *few)
    assert result.exit_code == 1
    assert str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr


def test_the_demo_runs_and_says_where_everything_is(runner: CliRunner, tmp_path: Path) -> None:
    result = invoke(runner, "demo", "--out", tmp_path / "demo", "--quick", "--workers", "1")
    assert result.exit_code == 0, result.output
    for name in ("contact_sheet.png", "pretrain/pictures/epoch001.png", "pretrain/curves.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
        assert name in result.output.replace("\n", "")
    assert "from scratch" in result.output
    assert "pre-trained" in result.output


def test_the_demo_replaces_nothing_but_a_demo(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    result = invoke(runner, "demo", "--out", tmp_path, "--quick")
    assert result.exit_code == 1
    assert "holds no demo" in result.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    assert invoke(runner, "demo", "--out", tmp_path / "file" / "demo", "--quick").exit_code == 1
