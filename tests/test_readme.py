"""The README's commands and Python run as they stand there, in a folder laid out as it says."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.main import app
from render.shapes.families import make_shape, write_shape_collection
from render.shapes.write_mesh import write_mesh
from shards import verify_set

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What makes the commands quick enough for a test; each is a setting of its command.
QUICK = {
    "render": ["--set", "image_size=112", "--set", "num_points=1024"],
    "pretrain": [
        "--set",
        "train.epochs=1",
        "--set",
        "train.log_every=1",
        "--set",
        "train.batch_size=4",
        "--set",
        "data.num_views=1",
    ],
    "finetune": ["--set", "train.epochs=1", "--set", "train.batch_size=4"],
}


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)


def commands_of(marker: str, number: int) -> list[str]:
    """The commands of the block that holds this one; so many are expected."""
    block = next(block for block in blocks("") if f"tap {marker} " in block)
    commands = [line.split("#")[0] for line in block.splitlines() if line.startswith("tap ")]
    assert len(commands) == number
    return commands


def tap(command: str, folder: Path) -> None:
    words = shlex.split(command)
    done = run([sys.executable, "-m", "cli.main", *words[1:], *QUICK.get(words[1], [])], folder)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`meshes/`, `chair.off`, and all that the README's commands make of them."""
    place = tmp_path_factory.mktemp("newcomer")
    write_shape_collection(place / "meshes", num_per_family=6, seed=0, families=("mug", "table"), test_share=0.34)
    write_mesh(make_shape("chair", np.random.default_rng(0)), place / "chair.off")
    for command in commands_of("finetune classification", 6):
        tap(command, place)
    return place


def test_the_commands_leave_what_the_readme_says(folder: Path) -> None:
    assert (folder / "shards" / "train-000000.tar").exists()
    assert (folder / "shards" / "train-000000.json").exists()
    assert (folder / "shards" / "manifest.json").exists()
    for name in ("config.json", "environment.json", "metrics.csv", "eval.csv", "curves.png"):
        assert (folder / "runs" / "tap" / name).exists()
    assert list((folder / "runs" / "tap" / "pictures").glob("*.png"))
    for run_name in ("classify", "scratch"):
        assert (folder / "runs" / run_name / "result.json").exists()


def test_the_commands_for_shards_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "meshes", tmp_path / "meshes")
    write_shape_collection(tmp_path / "others", num_per_family=2, seed=1, families=("lamp", "bed"))
    tap("tap render others --out more --up z", tmp_path)
    tap("tap render meshes --out shards", tmp_path)
    for command in commands_of("shards verify", 12):
        # What stands for a bucket here is a folder, and for a cluster this machine; test_remote_render.py and
        # test_render_ray.py have the real ones.
        here = command.replace("s3://meshes/shapenet", f"file://{tmp_path}/meshes").replace("--address auto", "")
        here = here.replace("s3://shards/shapenet", f"file://{tmp_path}/remote").replace(
            "/shared", str(tmp_path / "shared")
        )
        if "--engine ray" in here:
            pytest.importorskip("ray")
        tap(here, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "meshes",
        "others",
        "more",
        "shards",
        "remote",
        "shared",
        "all",
        "parted",
        "loose",
        "shards2",
        "runs",
    }
    assert verify_set(tmp_path / "all").findings == ()
    assert (tmp_path / "shared" / "shards" / "train-000000.tar").read_bytes() == (
        tmp_path / "shards" / "train-000000.tar"
    ).read_bytes()


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_the_python_runs(folder: Path, code: str) -> None:
    done = run([sys.executable, "-c", code], folder)
    assert done.returncode == 0, done.stderr


def test_a_rig_and_a_backend_of_ones_own_work_as_it_says(folder: Path) -> None:
    for code in blocks("python"):
        if name := re.match(r"# (\w+\.py)$", code, flags=re.MULTILINE):
            (folder / name[1]).write_text(code)
    small = "--set image_size=16 --set num_points=16 --overwrite"
    for command in (
        "rigs my_rigs:tilted --out rig.png",
        "render meshes/ --out own --rig my_rigs:tilted",
        "render meshes/ --out own --backend every_ray:draw",
    ):
        assert f"`tap {command.replace('own', 'shards')}`" in README
        extra = small if command.startswith("render") else ""
        done = run([sys.executable, "-m", "cli.main", *shlex.split(f"{command} {extra}")], folder)
        assert done.returncode == 0, done.stderr
    assert (folder / "rig.png").exists()
    record = json.loads((folder / "own" / "manifest.json").read_text())
    assert record["config"]["backend"] == "every_ray:draw"
    assert sum(shard["count"] for shard in record["shards"]) == 12


def test_the_commands_about_models_run(folder: Path) -> None:
    (folder / "my_backbone.py").write_text(next(code for code in blocks("python") if code.startswith("# my_backbone")))
    for command in commands_of("ablations", 3):
        tap(command, folder)
    record = json.loads((folder / "runs" / "own" / "config.json").read_text())
    assert record["config"]["model"]["backbone"]["name"] == "my_backbone:MyBackbone"
    points = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    (folder / "scan.ply").write_bytes(header.encode() + points.tobytes())
    for command in commands_of("photo scan.ply", 2):
        tap(command, folder)
    assert (folder / "photos" / "attention.png").exists()
    assert (folder / "scan-photo" / "view01.png").exists()
    # Reading the authors' files is tested in tests/tap/interchange, which has some; here their place is taken by our own.
    *_, finetune, export = commands_of("import-weights", 3)
    tap(export, folder)
    (folder / "my-backbone").rename(folder / "weights")
    tap(finetune, folder)


def test_the_commands_for_what_comes_after_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    quick = {"probe": ["--set", "data.num_points=256"], "embed": ["--set", "data.num_points=256"]}
    for command in commands_of("probe", 8):
        words = shlex.split(command)[1:]
        if words[:2] == ["finetune", "classification"]:
            words += ["--set", "figures=false"]
        done = CliRunner().invoke(app, [*words, *QUICK.get(words[0], []), *quick.get(words[0], [])])
        assert done.exit_code == 0, f"{command}\n{done.output}"
    assert json.loads((folder / "runs" / "three" / "summary.json").read_text())["test"]["vote"]
    assert (folder / "runs" / "few" / "fold1" / "result.json").exists()
    assert (folder / "runs" / "classify" / "evaluation-shards-test").is_dir()
    assert (folder / "features.npz").exists()


@pytest.mark.parametrize("line", [line for text in blocks("") for line in text.splitlines() if line.startswith("tap ")])
def test_every_command_parses(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = [word for word in shlex.split(line.split(" #")[0])[1:] if word != "..."]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("tap", words)


def test_links_and_pictures_exist_and_nothing_is_left_to_fill_in() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
    assert "@@" not in README


def first_sentence(path: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def test_the_map_has_every_module_with_the_first_sentence_of_its_docstring() -> None:
    listed = re.findall(r"^\| `((?:render|shards|tap|cli)/[a-z_0-9/]+\.py)` \| (.*) \|$", README, flags=re.MULTILINE)
    present = [
        (path.relative_to(ROOT).as_posix(), first_sentence(path))
        for package in ("render", "shards", "tap", "cli")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name not in ("__init__.py", "errors.py")
    ]
    assert listed == present
