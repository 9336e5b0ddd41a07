"""`tap render --engine ray` gives the set of `--engine local`."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.shards.ray_cluster import two_nodes

QUICK = ["--up", "z", "--set", "image_size=48", "--set", "num_points=256", "--set", "samples_per_shard=3"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a CPU each."""
    with two_nodes() as cluster:
        yield cluster


def render(runner: CliRunner, *arguments: str | Path) -> Result:
    return runner.invoke(app, ["render", *map(str, arguments), *QUICK])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_nodes_equal_the_engine_local_byte_for_byte(
    runner: CliRunner, cluster: Any, mesh_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rig of the user's own in the working folder, relative paths for meshes and shards, and a bad mesh."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_rigs.py").write_text("from render.rigs.named import axes6 as tilted\n")
    shutil.copytree(mesh_folder, "meshes")
    (tmp_path / "meshes" / "mug" / "train" / "text.obj").write_text("just words\n")
    chosen = ["--rig", "my_rigs:tilted", "--channels", "depth"]
    here = render(runner, "meshes", "--out", "here", "--workers", "2", *chosen)
    assert here.exit_code == 0, here.output
    there = render(runner, "meshes", "--out", "there", "--engine", "ray", "--address", cluster.address, *chosen)
    assert there.exit_code == 0, there.output
    assert "a worker for each CPU, by Ray" in there.output
    assert "1 meshes failed" in there.output
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_without_ray_nothing_is_touched(
    runner: CliRunner, mesh_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "manifest.json").write_text("{}")
    result = render(runner, mesh_folder, "--out", tmp_path, "--overwrite", "--engine", "ray")
    assert result.exit_code == 1
    assert result.stderr == "error: engine ray needs ray: pip install 'tap3d[ray]'\n"
    assert contents(tmp_path) == {"manifest.json": b"{}"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "spark"], "engine 'spark' is unknown; known are local, ray"),
        (["--address", "head:6379"], "address is head:6379, which is for the engine ray; this is local"),
        (["--engine", "ray", "--address", "ray://head:10001"], "only a machine of the cluster can lead a run"),
        (["--engine", "ray", "--workers", "0", "--time-limit", "5"], "only worker processes have limits"),
    ],
)
def test_what_does_not_fit_together_is_one_line(
    runner: CliRunner, mesh_folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    if "ray" in arguments:
        pytest.importorskip("ray", reason="needs ray")
    result = render(runner, mesh_folder, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
