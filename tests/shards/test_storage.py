import errno
import os
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.storage import (
    SHARD_FILE,
    TEMPORARY_FILE,
    locked_folder,
    remove_files,
    temporary_files_of,
    temporary_path,
    write_file,
)


def test_write_replaces_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ShardError, match=r"a\.json: cannot be written: No space left on device"):
        write_file(path, b"new")
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("a.json", b"old")]


def test_names() -> None:
    temporary = temporary_path(Path("x/train-000001.tar"))
    assert TEMPORARY_FILE.fullmatch(temporary.name)
    assert SHARD_FILE.fullmatch("my_train-v2-000001.json")
    for name in ("notes.json", "train-1.tar", "train-000001.tar.gz", "000001.tar"):
        assert not SHARD_FILE.fullmatch(name)
        assert not TEMPORARY_FILE.fullmatch(name)


def test_unfinished_files_of_one_process(tmp_path: Path) -> None:
    names = [".train-000000.tar.tmp-12", ".train-000000.tar.tmp-123", ".train-000000.json.tmp-12", ".notes.tmp-12"]
    assert [name for name in names if temporary_files_of(12).fullmatch(name)] == [names[0], names[2]]
    assert temporary_files_of(os.getpid()).fullmatch(temporary_path(tmp_path / "train-000001.tar").name)


def test_remove_takes_only_matching_files(tmp_path: Path) -> None:
    (tmp_path / "train-000000.tar").mkdir()
    for name in ("train-000001.tar", "notes.txt"):
        (tmp_path / name).touch()
    remove_files(tmp_path, SHARD_FILE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "train-000000.tar"]


def test_folder_is_made_and_held(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with locked_folder(folder):
        assert folder.is_dir()
        with pytest.raises(ShardError, match="another run"), locked_folder(folder):
            pass
    with locked_folder(folder):
        pass


def test_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match="cannot be made or opened"), locked_folder(tmp_path / "file" / "sub"):
        pass
    # Permission bits do not stop root, who may well run this test.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ShardError, match="not writable"), locked_folder(tmp_path):
        pass
