import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from cli.use_commands import compare, evaluate, predict, reproduce
from render import Mesh
from render.shapes.families import make_shape
from render.shapes.write_mesh import write_mesh
from shards.exchange.ply import decode_ply
from tap.backbones import BackboneConfig
from tap.loading.data import DataConfig
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.classifier import build_classifier
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.part_segmentation import build_segmenter
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint, write_json

ROOT = Path(__file__).resolve().parents[2]
BACKBONE = BackboneConfig(
    settings={"num_groups": 8, "group_size": 8, "radius": 0.4, "embed_hidden": [8, 8, 16], "embed_channels": 16}
    | {"channels": 24, "depth": 1, "num_heads": 3}
)


@pytest.fixture(scope="module")
def uses() -> typer.Typer:
    """The four commands alone."""
    uses = typer.Typer(pretty_exceptions_enable=False)
    for command in (evaluate, predict, compare, reproduce):
        uses.command()(command)
    return uses


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of random weights that knows chairs and mugs."""
    out = tmp_path_factory.mktemp("runs") / "classify"
    config = ClassificationConfig(backbone=BACKBONE, data=DataConfig(num_points=64))
    torch.manual_seed(3)
    return save(out, "classification", config, ["chair", "mug"], build_classifier(config, 2))


@pytest.fixture(scope="module")
def part_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part segmenter of random weights for chairs (parts 0 and 1) and mugs (2 and 3)."""
    out = tmp_path_factory.mktemp("runs") / "parts"
    config = PartSegConfig(backbone=BACKBONE, data=DataConfig(num_points=64))
    parts = {"part_names": ["chair: seat", "chair: leg", "mug: body", "mug: handle"], "class_parts": [[0, 1], [2, 3]]}
    torch.manual_seed(3)
    return save(out, "partseg", config, ["chair", "mug"], build_segmenter(config, 4, 2), **parts)


def save(out: Path, task: str, config: Any, classes: list[str], model: torch.nn.Module, **data: Any) -> Path:
    content = config.model_dump(mode="json")
    facts = {"config": content, "data": {"classes": classes, **data}, "init": None, "num_used": {"train": 5, "test": 2}}
    record = {"format_version": FORMAT_VERSION, "task": task, **facts}
    state = {"epoch": config.train.epochs, "best_epoch": 7}
    for name in ("best", "last"):
        save_checkpoint(out / name, record, state, model.state_dict())
    write_json(out / "config.json", record)
    return out


@pytest.fixture(scope="module")
def chair() -> Mesh:
    return make_shape("chair", np.random.default_rng(1))


@pytest.fixture
def mesh(chair: Mesh, tmp_path: Path) -> Path:
    """A chair of +z up."""
    write_mesh(chair, tmp_path / "chair.off")
    return tmp_path / "chair.off"


@pytest.fixture
def cloud(chair: Mesh, tmp_path: Path) -> Path:
    path = tmp_path / "points.xyz"
    np.savetxt(path, chair.vertices[chair.faces].mean(axis=1)[:150] * 40 + 7)
    return path


def invoke(uses: typer.Typer, *arguments: Any) -> Result:
    return CliRunner().invoke(uses, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def test_meshes_and_clouds_are_predicted_and_a_broken_file_stops_nothing(
    uses: typer.Typer, run: Path, mesh: Path, cloud: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.off"
    broken.write_text("nothing\n")
    files = (broken, mesh, tmp_path / "missing.xyz", tmp_path / "picture.png", cloud)
    done = invoke(uses, "predict", *files, "--run", run, "--up", "z", "--csv", tmp_path / "out.csv")
    assert done.exit_code == 1
    complaints = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in complaints] == [
        ["error", str(path)] for path in (broken, tmp_path / "missing.xyz", tmp_path / "picture.png")
    ]
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], row["rank"]) for row in rows] == [
        (str(file), rank) for file in (mesh, cloud) for rank in "12"
    ]
    for first, second in (rows[:2], rows[2:]):
        assert {first["class"], second["class"]} == {"chair", "mug"}
        assert float(first["confidence"]) >= float(second["confidence"])
        assert float(first["confidence"]) + float(second["confidence"]) == pytest.approx(1, abs=2e-4)
        assert f"{float(first['confidence']):.1%}" in done.stdout


def test_the_frame_is_that_of_training(uses: typer.Typer, run: Path, chair: Mesh, tmp_path: Path) -> None:
    """Neither size nor place nor the axis of a file matter, where the axis is told."""
    found = []
    points = chair.vertices[chair.faces].mean(axis=1)[:64]
    for name, turned, up in (
        ("one", points, "z"),
        ("moved", points * 1000 + 5, "z"),
        ("turned", points[:, [0, 2, 1]] * (1, 1, -1), "y"),  # (x, y, z) of +z up is (x, z, -y) of +y up
        ("wrong", points[:, [0, 2, 1]] * (1, 1, -1), "z"),
    ):
        np.save(tmp_path / f"{name}.npy", turned)
        done = invoke(uses, "predict", tmp_path / f"{name}.npy", "--run", run, "--up", up, "--json")
        assert done.exit_code == 0, done.output
        best = {row["class"]: row["confidence"] for row in json.loads(done.stdout)[0]["classes"]}
        found.append(best["chair"])
    assert found[1:3] == pytest.approx([found[0]] * 2, abs=2e-4)
    assert abs(found[3] - found[0]) > 5e-4


