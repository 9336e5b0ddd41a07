import errno
import os
import pickle
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.stores.local_store import LocalStore
from shards.stores.store import folder_name, is_url, joined, open_store, write_file


def no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ShardError, match=r"a\.json: cannot be written: No space left on device"):
        write_file(str(path), b"new")
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("a.json", b"old")]


def test_a_draft_appears_when_it_is_committed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.draft("a.tar") as draft:
        draft.write(b"one ")
        draft.write(b"two")
        assert store.sizes() == {}
        assert store.unfinished(os.getpid()) == [f".a.tar.tmp-{os.getpid()}"]
        draft.commit()
    assert store.sizes() == {"a.tar": 7}
    with store.draft("b.tar") as draft:
        draft.write(b"never committed")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_unfinished_files_are_those_of_sets(tmp_path: Path) -> None:
    names = [".train-000000.tar.tmp-12", ".train-000000.tar.tmp-123", ".train-000000.idx.tmp-12", ".notes.tmp-12"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".train-000001.tar.tmp-12").mkdir()
    store = LocalStore(tmp_path)
    assert store.unfinished(12) == sorted([names[0], names[2]])
    assert store.unfinished() == sorted(names[:3])
    assert LocalStore(tmp_path / "absent").unfinished() == []


def test_reading(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("b.json", b"0123456789")
    store.put("a.json", b"")
    (tmp_path / "folder").mkdir()
    assert store.sizes() == {"a.json": 0, "b.json": 10}
    assert list(store.sizes()) == ["a.json", "b.json"]
    assert (store.size("b.json"), store.size("c.json")) == (10, None)
    assert store.read("b.json") == b"0123456789"
    assert store.read_many(["b.json", "c.json"]) == {"b.json": b"0123456789"}
    file = store.open("b.json")
    assert (file.size, file.pread(2, 3), file.pread(8, 5)) == (10, b"234", b"89")
    file.close()
    file.close()
    store.remove("b.json")
    store.remove("b.json")
    assert store.size("b.json") is None
    with pytest.raises(ShardError, match=r"b\.json: cannot be read: No such file"):
        store.read("b.json")
    with pytest.raises(ShardError, match=r"b\.json: cannot be opened: No such file"):
        store.open("b.json")
    assert open_store(tmp_path / "absent").sizes() == {}


def test_folder_is_made_and_held(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a" / "b")
    with store.claimed():
        assert store.folder.is_dir()
        with pytest.raises(ShardError, match="another run"), LocalStore(store.folder).claimed():
            pass
    with store.claimed():
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ShardError, match="not writable"), LocalStore(tmp_path).claimed():
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match="cannot be made or opened"), LocalStore(tmp_path / "file" / "sub").claimed():
        pass


def test_locations(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path}") == LocalStore(tmp_path) == pickle.loads(pickle.dumps(open_store(tmp_path)))
    assert [is_url(text) for text in ("s3://a/b", "memory://x", "file:///a", "a/b", "C-3.tar")] == [True, True] + [
        False
    ] * 3
    assert (joined("s3://a/b/", "c"), joined("a/b/", "c")) == ("s3://a/b/c", "a/b/c")
    assert (folder_name("s3://a/b/"), folder_name(tmp_path)) == ("b", tmp_path.name)
    with pytest.raises(ShardError, match="names a folder"):
        write_file("s3://bucket/", b"")


def test_a_file_url_is_a_path_in_any_case(tmp_path: Path) -> None:
    for location in (f"file://{tmp_path}", f"FILE://{tmp_path}", f"local://{tmp_path}"):
        assert joined(location, "a.html") == str(tmp_path / "a.html")
        assert folder_name(location) == tmp_path.name
        assert not is_url(location)
        write_file(f"{location}/a.html", b"page")
        assert open_store(location).read("a.html") == b"page"
        (tmp_path / "a.html").unlink()


def test_a_url_with_one_slash_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for location in ("s3:/bucket/set", "gs:/bucket", "file:/a"):
        with pytest.raises(ShardError, match="a URL has two slashes"):
            open_store(location)
    (tmp_path / "s3:").mkdir()
    assert open_store("s3:/bucket/set") == LocalStore(Path("s3:/bucket/set"))


def test_unknown_protocol() -> None:
    with pytest.raises(ShardError, match=r"nonsense://a: no way to open nonsense:// here"):
        open_store("nonsense://a")
