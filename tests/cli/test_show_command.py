"""`tap show` as a user runs it; what the pages look like in a browser is tested in `test_gallery_browser.py`."""

import shutil
import webbrowser
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from cli.show_command import show_shards
from shards.errors import ShardError
from tests.shards.showcase import build_showcase
from tests.shards.synthetic import change_manifest

FILES = ["contact_sheet.png", "gallery.html", "quality.html"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_showcase(tmp_path_factory.mktemp("show") / "my set")


def test_three_files_beside_nothing_else(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "out"
    paths = show_shards(folder, out, None, 200, open_browser=False)
    assert [path.name for path in paths] == FILES == sorted(path.name for path in out.iterdir())
    printed = capsys.readouterr().out
    assert all(str(path) in printed for path in paths)
    with Image.open(paths[0]) as picture:
        assert picture.width > 400
    assert paths[1].read_bytes().count(b'id="sample-') == 39
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in show_shards(folder, out, None, 200, open_browser=False)] == before


def test_default_folder_and_options(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = show_shards(folder, None, "test", 3, open_browser=False)
    assert {path.parent for path in paths} == {Path("my set-show")}
    page = paths[1].read_text(encoding="utf-8")
    assert page.count('id="sample-') == 3
    assert '"total":4' in page
    assert "<b>4</b><span>Samples" in paths[2].read_text(encoding="utf-8")


def test_browser_is_opened_only_when_asked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def remember(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr(webbrowser, "open", remember)
    show_shards(folder, tmp_path / "out", None, 2, open_browser=False)
    assert not opened
    show_shards(folder, tmp_path / "out", None, 2, open_browser=True)
    assert opened == [(tmp_path / "out" / "gallery.html").as_uri()]


def test_sets_that_cannot_be_shown(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no manifest\.json here"):
        show_shards(tmp_path, tmp_path / "out", None, 200, open_browser=False)
    with pytest.raises(ShardError, match=r"no split 'val'; it has test, train"):
        show_shards(folder, tmp_path / "out", "val", 200, open_browser=False)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(folder / "manifest.json", unfinished)
    change_manifest(unfinished, shards=())
    with pytest.raises(ShardError, match="has not finished; finish it with --resume"):
        show_shards(unfinished, tmp_path / "out", None, 200, open_browser=False)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_made(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match="name another folder with --out"):
        show_shards(folder, tmp_path / "file" / "out", None, 200, open_browser=False)


def test_command_line(runner: CliRunner, folder: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["show", str(folder), "--out", str(tmp_path / "out"), "--num-samples", "2"])
    assert result.exit_code == 0, result.output
    assert "gallery.html" in result.output
    failed = runner.invoke(app, ["show", str(folder), "--split", "val"])
    assert failed.exit_code == 1
    assert "no split 'val'" in failed.stderr
