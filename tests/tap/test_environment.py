import subprocess
import sys
from pathlib import Path

import pytest

from tap.training import environment
from tap.training.checkpoint import read_json
from tap.training.environment import write_environment


def git(folder: Path, *arguments: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    answer = subprocess.run(["git", "-C", folder, *name, *arguments], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_versions_command_and_machine_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/where/tap", "pretrain", "a b"])
    write_environment(tmp_path)
    content = read_json(tmp_path / "environment.json")
    assert content["versions"]["torch"]
    assert content["command"] == ["tap", "pretrain", "a b"]
    assert content["earlier"] == []


def test_the_folder_asked_is_the_one_that_holds_the_package() -> None:
    assert Path(__file__).resolve().parents[2] == environment._FOLDER


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_FOLDER", tmp_path.resolve())
    assert environment.environment()["commit"] is None
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    found = environment.environment()
    assert (found["commit"], found["changed_since_commit"]) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("2")
    assert environment.environment()["changed_since_commit"] is True
    (tmp_path / "inside").mkdir()  # somebody's repository in which the package is only installed
    monkeypatch.setattr(environment, "_FOLDER", tmp_path.resolve() / "inside")
    assert environment.environment()["commit"] is None


def test_what_a_run_was_begun_with_stays_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_environment(tmp_path)
    write_environment(tmp_path)
    assert read_json(tmp_path / "environment.json")["earlier"] == []
    monkeypatch.setattr(environment, "PACKAGES", ("torch",))
    write_environment(tmp_path)
    (earlier,) = read_json(tmp_path / "environment.json")["earlier"]
    assert "numpy" in earlier["versions"]
