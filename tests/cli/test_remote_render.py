"""`tap render` of meshes behind URLs: the same shards as from a folder, and records that name no bucket."""

from pathlib import Path

import fsspec
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.render_job import RenderJob
from render.config import RenderConfig
from render.errors import RenderError
from render.rig import load_rig
from shards import Source

QUICK = ["--up", "z", "--set", "image_size=32", "--set", "num_points=64", "--set", "samples_per_shard=3"]


def render(runner: CliRunner, *arguments: str | int | Path) -> Result:
    return runner.invoke(app, ["render", *map(str, arguments), *QUICK])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def upload(folder: Path, url: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            system, below = fsspec.core.url_to_fs(f"{url}/{path.relative_to(folder).as_posix()}")
            system.pipe_file(below, path.read_bytes())


@pytest.fixture
def meshes(mesh_folder: Path, tmp_path: Path) -> Path:
    """Six meshes of all formats, and one that is damaged."""
    for path in sorted(mesh_folder.rglob("*.*"))[:6]:
        copy = tmp_path / "meshes" / path.relative_to(mesh_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (copy.parent / "damaged.off").write_bytes(b"OFF\n3 1 0\n0 0")
    return tmp_path / "meshes"


def test_shards_from_a_bucket_equal_those_from_a_folder(
    runner: CliRunner, meshes: Path, tmp_path: Path, s3_url: str
) -> None:
    upload(meshes, f"{s3_url}/meshes")
    local = render(runner, meshes, "--out", tmp_path / "local", "--workers", 0)
    remote = render(runner, f"{s3_url}/meshes/", "--out", tmp_path / "remote", "--workers", 2)
    assert (local.exit_code, remote.exit_code) == (0, 0), remote.output
    assert "6 samples" in remote.output
    assert "damaged.off: cannot read as .off" in remote.output
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")
    name = s3_url.removeprefix("s3://").encode()
    assert not any(name in content for content in contents(tmp_path / "remote").values())


def test_a_dry_run_takes_the_sizes_from_the_listing(runner: CliRunner, meshes: Path) -> None:
    upload(meshes, "memory://dry-run")
    result = render(runner, "memory://dry-run", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "tried 7 of 7 meshes, by size of file; 1 failed" in result.output
    rows = "".join(f"memory://dry-run/{path.relative_to(meshes)}\n" for path in meshes.rglob("*.*"))
    (meshes / "list.csv").write_text("path\nmemory://dry-run/none.off\n" + rows)
    result = render(runner, meshes / "list.csv", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "1 files do not exist or cannot be seen" in result.output


def test_a_bucket_that_is_not_there_is_one_line(runner: CliRunner, s3_url: str, tmp_path: Path) -> None:
    result = render(runner, f"{s3_url}-none/meshes", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"error: {s3_url}-none/meshes: no such bucket or folder;" in result.stderr


@pytest.mark.parametrize("labels", ["none.txt", "labels.txt"])
def test_reasons_name_neither_bucket_nor_password(meshes: Path, labels: str) -> None:
    (meshes / "labels.txt").write_text("1\n2\n")
    upload(meshes, "memory://user:secret@host")
    path = next(meshes.rglob("*.off")).relative_to(meshes).as_posix()
    url = "memory://user:secret@host"
    job = RenderJob(RenderConfig(up="z"), load_rig("mvcnn12"))
    with pytest.raises(RenderError) as raised:
        job(Source(f"{url}/gone.off", "gone.off", "c", "train", "k"))
    assert str(raised.value) == "gone.off: cannot read: No such file or directory"
    with pytest.raises(RenderError, match=f"^{path}: {labels}: ") as raised:
        job(Source(f"{url}/{path}", path, "c", "train", "k", f"{url}/{labels}"))
    assert "memory" not in str(raised.value)
