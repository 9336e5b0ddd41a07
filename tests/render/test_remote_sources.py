"""Meshes behind URLs are found and read as those of a folder, from a real S3 server and from memory."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from render.errors import RenderError
from render.finding.listing import Listing
from render.finding.remote_walk import remote_walk
from render.finding.walk import walk
from render.location import RemotePath, as_location
from render.mesh import Mesh, read_mesh
from render.reading.companions import read_companion
from render.sources import find_meshes
from tests.render.files import off_text, painted_square, picture, write_obj

OFF = off_text().encode()
_NUMBERS = itertools.count()


@pytest.fixture
def url() -> str:
    """A folder in memory that no other test uses."""
    return f"memory://sources-{next(_NUMBERS)}"


def put(url: str, *names: str, content: bytes = OFF) -> str:
    for name in names:
        system, path = fsspec.core.url_to_fs(url)
        system.pipe_file(f"{path}/{name}", content)
    return url


def upload(folder: Path, url: str) -> str:
    """The URL, with every file of the folder below it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(url, path.relative_to(folder).as_posix(), content=path.read_bytes())
    return url


def told(listing: Listing) -> list[tuple[str, str, str]]:
    return [(source.relative, source.category, source.split) for source in listing.sources]


def same(one: Mesh, other: Mesh) -> bool:
    """Whether two meshes are equal, textures and all."""

    def textures(mesh: Mesh) -> list[Any]:
        assert mesh.appearance is not None
        found = [material.texture for material in mesh.appearance.materials]
        return [None if texture is None else texture.pixels.tolist() for texture in found]

    arrays = np.array_equal(one.vertices, other.vertices) and np.array_equal(one.faces, other.faces)
    return arrays and textures(one) == textures(other) and any(textures(one))


def test_a_bucket_lists_like_the_folder_that_was_copied_to_it(tmp_path: Path, s3_url: str) -> None:
    for name in (
        "chair/train/a b#1?.off", "chair/test/é%20.OBJ", "table/train/2.off", "table/train/2.mtl", "readme.txt",
        "table/.git/config", "table/.git/3.off", "__MACOSX/4.off", "chair/train/._5.off",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(OFF)
    upload(tmp_path, f"{s3_url}/sets/all")
    put(s3_url, "sets/all/chair/empty/", "sets/allies/chair/train/6.off", content=b"")  # a marker, and a neighbour
    (tmp_path / "chair" / "empty").mkdir()
    remote, local = find_meshes(f"{s3_url}/sets/all/"), find_meshes(tmp_path)
    assert told(remote) == told(local)
    assert remote.describe() == local.describe()
    assert "3 hidden names" in remote.describe()
    assert [source.num_bytes for source in remote.sources] == [len(OFF)] * 3
    assert all(s3_url.removeprefix("s3://") not in source.relative for source in remote.sources)
    found, walked = remote_walk(RemotePath(f"{s3_url}/sets/all")), walk(tmp_path)
    assert (found.meshes, set(found.folders), found.num_others) == (
        walked.meshes, set(walked.folders), walked.num_others,
    )  # fmt: skip
    assert [read_mesh(source.path).faces.tolist() for source in remote.sources if source.path.endswith("off")] == [
        [[0, 1, 2], [0, 2, 3]]
    ] * 2


def test_listing_costs_no_request_a_folder(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    put(s3_url, *(f"02691156/{number:032x}/models/model_normalized.obj" for number in range(40)))
    requests: Counter[str] = Counter()
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *arguments: Any, **keywords: Any) -> Any:
        requests[method] += 1
        return await call(self, method, *arguments, **keywords)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    listing = find_meshes(s3_url)
    assert (listing.layout, len(listing.sources), listing.sources[0].category) == ("shapenet-v2", 40, "airplane")
    assert requests["list_objects_v2"] <= 3  # the files at once; two to learn that there are no tables


def test_shapenet_tables_are_read_beside_the_folders(url: str) -> None:
    put(url, "train/model_000001.off", "test/model_000002.off")
    put(url, "train.csv", content=b"id,synsetId\n000001,03001627\n")
    put(url, "test.csv", content=b"id,synsetId\n000002,04379243\n")
    assert [source.category for source in find_meshes(url).sources] == ["table", "chair"]


def test_names_that_are_no_paths_are_told_and_skipped(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"a/1.off": 1, "a//2.off": 1, "a/../3.off": 1, "../4.off": 1, "/5.off": 1, "a/": 0, "a/./6.txt": 1}
    monkeypatch.setattr(RemotePath, "find", lambda self: names)
    found = remote_walk(RemotePath(url))
    assert (found.meshes, found.folders, found.num_others) == (("a/1.off",), ("a",), 5)
    assert found.notes == ("5 names with empty, . or .. parts, which are no paths, skipped",)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none", "no such bucket or folder; name one with meshes"),
        ("/text", r"no mesh below it \(1 other files\)"),
        ("/text/a.txt", "is not a folder"),
        ("/none.csv", "no such bucket or folder"),
        ("-none/meshes", "no such bucket or folder"),
        ("-none", "no such bucket or folder"),
    ],
)
def test_what_is_not_there_is_told(s3_url: str, path: str, message: str) -> None:
    put(s3_url, "text/a.txt")
    with pytest.raises(RenderError, match=f"^{s3_url}{path}: {message}"):
        find_meshes(s3_url + path)


