import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.partseg_commands import partseg
from tests.tap.part_sets import write_part_set


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(partseg)
    return app


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_part_set(tmp_path_factory.mktemp("sets") / "parts", {"train": 4, "val": 2, "test": 2})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A tiny transformer, from a file, as its name and settings go together there."""
    file = tmp_path_factory.mktemp("settings") / "quick.toml"
    train = "epochs = 1\nbatch_size = 4\naccelerator = 'cpu'\nnum_workers = 0\n"
    own = "num_groups = 8\ngroup_size = 8\nradius = 0.4\nembed_hidden = [8, 8, 16]\nembed_channels = 16\n"
    own += "channels = 24\ndepth = 1\nnum_heads = 3\n"
    backbone = f"[backbone]\nname = 'transformer'\n[backbone.settings]\n{own}"
    file.write_text(f"[train]\n{train}[data]\nnum_points = 64\n{backbone}")
    return ["--config", str(file)]


def test_a_run_prints_what_it_found(
    runner: CliRunner, app: typer.Typer, parts: Path, settings: list[str], tmp_path: Path
) -> None:
    command = [str(parts), "--out", str(tmp_path / "run"), "--preset", "reference/transformer", *settings]
    done = runner.invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert f"{result['test']['best']['instance_miou']:.1%}" in done.output
    assert "chosen on validation instance mIoU, split val; test was read once, at the end" in done.output
    again = runner.invoke(app, [*command, "--set", "dropout=0.1", "--resume"], env={"COLUMNS": "200"})
    assert again.exit_code == 1
    assert "this run was started otherwise (stored and wanted): config.dropout (0.5 and 0.1)" in again.output


def test_several_seeds_are_told_with_their_spread(
    runner: CliRunner, app: typer.Typer, parts: Path, settings: list[str], tmp_path: Path
) -> None:
    command = [str(parts), "--out", str(tmp_path / "runs"), "--preset", "reference/transformer", *settings]
    done = runner.invoke(app, [*command, "--seeds", "2", "--select", "test"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    test = json.loads((tmp_path / "runs" / "summary.json").read_text())["test"]["best"]["instance_miou"]
    assert f"{test['mean']:.1%} ± {100 * test['std']:.1f}" in done.output
    assert "mean ± standard deviation of 2 runs, each chosen on test instance mIoU, as the authors did" in done.output
    assert (tmp_path / "runs" / "seed1" / "result.json").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--reinit", "head"], "--reinit head: it must be one of embedding"),
        (["--preset", "small/pointnet"], "preset 'small/pointnet' is unknown; the nearest is 'small/pointnet2'"),
        (["--label-map", "Tube=Rod"], "--label-map names the class 'Tube', which is not there"),
        (["--init", "nowhere"], "nowhere: no such folder"),
    ],
    ids=["reinit", "preset", "label map", "init"],
)
def test_wrong_options_are_one_line(
    runner: CliRunner, app: typer.Typer, parts: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    done = runner.invoke(app, [str(parts), "--out", str(tmp_path / "run"), *more], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert message in done.output.replace("\n", "")
    assert "Traceback" not in done.output


def test_an_unknown_selection_is_wrong_usage(runner: CliRunner, app: typer.Typer, parts: Path, tmp_path: Path) -> None:
    done = runner.invoke(app, [str(parts), "--out", str(tmp_path / "run"), "--select", "train"])
    assert done.exit_code == 2
    assert "--select" in done.output
    assert not (tmp_path / "run").exists()
