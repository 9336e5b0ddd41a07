"""`tap shards info`, `verify` and `repair` as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from shards import ShardReader

QUICK = ["--up", "z", "--set", "image_size=48", "--set", "num_points=256", "--set", "samples_per_shard=3"]


@pytest.fixture(scope="module")
def meshes(mesh_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The meshes, and one that fails."""
    folder = Path(shutil.copytree(mesh_folder, tmp_path_factory.mktemp("src") / "meshes"))
    (folder / "mug" / "train" / "zzz.off").write_text("nothing")
    return folder


@pytest.fixture(scope="module")
def whole(meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "set"
    result = CliRunner().invoke(app, ["render", str(meshes), "--out", str(folder), *QUICK])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


def run(runner: CliRunner, *arguments: str | Path) -> Result:
    return runner.invoke(app, ["shards", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def damage(folder: Path) -> None:
    """A member, an index and a record that alone knew of a failure."""
    tar = folder / "train-000000.tar"
    data = bytearray(tar.read_bytes())
    data[data.index(b"\x89PNG") + 60] ^= 1
    tar.write_bytes(data)
    (folder / "test-000000.idx").unlink()
    failed = next(path for path in folder.glob("train*.json") if json.loads(path.read_text())["failures"])
    failed.write_bytes(failed.read_bytes()[:-20])


def test_info(runner: CliRunner, whole: Path) -> None:
    result = run(runner, "info", whole)
    assert result.exit_code == 0, result.output
    for told in (
        "set: schema 1.",
        "train",
        "2 classes: mug 6, table 6",
        "failed sources: 1",
        "rig mvcnn12",
        "image_size 48",
    ):
        assert told in result.output
    content = json.loads(run(runner, "info", whole, "--json").stdout)
    assert content["total"]["samples"] == 12
    assert content["classes"] == {"mug": 6, "table": 6}


def test_verify_of_a_whole_set(runner: CliRunner, whole: Path) -> None:
    result = run(runner, "verify", whole, "--threads", "2")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["12 samples in 5 shards, 0 MB: all as they were written"]


def test_verify_tells_a_line_for_each_finding(runner: CliRunner, folder: Path) -> None:
    damage(folder)
    before = contents(folder)
    result = run(runner, "verify", folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0] == "test-000000.idx: missing: no such file"
    assert "train-000000.tar: " in lines[1]
    assert ".view00.png: damaged: its content is not as it was written: CRC-32" in lines[1]
    assert ".json: damaged: not valid JSON" in lines[2]
    assert lines[3].endswith("3 findings in 3 files; see tap shards repair")
    assert contents(folder) == before


@pytest.mark.parametrize("workers", ["0", "1"])
def test_repair_from_the_meshes(runner: CliRunner, folder: Path, whole: Path, meshes: Path, workers: str) -> None:
    damage(folder)
    result = run(runner, "repair", folder, "--source", meshes, "--workers", workers)
    assert result.exit_code == 0, result.output
    assert "test-000000.idx: repaired" in result.output
    assert "the set is whole" in result.output
    assert contents(folder) == contents(whole)


def test_repair_from_a_copy_and_without_help(runner: CliRunner, folder: Path, whole: Path) -> None:
    damage(folder)
    result = run(runner, "repair", folder)
    assert result.exit_code == 1
    assert "1 file repaired, 2 findings left; name the meshes with --source, or another copy" in result.output
    result = run(runner, "repair", folder, "--from", whole)
    assert result.exit_code == 0, result.output
    assert contents(folder) == contents(whole)
    assert "nothing to repair: the set is whole" in run(runner, "repair", folder).output


def test_meshes_that_have_changed(
    runner: CliRunner, folder: Path, mesh_folder: Path, meshes: Path, tmp_path: Path
) -> None:
    damage(folder)
    assert run(runner, "repair", folder).exit_code == 1  # mends what needs no mesh
    before = contents(folder)
    result = run(runner, "repair", folder, "--source", mesh_folder)  # without the one that fails
    assert result.exit_code == 1
    assert "its sources are not those of then" in result.output
    other = Path(shutil.copytree(meshes, tmp_path / "other"))
    with ShardReader(folder, "train") as reader:
        path = other / reader.meta(0)["source"]
    shutil.copy(next(found for found in sorted(other.rglob(f"*{path.suffix}")) if found != path), path)
    result = run(runner, "repair", folder, "--source", other, "--workers", "0")
    assert result.exit_code == 1
    assert "train-000000: made again it is another tar than that of then" in result.output
    assert contents(folder)["train-000000.tar"] == before["train-000000.tar"]


def test_what_cannot_be(runner: CliRunner, folder: Path, meshes: Path, tmp_path: Path) -> None:
    for command in ("info", "verify", "repair"):
        result = run(runner, command, tmp_path / "nothing")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "nothing").exists()
    assert run(runner, "verify", folder, "--threads", "0").exit_code == 2
    assert "not a copy of itself" in run(runner, "repair", folder, "--from", folder).stderr
