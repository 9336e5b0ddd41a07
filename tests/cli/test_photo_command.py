"""`tap photo` as a user meets it, with a model of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from cli.model_commands import photo
from render import Mesh
from render.shapes.families import make_shape
from tap.backbones import BackboneConfig
from tap.loading.data import DataConfig
from tap.network.generator import GeneratorConfig
from tap.network.model import ModelConfig, build_model
from tap.network.photograph import PhotographConfig
from tap.targets import TargetName, num_channels
from tap.tasks.pretraining.pretrain_config import PretrainConfig
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint

app = typer.Typer()
app.command()(photo)


def save_run(out: Path, targets: tuple[TargetName, ...] = ("rgb",), **facts: object) -> Path:
    settings = {"num_groups": 12, "group_size": 8, "radius": 0.4, "embed_hidden": (16, 16, 32), "embed_channels": 32}
    model = ModelConfig(
        backbone=BackboneConfig(settings=settings | {"channels": 48, "depth": 1, "num_heads": 3}),
        photograph=PhotographConfig(channels=32, layers=2, num_heads=4, cells=4, query_octaves=4),
        generator=GeneratorConfig(strides=(4, 2), out_channels=num_channels(targets)),
        image_size=32,
    )
    config = PretrainConfig(model=model, data=DataConfig(num_points=128, num_views=3), targets=targets)
    torch.manual_seed(0)
    record = {"format_version": FORMAT_VERSION, "task": "pretrain", "config": config.model_dump(mode="json"), **facts}
    save_checkpoint(out / "last", record, {}, build_model(model).state_dict())
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def chair() -> Mesh:
    return make_shape("chair", np.random.default_rng(1))


@pytest.fixture
def mesh(chair: Mesh, tmp_path: Path) -> Path:
    lines = [f"v {x} {y} {z}" for x, y, z in chair.vertices] + [f"f {a} {b} {c}" for a, b, c in chair.faces + 1]
    path = tmp_path / "chair.obj"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def cloud(chair: Mesh, tmp_path: Path) -> Path:
    path = tmp_path / "chair.xyz"
    np.savetxt(path, chair.vertices[chair.faces].mean(axis=1).repeat(2, axis=0)[:300])
    return path


def invoke(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_photos_of_a_mesh_stand_beside_its_true_views(run: Path, mesh: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke(mesh, "--run", run, "--rig", "orbit:3,20", "--up", "z", "--out", out)
    assert result.exit_code == 0, result.output
    assert names_in(out) == ["view00.png", "view01.png", "view02.png", "views.png"]
    assert Image.open(out / "view02.png").size == (32, 32)
    assert (
        "mesh, 128 of 8,192 points on its surface; z is up; rig orbit:3,20, 3 views of 32 px, parallel" in result.output
    )
    assert "rgb against the true views: mean squared error 0." in result.output
    for name in ("view00.png", "views.png"):
        assert str(out / name) in result.output


def test_photos_of_a_cloud_are_the_same_twice(run: Path, cloud: Path, tmp_path: Path) -> None:
    arguments = (cloud, "--run", run, "--attention", "--projection", "perspective")
    for name in ("one", "two"):
        result = invoke(*arguments, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert "rig mvcnn12, 12 views of 32 px, perspective" in result.output
    assert "against the true views" not in result.output
    assert names_in(tmp_path / "one") == ["attention.png", *(f"view{view:02d}.png" for view in range(12)), "views.png"]
    for name in names_in(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("targets", [("rgb", "depth", "normal", "mask"), ("mask",)], ids=",".join)
def test_every_target_has_its_rows(targets: tuple[TargetName, ...], mesh: Path, tmp_path: Path) -> None:
    run, heights = save_run(tmp_path / "run", targets), []
    for out, path in (("one", mesh), ("two", mesh), ("alone", mesh.with_suffix(".xyz"))):
        if path.suffix == ".xyz":
            np.savetxt(path, np.random.default_rng(0).normal(size=(200, 3)))
        result = invoke(path, "--run", run, "--rig", "orbit:2,20", "--up", "z", "--attention", "--out", tmp_path / out)
        assert result.exit_code == 0, result.output
        assert result.output.count("around it") == len({"rgb", "mask"} & set(targets)) * (path == mesh)
        for target in targets:
            assert (f"{target} against the true views: mean squared error 0." in result.output) == (path == mesh)
        assert Image.open(tmp_path / out / "view01.png").mode == "RGB"
        heights.append(Image.open(tmp_path / out / "views.png").size[1])
    assert heights[0] - heights[2] >= len(targets) * 150  # a row of true views each


def test_poses_stand_in_for_a_rig(run: Path, cloud: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(cloud, "--run", run, "--pose", "30,-20", "--pose", "100.5,0,90")
    assert result.exit_code == 0, result.output
    assert names_in(tmp_path / "chair-photo") == ["view00.png", "view01.png", "views.png"]
    assert Path("chair-photo/view00.png").read_bytes() != Path("chair-photo/view01.png").read_bytes()


def test_the_rig_of_the_runs_shards_is_the_default(cloud: Path, mesh: Path, tmp_path: Path) -> None:
    render = {
        "rig": "orbit:5,10",
        "projection": "perspective",
        "image_size": 64,
        "backend": "pytorch3d",
        "layout": "flat",
    }
    run = save_run(tmp_path / "run", render=render)
    for path in (cloud, mesh):
        result = invoke(path, "--run", run, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "rig orbit:5,10, 5 views of 32 px, perspective" in result.output
    lost = save_run(tmp_path / "lost", render=render | {"rig": "gone.toml"})
    result = invoke(cloud, "--run", lost, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "error: the run's shards were rendered with another rig: " in result.stderr
    assert "name one with --rig" in result.stderr
    assert invoke(cloud, "--run", lost, "--out", tmp_path / "out", "--rig", "axes6").exit_code == 0


def test_a_ply_file_is_a_mesh_or_a_cloud(run: Path, chair: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "chair.ply"
    for faces, told in ((chair.faces, "mesh, "), (chair.faces[:0], f"cloud, 128 of {len(chair.vertices)} points; ")):
        header = f"element vertex {len(chair.vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
        rows = [" ".join(map(str, row)) for row in chair.vertices.tolist()] + [f"3 {a} {b} {c}" for a, b, c in faces]
        path.write_text("ply\nformat ascii 1.0\n" + header + "\n".join(rows) + "\n")
        result = invoke(path, "--run", run, "--out", tmp_path / "out", "--rig", "axes6")
        assert result.exit_code == 0, result.output
        assert f"chair.ply: {told}" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rig", "mvcnn"], "rig 'mvcnn' is unknown"),
        (["--up", "x"], "--up: "),
        (["--projection", "flat"], "--projection: "),
        (["--attention", "--cell", "9,0"], "--cell 9,0: rows and columns go from 0 to 3"),
        (["--attention", "--view", "12"], "--view 12: there are the views 0 to 11"),
    ],
    ids=" ".join,
)
def test_wrong_options_are_one_line_and_nothing_is_written(
    run: Path, cloud: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = invoke(cloud, "--run", run, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rig", "axes6", "--pose", "0,0"],
        ["--pose", "30"],
        ["--cell", "1,2"],
        ["--view", "0"],
        ["--attention", "--cell", "1"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_wrong_usage(run: Path, cloud: Path, arguments: list[str]) -> None:
    assert invoke(cloud, "--run", run, *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.las", "", "suffix '.las' is neither a mesh's nor a cloud's"),
        ("a.xyz", "0 0 0\n1 1 1\n", "holds 2 points, at least 12 are needed"),
        ("a.xyz", "1 1 1\n" * 20, "a.xyz: all points are one"),
        ("a.xyz", "1 1 nan\n" * 20, "20 of 20 points are not finite"),
        ("a.off", "OFF\n1 0 0\n0 0 0\n", "a.off"),
        ("a.ply", "", "a.ply: is not a PLY file"),
    ],
)
def test_files_that_cannot_be_photographed_are_one_line(
    run: Path, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    result = invoke(tmp_path / name, "--run", run, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_an_absent_file_a_wrong_run_and_a_folder_in_the_way(run: Path, cloud: Path, tmp_path: Path) -> None:
    assert "No such file" in invoke(tmp_path / "none.xyz", "--run", run).stderr
    assert "No such file" in invoke(tmp_path / "none.obj", "--run", run).stderr
    assert str(tmp_path) in invoke(cloud, "--run", tmp_path).stderr
    (tmp_path / "file").write_text("")
    result = invoke(cloud, "--run", run, "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "name another folder with --out" in result.stderr


def test_a_classifier_cannot_take_photos(run: Path, cloud: Path, tmp_path: Path) -> None:
    record = json.loads((run / "last" / "config.json").read_text())
    other = save_run(tmp_path / "classifier", **(record | {"task": "classification"}))
    result = invoke(cloud, "--run", other)
    assert result.exit_code == 1
    assert "give the --out folder of tap pretrain" in result.stderr