def test_a_store_without_credentials_or_network(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setattr("render.remote.PAUSES_SECONDS", (0.0,))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RenderError, match=r"meshes: the store cannot be reached \(\w*Connect\w*\), 2 times$"):
        find_meshes(f"{s3_url}/meshes")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RenderError, match="meshes: the store wants credentials, and there are none"):
        find_meshes(f"{s3_url}/meshes")


def test_a_manifest_behind_a_url(url: str) -> None:
    put(url, "sets/a/1.off", "2.off", "sets/parts/1.txt")
    lines = [
        "path,category,part_labels", "a/./1.off,chair,parts/1.txt", "../2.off,,", f"{url}/sets/a/3.off,,",
        f"{url}/4.off,,", "memory://other/5.off,,", "file:///data/6.off,,",
    ]  # fmt: skip
    put(url, "sets/list.csv", content="\n".join(lines).encode())
    listing = find_meshes(f"{url}/sets/list.csv")
    assert {source.relative: source.path for source in listing.sources} == {
        "a/1.off": f"{url}/sets/a/1.off",
        "__up__/2.off": f"{url}/2.off",
        "a/3.off": f"{url}/sets/a/3.off",
        "__url__/4.off": f"{url}/4.off",
        "__url__/5.off": "memory://other/5.off",
        "__root__/data/6.off": "/data/6.off",
    }
    assert [source.part_labels for source in listing.sources if source.category == "chair"] == [
        f"{url}/sets/parts/1.txt"
    ]


def test_a_manifest_here_may_list_urls_without_showing_their_secrets(tmp_path: Path, url: str) -> None:
    put(url, "a/1.off")
    (tmp_path / "2.off").write_bytes(OFF)
    rows = [f"{url}/a/1.off", "2.off", f"file://{tmp_path}/3.off", "https://user:word@host/x/4.off?signature=secret"]
    (tmp_path / "list.jsonl").write_text("".join(f'{{"path": "{row}"}}\n' for row in rows))
    listing = find_meshes(str(tmp_path / "list.jsonl"))
    assert [source.relative for source in listing.sources] == [
        "2.off", "3.off", "__url__/a/1.off", "__url__/x/4.off",
    ]  # fmt: skip
    assert listing.sources[3].path == rows[3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("/data/1.off", "line 2: '/data/1.off' starts at the root of a machine"),
        ("../../1.off", "line 2: '../../1.off' leads out of the bucket or host"),
        ("memory://bucket", "line 2: path 'memory://bucket' names no file"),
        ("nothing://bucket/1.off", "line 2: nothing://bucket/1.off: protocol nothing:// is unknown"),
        ("1.off\nmemory://other/1.off\nmemory://more/1.off", "line 4: .* of line 3 again, or has its name in another"),
        ("1.off\n2.off", r"list.csv: none of its 2 meshes exists, such as memory://.*1\.off"),
    ],
)
def test_rows_that_are_refused(url: str, row: str, message: str) -> None:
    put(url, "sets/list.csv", content=f"path\n{row}\n".encode())
    with pytest.raises(RenderError, match=message):
        find_meshes(f"{url}/sets/list.csv")