@pytest.mark.parametrize("up", ["y", "z"])
def test_parts_are_coloured_in_the_frame_of_the_file(
    uses: typer.Typer, part_run: Path, mesh: Path, chair: Mesh, cloud: Path, tmp_path: Path, up: str
) -> None:
    out = tmp_path / "out"
    done = invoke(uses, "predict", mesh, cloud, "--run", part_run, "--class", "mug", "--out", out, "--up", up)
    assert done.exit_code == 0, done.output
    found = {path.stem: decode_ply(path.read_bytes()) for path in out.iterdir()}
    assert sorted(found) == ["chair", "points"]
    for content in found.values():
        assert set(content["part"].tolist()) <= {2, 3}
    np.testing.assert_allclose(found["points"]["points"][:, :3], np.loadtxt(cloud), rtol=1e-6)
    low, high = (found["chair"]["points"][:, :3].astype(float) for _ in range(2))
    assert (low.min(axis=0) >= chair.vertices.min(axis=0) - 1e-4).all()
    assert (high.max(axis=0) <= chair.vertices.max(axis=0) + 1e-4).all()
    assert high.max(axis=0) == pytest.approx(chair.vertices.max(axis=0), abs=0.05)
    share = (found["chair"]["part"] == 2).mean()
    if share > 0:
        assert f"mug: body {share:.1%}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--class", "mug"], "--class: a run of classification finds the class itself; leave it out"),
        (["--out", "x"], "--out: a run of classification colours no parts; use --csv or --json"),
    ],
)
def test_options_of_parts_are_refused_for_classes(
    uses: typer.Typer, run: Path, cloud: Path, arguments: list[str], told: str
) -> None:
    done = invoke(uses, "predict", cloud, "--run", run, *arguments)
    assert done.exit_code == 1
    assert done.stderr == f"error: {told}\n"


def test_parts_need_a_class_and_files_of_their_own(
    uses: typer.Typer, part_run: Path, cloud: Path, tmp_path: Path
) -> None:
    def error(*arguments: Any) -> str:
        done = invoke(uses, "predict", cloud, "--run", part_run, *arguments)
        assert done.exit_code == 1
        return done.stderr

    assert "name it with --class, one of chair, mug" in error()
    assert "--class 'cup' is unknown to the run; name one of chair, mug" in error("--class", "cup")
    twin = tmp_path / "other" / cloud.name
    assert "two files are called points" in error(twin, "--class", "mug", "--out", tmp_path / "out")
    as_json = json.loads(invoke(uses, "predict", cloud, "--run", part_run, "--class", "mug", "--json").stdout)
    assert [part["part"] for part in as_json[0]["parts"]] == ["mug: body", "mug: handle"]
    assert sum(part["share"] for part in as_json[0]["parts"]) == pytest.approx(1, abs=2e-4)
    assert "ply" not in as_json[0]


def test_evaluation_is_told_and_written(uses: typer.Typer, run: Path, tmp_path: Path) -> None:
    for name in ("seat", "mug"):
        for number in range(2):
            file = tmp_path / "set" / name / "test" / f"{number}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, np.random.default_rng(number).normal(size=(64, 3)))
    command = ("evaluate", run, tmp_path / "set", "--votes", 2, "--out", tmp_path / "out")
    refused = invoke(uses, *command)
    assert refused.exit_code == 1
    assert "the class 'seat' is unknown to the model" in refused.stderr
    done = invoke(uses, *command, "--label-map", "seat=chair")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    for way in ("single", "vote"):
        assert f"{result['numbers'][way]['class_mean_accuracy']:.1%}" in done.stdout
    assert "vote of 2 draws" in done.stdout
    assert f"best checkpoint (epoch 7) of {run} on 4 samples of {tmp_path / 'set'}, test" in done.stdout
    assert "the run is not finished" in done.stdout
    assert "trained on" not in done.stdout
    assert (tmp_path / "out" / "confusion.png").exists()
    again = invoke(uses, *command[:-4], "--label-map", "seat=chair", "--up", "y", "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "holds another evaluation: votes 2 where 0 is asked for; up None where 'y' is asked for" in again.stderr


def test_runs_are_compared(uses: typer.Typer, run: Path, part_run: Path, tmp_path: Path) -> None:
    done = invoke(uses, "compare", run, part_run, "--markdown", "--out", tmp_path / "new" / "table.md")
    assert done.exit_code == 0, done.output
    assert done.stdout == (tmp_path / "new" / "table.md").read_text()
    assert "## classification\n\n| run | backbone | start | epochs |" in done.stdout
    assert "| unfinished, epoch 100 of 100 |" in done.stdout  # it has no result
    done = invoke(uses, "compare", run)
    assert "unfinished, epoch 100 of 100" in done.stdout
    assert invoke(uses, "compare", tmp_path).stderr.startswith(f"error: {tmp_path}: neither a checkpoint nor a run")


def test_the_commands_load_nothing_heavy() -> None:
    script = (
        "import sys, cli.use_commands\n"
        "heavy = {'torch', 'numpy', 'numba', 'h5py', 'lightning', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
