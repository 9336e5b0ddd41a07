"""`tap shards merge`, `split`, `export` and `import` from the command line: what they print and how they exit."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.shards_move_commands import register
from shards.reader import ShardReader
from tests.cli.sets import write_set
from tests.shards.loose_files import write_foreign


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
    register(app)
    return app


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def said(app: typer.Typer, *words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_sets_are_merged(app: typer.Typer, tmp_path: Path, location: Path) -> None:
    for name in ("chair", "lamp"):
        said(app, "split", location, "--out", tmp_path / name, "--classes", name, "--workers", 0)
    output = said(app, "merge", tmp_path / "chair", tmp_path / "lamp", "--out", tmp_path / "both")
    assert "9 samples of 2 classes in 4 shards" in output
    output = said(app, "merge", tmp_path / "chair", tmp_path / "lamp", "--out", tmp_path / "both", code=1)
    assert "error: " in output
    assert "choose an empty folder" in output


def test_a_set_is_split(app: typer.Typer, tmp_path: Path, location: Path) -> None:
    output = said(app, "split", location, "--out", tmp_path / "out", "--val", 0.4, "--workers", 0)
    assert "test 2, train 5, val 4" in output
    assert "2 failures recorded" in output
    again = said(app, "split", location, "--out", tmp_path / "out", "--val", 0.4, "--workers", 0, "--resume")
    assert "(3 shards were already done)" in again
    (tmp_path / "list.csv").write_text("key,split\nchair-test-chair_0900,val\n")
    output = said(app, "split", location, "--out", tmp_path / "two", "--list", tmp_path / "list.csv", "--workers", 0)
    assert "val 1" in output


def test_loose_files_are_on_this_machine(
    app: typer.Typer, tmp_path: Path, location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is a URL" in said(app, "export", location, "--out", "s3://bucket/loose", code=2)
    assert "is a URL" in said(app, "import", "s3://bucket/loose", "--out", tmp_path / "back", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    said(app, "export", location, "--out", f"file://{tmp_path}/loose")
    said(app, "import", f"file://{tmp_path}/loose", "--out", f"file://{tmp_path}/back", "--workers", 0)
    assert len(ShardReader(tmp_path / "back")) == len(ShardReader(location))


@pytest.mark.parametrize(
    "words", [(), ("--val", 0.5, "--test", 0.5), ("--val", 1.5), ("--val", 0.1, "--list", "list.csv")]
)
def test_a_split_that_makes_no_sense_is_wrong_usage(
    app: typer.Typer, tmp_path: Path, location: Path, words: tuple[object, ...]
) -> None:
    said(app, "split", location, "--out", tmp_path / "out", *words, code=2)
    assert not (tmp_path / "out").exists()


def test_what_is_exported_is_imported(app: typer.Typer, tmp_path: Path, location: Path) -> None:
    assert "11 samples written" in said(app, "export", location, "--out", tmp_path / "loose")
    assert "0 samples written" in said(app, "export", location, "--out", tmp_path / "loose", "--resume")
    assert "is not empty" in said(app, "export", location, "--out", tmp_path / "loose", code=1)
    (tmp_path / "loose/train/chair/empty").mkdir()
    output = said(app, "import", tmp_path / "loose", "--out", tmp_path / "back", "--workers", 0)
    assert "11 samples, layout split" in output
    assert "1 folders without a transforms.json passed over, such as train/chair/empty" in output
    with ShardReader(location) as before, ShardReader(tmp_path / "back") as after:
        keys = [{reader.key(index) for index in range(len(reader))} for reader in (before, after)]
    assert keys[0] == keys[1]


def test_a_part_of_a_set_is_exported(app: typer.Typer, tmp_path: Path, location: Path) -> None:
    words = ("--split", "train", "--classes", "chair, lamp", "--num-samples", 3, "--as-stored")
    assert "3 samples written" in said(app, "export", location, "--out", tmp_path / "loose", *words)
    assert [path.name for path in (tmp_path / "loose").iterdir()] == ["train"]


def test_failed_samples_are_told(app: typer.Typer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_foreign(tmp_path / "loose/mug" / name)
    (tmp_path / "loose/mug/a/points.ply").unlink()
    output = said(app, "import", tmp_path / "loose", "--out", tmp_path / "set", "--workers", 0)
    assert "1 samples in 1 shards" in output
    assert "1 samples failed; the shards' records list them all: mug/a: points.ply: missing" in output
    (tmp_path / "loose/mug/b/transforms.json").write_text("{}")
    output = said(app, "import", tmp_path / "loose", "--out", tmp_path / "none", "--workers", 0, code=1)
    assert "none of 2 samples could be read" in output
