import io
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from shards.codec import pack_sample
from shards.errors import ShardError
from shards.index import SampleIndex
from shards.stores.local_store import LocalFile
from shards.tar import TarWriter, member_header, parse_header, read_index
from tests.shards.synthetic import make_sample, make_sources


def write_tar(path: Path, num_samples: int = 3) -> TarWriter:
    with path.open("wb") as stream:
        writer = TarWriter(stream)
        for source in make_sources()[:num_samples]:
            writer.add(pack_sample(make_sample(source)))
        writer.finish()
    return writer


def index_of(path: Path) -> list[SampleIndex]:
    tar = LocalFile(path)
    try:
        return read_index(tar, path.name)
    finally:
        tar.close()


def write_members(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())


def test_headers_tell_nothing_of_their_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    writer = write_tar(path)
    assert path.stat().st_size == writer.num_bytes
    assert writer.num_bytes % 10240 == 0
    with tarfile.open(path) as tar:
        for info in tar.getmembers():
            assert (info.mtime, info.mode, info.uid, info.gid) == (0, 0o644, 0, 0)
            assert (info.uname, info.gname, info.pax_headers, info.type) == ("", "", {}, tarfile.REGTYPE)


def test_index_finds_the_payloads(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path)
    data = path.read_bytes()
    for source, sample in zip(make_sources(), index_of(path), strict=False):
        assert sample.key == source.key
        members = pack_sample(make_sample(source)).members
        assert [f"{sample.key}.{suffix}" for suffix in sample.members] == [name for name, _ in members]
        for span, (_, content) in zip(sample.members.values(), members, strict=True):
            assert data[span.offset : span.offset + span.num_bytes] == content


def test_longest_key_stays_plain_ustar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    sample = make_sample(make_sources()[0])
    key = "k" * 80
    with path.open("wb") as stream:
        writer = TarWriter(stream)
        writer.add(pack_sample(replace(sample, key=key, meta={**sample.meta, "key": key})))
        writer.finish()
    assert [sample.key for sample in index_of(path)] == [key]


def test_tar_command_lists_and_unpacks_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, 1)
    listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True)
    members = pack_sample(make_sample(make_sources()[0])).members
    assert listed.stdout.split() == [name for name, _ in members]
    assert listed.stderr == ""
    subprocess.run(["tar", "xf", path, "-C", tmp_path, "--no-same-owner"], check=True)
    assert all((tmp_path / name).read_bytes() == data for name, data in members)


def test_tars_of_the_tar_command_are_read(tmp_path: Path) -> None:
    names = ["a.json", "a.points.npy", "b.json"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    subprocess.run(["tar", "cf", "gnu.tar", *names], cwd=tmp_path, check=True)
    assert [(sample.key, list(sample.members)) for sample in index_of(tmp_path / "gnu.tar")] == [
        ("a", ["json", "points.npy"]),
        ("b", ["json"]),
    ]


def test_empty_tar(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", 0)
    assert index_of(tmp_path / "a.tar") == []
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getmembers() == []


def test_repeated_key_is_not_written() -> None:
    writer = TarWriter(io.BytesIO())
    sample = pack_sample(make_sample(make_sources()[0]))
    writer.add(sample)
    with pytest.raises(ShardError, match="already"):
        writer.add(sample)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.json", "a.json"], "a.json occurs twice"),
        (["a.json", "b.json", "a.points.npy"], r"a\.points\.npy is apart"),
        (["a.pkl"], "a.pkl"),
        (["../a.json"], "no member"),
    ],
)
def test_wrong_members(tmp_path: Path, names: list[str], message: str) -> None:
    write_members(tmp_path / "a.tar", names)
    with pytest.raises(ShardError, match=message) as caught:
        index_of(tmp_path / "a.tar")
    assert "a.tar" in str(caught.value)


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("a.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(info)
    with pytest.raises(ShardError, match="not a plain file"):
        index_of(tmp_path / "a.tar")


def test_every_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, 2)
    data = path.read_bytes()
    end = data.rstrip(b"\0")
    cut = tmp_path / "cut.tar"
    for length in range(0, len(end), 256):
        cut.write_bytes(data[:length])
        with pytest.raises(ShardError, match="cut"):
            index_of(cut)


def test_every_flipped_header_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, 2)
    data = path.read_bytes()
    spans = [span for sample in index_of(path) for span in sample.members.values()]
    for span in spans[::3]:
        for position in range(span.offset - 512, span.offset, 7):
            damaged = bytearray(data)
            damaged[position] ^= 0x10
            (tmp_path / "flipped.tar").write_bytes(damaged)
            with pytest.raises(ShardError):
                index_of(tmp_path / "flipped.tar")


@pytest.mark.parametrize("name", ["a.json", "chair_1.points.npy", "k" * 80 + ".world_to_camera.npy"])
@pytest.mark.parametrize("num_bytes", [0, 1, 512, 123_456, 8**11 - 1])
def test_headers_are_those_of_tarfile(name: str, num_bytes: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = num_bytes, 0o644, 0
    assert member_header(name, num_bytes) == info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    assert parse_header(member_header(name, num_bytes), "here") == (name, num_bytes)


@pytest.mark.parametrize(("name", "num_bytes"), [("k" * 101, 1), ("é.json", 1), ("a.json", 8**11)])
def test_headers_that_cannot_be(name: str, num_bytes: int) -> None:
    with pytest.raises(ShardError, match="does not fit the header"):
        member_header(name, num_bytes)
