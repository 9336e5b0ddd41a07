"""URLs answer like paths: parents, suffixes, joins, what shows of them, and which are refused."""

import pickle
from pathlib import Path

import fsspec
import pytest

from render.errors import RenderError
from render.location import RemotePath, as_location, file_sizes, is_url


def remote(url: str) -> RemotePath:
    location = as_location(url)
    assert isinstance(location, RemotePath)
    return location


@pytest.fixture
def store(request: pytest.FixtureRequest) -> RemotePath:
    """A folder in memory, empty at first."""
    return remote(f"memory://location-{request.node.name}")


def put(folder: RemotePath, **files: bytes) -> None:
    for name, content in files.items():
        fsspec.filesystem("memory").pipe_file(f"{folder.url}/{name}".removeprefix("memory:/"), content)


@pytest.mark.parametrize("text", ["a/b.off", "/a/b.off", "C:/a.off", "a:b", "s3:/b/a.off", "1://a"])
def test_paths_stay_paths(text: str) -> None:
    assert not is_url(text)
    assert as_location(text) == Path(text)
    assert as_location(Path(text)) == Path(text)


def test_a_file_url_is_a_path_of_this_machine() -> None:
    assert as_location("file:///data/a b%20.off") == Path("/data/a b%20.off")
    assert as_location("FILE:///data/a.off") == Path("/data/a.off")


def test_parts_of_a_url() -> None:
    mesh = remote("memory://bucket/a/B.Tar.OBJ")
    assert (mesh.below, mesh.name, mesh.suffix) == ("a/B.Tar.OBJ", "B.Tar.OBJ", ".OBJ")
    assert str(mesh.parent) == "memory://bucket/a"
    assert str(mesh.parent.parent) == "memory://bucket"
    assert mesh.parent.parent.parent == mesh.parent.parent  # no bucket above the bucket
    assert str(remote("memory://bucket/a//").parent) == "memory://bucket"
    assert str(remote("memory:///")) == "memory://"


def test_joins_step_up_to_the_bucket_and_no_further() -> None:
    folder = remote("memory://bucket/a")
    assert str(folder / "b/./c#1?.png") == "memory://bucket/a/b/c#1?.png"
    assert str(folder / "../x") == "memory://bucket/x"
    assert str(folder / "../../../other/x") == "memory://bucket/other/x"
    assert str(remote("memory://bucket") / "x") == "memory://bucket/x"


def test_neither_password_nor_signature_shows() -> None:
    mesh = remote("memory://user:secret@host/a.off")
    assert str(mesh) == "memory://***@host/a.off"
    assert "secret" not in repr(mesh)
    signed = RemotePath("https://host/a.glb?X-Signature=secret")
    assert (str(signed), signed.suffix, signed.below) == ("https://host/a.glb", ".glb", "a.glb")
    assert str(RemotePath("abfs://container@account/a.off")) == "abfs://container@account/a.off"


def test_a_location_crosses_processes_as_text() -> None:
    mesh = remote("memory://bucket/a.off")
    assert pickle.loads(pickle.dumps(mesh)) == mesh


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memori://b/a.off", r"memori://b/a.off: protocol memori:// is unknown; did you mean memory://\?"),
        ("zip://a.off::memory://b/c.zip", "URLs within URLs are not read"),
        ("simplecache::memory://b/c.off", "URLs within URLs are not read"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        as_location(url)


@pytest.mark.parametrize(("protocol", "advice"), [("s3", r"needs s3fs; pip install 'tap3d\[s3\]'"), ("gs", "gcsfs")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, protocol: str, advice: str) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"Please install {'s3fs' if name == 's3' else 'gcsfs'}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    with pytest.raises(RenderError, match=advice):
        as_location(f"{protocol}://bucket/a.off")


def test_files_and_folders(store: RemotePath) -> None:
    put(store, **{"sub/a.off": b"OFF", "empty.off": b""})
    mesh, empty = store / "sub/a.off", store / "empty.off"
    assert (mesh.size(), mesh.read_bytes(), empty.read_bytes()) == (3, b"OFF", b"")
    assert (mesh.is_file(), mesh.is_dir(), mesh.exists()) == (True, False, True)
    assert ((store / "sub").is_file(), (store / "sub").is_dir()) == (False, True)
    assert not (store / "none").exists()
    assert store.names() == ("empty.off", "sub")
    assert store.find() == {"empty.off": 0, "sub/a.off": 3}
    with pytest.raises(FileNotFoundError):
        (store / "none").read_bytes()
    with pytest.raises(IsADirectoryError):
        (store / "sub").read_bytes()


def test_a_large_file_is_not_fetched(store: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, **{"a.off": b"OFF"})
    assert (store / "a.off").read_bytes(3) == b"OFF"
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", None)
    with pytest.raises(OSError, match="has 3 bytes, more than 2"):
        (store / "a.off").read_bytes(2)


def test_sizes_of_files_here_and_there(store: RemotePath, tmp_path: Path) -> None:
    put(store, **{"a.off": b"OFF"})
    (tmp_path / "b.off").write_bytes(b"12345")
    paths = [f"{store}/a.off", str(tmp_path / "b.off"), f"{store}/none.off", str(tmp_path / "none.off"), str(store)]
    assert file_sizes(paths) == [3, 5, None, None, None]
