"""`tap render` as a user runs it."""

import errno
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.errors import reported
from cli.main import app
from render.camera import project
from shards import ShardReader

QUICK = ["--up", "z", "--set", "image_size=48", "--set", "num_points=256", "--set", "samples_per_shard=3"]


def render(runner: CliRunner, *arguments: str | Path) -> Result:
    return runner.invoke(app, ["render", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def one_line(result: Result) -> str:
    """The error of a failed command, which is one line on standard error and exit code 1."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_meshes_of_all_formats_become_a_set(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    result = render(runner, mesh_folder, "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    assert "layout modelnet" in result.output
    assert "12 meshes, 2 classes, 8 train, 4 test" in result.output
    assert "12 samples in 5 shards" in result.output
    reader = ShardReader(tmp_path / "out")
    assert list(reader.classes) == ["mug", "table"]
    assert {reader.meta(index)["source"].rsplit(".", 1)[1] for index in range(12)} == {
        "off",
        "obj",
        "ply",
        "stl",
        "glb",
        "gltf",
    }
    for index in range(12):
        sample = reader.read(index)
        assert sample.meta["flags"] == []
        assert sample.arrays["points"].shape == (256, 6)
        assert sample.arrays["world_to_camera"].shape == (12, 4, 4)
        views = np.stack([sample.images[f"view{view:02d}"] for view in range(12)])
        assert views.shape == (12, 48, 48, 2)
        assert set(np.unique(views[..., 1])) == {0, 255}
        assert (views[..., 0][views[..., 1] == 0] == 255).all()


@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_stored_points_fall_on_the_stored_silhouettes(
    runner: CliRunner, mesh_folder: Path, tmp_path: Path, projection: str
) -> None:
    assert render(runner, mesh_folder, "--out", tmp_path / "out", "--projection", projection, *QUICK).exit_code == 0
    reader = ShardReader(tmp_path / "out")
    inside = []
    for index in range(len(reader)):
        sample = reader.read(index)
        pixels, depth = project(
            sample.arrays["points"][None, :, :3], sample.arrays["world_to_camera"], sample.arrays["intrinsics"],
            np.array([[projection == "parallel"]]),
        )  # fmt: skip
        assert (depth > 0).all()
        column, row = np.moveaxis(np.floor(pixels).astype(int), -1, 0)
        for view in range(12):
            alpha = sample.images[f"view{view:02d}"][..., 1] > 0
            grown = alpha.copy()  # a point may fall into a pixel whose centre just misses the object
            for shift in (-1, 1):
                grown |= np.roll(alpha, shift, 0) | np.roll(alpha, shift, 1)
            inside.append(grown[row[view], column[view]].mean())
    assert np.mean(inside) > 0.995


@pytest.mark.parametrize("backend", ["cpu", "open3d"])
def test_workers_make_no_difference_and_a_second_run_is_refused(
    runner: CliRunner, mesh_folder: Path, tmp_path: Path, backend: str
) -> None:
    if backend == "open3d":
        pytest.importorskip("open3d")
    for workers in ("1", "2", "4"):
        chosen = ["--workers", workers, "--backend", backend, "--channels", "depth,normal"]
        assert render(runner, mesh_folder, "--out", tmp_path / workers, *chosen, *QUICK).exit_code == 0
    first = contents(tmp_path / "1")
    assert first == contents(tmp_path / "2")
    assert first == contents(tmp_path / "4")
    assert "--resume" in one_line(render(runner, mesh_folder, "--out", tmp_path / "1", *QUICK))
    assert contents(tmp_path / "1") == first


def test_resume_redoes_only_what_is_missing(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert render(runner, mesh_folder, "--out", out, *QUICK).exit_code == 0
    before = contents(out)
    (out / "train-000001.json").unlink()
    kept = (out / "train-000000.tar").stat().st_mtime_ns
    result = render(runner, mesh_folder, "--out", out, "--resume", *QUICK)
    assert result.exit_code == 0
    assert "4 shards were already done" in result.output
    assert contents(out) == before
    assert (out / "train-000000.tar").stat().st_mtime_ns == kept
    assert "image_size" in one_line(
        render(runner, mesh_folder, "--out", out, "--resume", *QUICK, "--set", "image_size=56")
    )
    assert contents(out) == before


def test_a_bad_mesh_is_recorded_and_the_run_goes_on(runner: CliRunner, tmp_path: Path, mesh_folder: Path) -> None:
    folder = tmp_path / "src" / "thing"
    folder.mkdir(parents=True)
    good = next((mesh_folder / "mug").rglob("*.off"))
    (folder / "good.off").write_bytes(good.read_bytes())
    (folder / "text.obj").write_text("just words\n")
    (folder / "empty.off").write_bytes(b"")
    (folder / "flat.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    (folder / "nan.off").write_text("OFF\n3 1 0\nnan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    result = render(runner, tmp_path / "src", "--out", tmp_path / "out", *QUICK, "--set", "samples_per_shard=9")
    assert result.exit_code == 0, result.output
    assert "4 meshes failed" in result.output
    record = json.loads((tmp_path / "out" / "train-000000.json").read_text())
    assert record["count"] == 1
    reasons = {failure["source"]: failure["reason"] for failure in record["failures"]}
    assert set(reasons) == {f"thing/{name}" for name in ("empty.off", "flat.off", "nan.off", "text.obj")}
    assert "no area" in reasons["thing/flat.off"]
    assert "not finite" in reasons["thing/nan.off"]
    assert all(str(tmp_path) not in reason for reason in reasons.values())


def test_a_failure_names_its_mesh_wherever_it_arises(runner: CliRunner, tmp_path: Path, mesh_folder: Path) -> None:
    """Framing knows no file, so the job says which it was."""
    folder = tmp_path / "few"
    folder.mkdir()
    shutil.copy(next(mesh_folder.rglob("*.off")), folder / "fine.off")
    (folder / "large.off").write_text("OFF\n3 1 0\n0 0 0\n9 0 0\n0 9 0\n3 0 1 2\n")
    (folder / "line.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    result = render(
        runner, folder, "--out", tmp_path / "out", *QUICK, "--normalize", "none", "--fit", "object", "--rig", "axes6"
    )
    assert result.exit_code == 0, result.output
    reasons = [line.strip() for line in result.output.splitlines() if ".off:" in line]
    assert reasons[0].startswith("large.off: fit: the object reaches behind camera 0")
    assert reasons[1].startswith("line.off: the surface has no area")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_a_manifest_names_and_is_no_file_fails_at_once(
    runner: CliRunner, tmp_path: Path, mesh_folder: Path
) -> None:
    """A pipe that nobody writes to would be read for ever; wrong part labels are told with their mesh."""
    shutil.copy(next(mesh_folder.rglob("*.off")), tmp_path / "good.off")
    shutil.copy(tmp_path / "good.off", tmp_path / "short.off")
    (tmp_path / "labels.txt").write_text("1\n2\n")
    for name in ("pipe.off", "pipe.txt"):
        os.mkfifo(tmp_path / name)
    shutil.copy(tmp_path / "good.off", tmp_path / "piped.off")
    (tmp_path / "list.csv").write_text(
        "path,part_labels\ngood.off,\nshort.off,labels.txt\npipe.off,\npiped.off,pipe.txt\n"
    )
    out = tmp_path / "out"
    result = render(runner, tmp_path / "list.csv", "--out", out, *QUICK, "--set", "samples_per_shard=9")
    assert result.exit_code == 0, result.output
    failures = json.loads((out / "train-000000.json").read_text())["failures"]
    reasons = {failure["source"]: failure["reason"] for failure in failures}
    assert reasons["short.off"].startswith("short.off: labels.txt: 2 labels for")
    assert reasons["pipe.off"] == "pipe.off: cannot read: is a folder, pipe or device"
    assert reasons["piped.off"] == "piped.off: pipe.txt: cannot read: is a folder, pipe or device"
    assert len(reasons) == 3


def test_when_every_mesh_fails_the_command_fails(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "text.obj").write_text("just words\n")
    line = one_line(render(runner, tmp_path / "src", "--out", tmp_path / "out", *QUICK))
    assert "none of 1 meshes could be rendered" in line


def test_overwrite_removes_a_set_and_never_anything_else(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert render(runner, mesh_folder, "--out", out, *QUICK).exit_code == 0
    (out / "notes.txt").write_text("mine")
    assert render(runner, mesh_folder, "--out", out, *QUICK, "--overwrite").exit_code == 0
    assert (out / "notes.txt").read_text() == "mine"
    before = contents(out)
    for name in ("backup-20241231.tar", "notes-123456.json"):
        (out / name).write_text("{}")
        assert "nothing was removed" in one_line(render(runner, mesh_folder, "--out", out, *QUICK, "--overwrite"))
        (out / name).unlink()
    assert contents(out) == before
    (out / "manifest.json").write_text('{"name": "another tool"}')
    assert "manifest.json" in one_line(render(runner, mesh_folder, "--out", out, *QUICK, "--overwrite"))


def test_wrong_settings_are_one_line(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases: list[tuple[list[str | Path], str]] = [
        ([tmp_path / "nowhere"], "no such folder"),
        ([tmp_path], "no mesh below it"),
        ([mesh_folder, "--layout", "flat"], "does not fit layout flat"),
        ([mesh_folder, "--layout", "shapenet"], "name one of auto, modelnet, class, flat"),
        ([mesh_folder, "--up", "x"], "--up"),
        ([mesh_folder, "--rig", "mvcnn13"], "is unknown"),
        ([mesh_folder, "--backend", "gl"], "name one of auto, cpu, open3d, pytorch3d, or package.module:function"),
        ([mesh_folder, "--set", "image_sise=64"], "image_size"),
        ([mesh_folder, "--set", "image_size=big"], "image_size"),
        ([mesh_folder, "--set", "samples_per_shard=0"], "samples_per_shard"),
        ([mesh_folder, "--rig", "os:getcwd"], "fails with TypeError"),
        ([mesh_folder, "--config", tmp_path / "none.toml"], "none.toml"),
        ([mesh_folder, "--channels", "depth,depth"], "--channels: channels: a channel is named twice"),
    ]
    for arguments, message in cases:
        line = one_line(render(runner, *arguments, "--out", out))
        assert message in line, line
        assert not out.exists()


@pytest.mark.parametrize("option", ["--time-limit", "--memory-limit"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "much"])
def test_a_limit_that_is_none_is_wrong_usage(runner: CliRunner, tmp_path: Path, option: str, value: str) -> None:
    result = render(runner, tmp_path, "--out", tmp_path / "out", option, value)
    assert result.exit_code == 2, result.output
    assert option in result.stderr


def test_after_a_termination_the_way_on_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def terminated() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit) as caught:
        reported(terminated)()
    assert caught.value.code == 143
    assert "--resume goes on" in capsys.readouterr().err


def test_a_setting_may_need_an_option(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    """A coloured background is refused for clay, and the material is asked for by an option of its own."""
    coloured = ["--set", "shade.background=[9,200,30]", *QUICK, "--rig", "axes6"]
    result = render(runner, mesh_folder, "--out", tmp_path / "out", "--appearance", "material", *coloured)
    assert result.exit_code == 0, result.output
    assert ShardReader(tmp_path / "out").read(0).images["view00"][0, 0].tolist() == [9, 200, 30, 0]
    refused = one_line(render(runner, mesh_folder, "--out", tmp_path / "other", *coloured))
    assert "background (9, 200, 30) must be grey for clay" in refused


def test_a_config_file_and_a_rig_file(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text(
        "[[views]]\nazimuth = 0\nelevation = 0\n[[views]]\nazimuth = 90\nelevation = 80\n"
    )
    (tmp_path / "render.toml").write_text("image_size = 40\nnum_points = 64\n[shade]\nambient = 0.5\n")
    arguments: list[str | Path] = [
        "--up",
        "z",
        "--config",
        tmp_path / "render.toml",
        "--rig",
        tmp_path / "rig.toml",
        "--antialias",
    ]
    assert render(runner, mesh_folder, "--out", tmp_path / "out", *arguments).exit_code == 0
    reader = ShardReader(tmp_path / "out")
    assert reader.num_views(0) == 2
    assert reader.config["image_size"] == 40
    assert reader.config["shade"]["ambient"] == 0.5
    assert reader.config["antialias"] is True
    (tmp_path / "rig.toml").write_text("[[views]]\nazimuth = 0\nelevation = 0\n")
    assert "rig_sha256" in one_line(render(runner, mesh_folder, "--out", tmp_path / "out", *arguments, "--resume"))


def test_a_full_disk_is_one_line_and_loses_nothing(
    runner: CliRunner, mesh_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls, fsync = tmp_path / "out", [0], os.fsync

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in one_line(render(runner, mesh_folder, "--out", out, *QUICK, "--workers", "0"))
    monkeypatch.undo()
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            assert tar.getnames()
    assert render(runner, mesh_folder, "--out", out, "--resume", *QUICK).exit_code == 0
    assert render(runner, mesh_folder, "--out", tmp_path / "whole", *QUICK).exit_code == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_a_path_that_cannot_be_a_folder_is_one_line(runner: CliRunner, mesh_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = one_line(render(runner, mesh_folder, "--out", tmp_path / "file" / "out", *QUICK))
    assert str(tmp_path / "file") in line