def test_of_a_long_list_a_few_files_are_asked_for(url: str) -> None:
    rows = [f"{number}.off" for number in range(1000)]
    put(url, "list.csv", content="\n".join(["path", *rows]).encode())
    with pytest.raises(RenderError, match="none of 32 tried of its 1,000 meshes exists"):
        find_meshes(f"{url}/list.csv")
    put(url, "992.off")
    assert len(find_meshes(f"{url}/list.csv").sources) == 1000


def test_materials_pictures_and_buffers_lie_beside_the_mesh(tmp_path: Path, s3_url: str) -> None:
    write_obj(tmp_path / "model/meshes", "newmtl painted\nKd 1 1 1\nmap_Kd ..\\Images\\SQUARE.PNG\n")
    (tmp_path / "model/images").mkdir()
    (tmp_path / "model/images/Square.png").write_bytes(picture())
    (tmp_path / "model/meshes/square.png").unlink()
    (tmp_path / "model/meshes/square.glb").write_bytes(painted_square().glb())
    (tmp_path / "model/meshes/square.gltf").write_bytes(painted_square().gltf())
    upload(tmp_path, s3_url)
    for name in ("square.obj", "square.glb", "square.gltf"):
        below = f"model/meshes/{name}"
        assert same(read_mesh(f"{s3_url}/{below}", appearance=True), read_mesh(tmp_path / below, appearance=True))


@pytest.mark.parametrize(
    ("name", "found"), [("A.txt", "deep/a.txt"), ("../B.TXT", "b.txt"), ("sub/../a.txt", "deep/a.txt")]
)
def test_companions_near_the_mesh(url: str, name: str, found: str) -> None:
    for path in ("deep/a.txt", "b.txt"):
        put(url, path, content=path.encode())
    assert read_companion(as_location(f"{url}/deep/mesh.obj"), name).decode() == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../b.txt", "leads out of the folder above"),
        ("sub/../../../b.txt", "leads out of the folder above"),
        ("/b.txt", "is not a name relative"),
        ("memory://other/b.txt", "is not a name relative"),
        ("none.txt", "'none.txt' is not a file"),
        ("none/none.txt", "'none/none.txt' is not a file"),
        ("", "'' is not a file"),
        ("..", "'..' is not a file"),
        ("a.txt", "has 6 bytes, more than 5"),
    ],
)
def test_companions_that_are_refused(url: str, name: str, message: str) -> None:
    put(url, "top/deep/a.txt", content=b"123456")
    put(url, "top/b.txt", "b.txt")
    with pytest.raises(RenderError, match=message) as raised:
        read_companion(as_location(f"{url}/top/deep/mesh.obj"), name, 5)
    assert url not in str(raised.value)


def test_above_a_bucket_is_no_other_bucket(url: str) -> None:
    put(url, "a.txt")
    other = put(f"{url}-other", "b.txt")
    mesh = as_location(f"{url}/mesh.obj")
    assert read_companion(mesh, "../a.txt") == OFF
    with pytest.raises(RenderError, match="is not a file"):
        read_companion(mesh, f"../{other.removeprefix('memory://')}/b.txt")


def test_a_file_url_is_a_folder_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "1.off").write_bytes(OFF)
    (tmp_path / "2.off").symlink_to(tmp_path / "1.off")
    listing = find_meshes(f"file://{tmp_path}")
    assert [source.path for source in listing.sources] == [str(tmp_path / f"{number}.off") for number in (1, 2)]
