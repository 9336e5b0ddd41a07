"""Copies of remote tars: fetched once, whole or not at all, bounded, and never in the way of reading."""

import errno
import multiprocessing
import os
import pickle
import time
from multiprocessing.context import ForkContext, SpawnContext
from pathlib import Path

import pytest

import shards.stores.cache
from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.open_tar import OpenTar
from shards.reader import ShardReader
from shards.record import ShardEntry
from shards.stores.cache import DEFAULT_BYTES, ShardCache
from shards.stores.claim import claimed_part, locked_file, remove_litter
from shards.stores.local_store import LocalStore
from shards.stores.remote_store import RemoteStore
from shards.stores.store import open_store
from tests.shards.flaky import Proxy, at_first
from tests.shards.synthetic import contents, make_sample, make_sources

CONTEXTS = (multiprocessing.get_context("fork"), multiprocessing.get_context("spawn"))
NUM_TRAIN, PER_SHARD, NUM_SHARDS = 24, 4, 6


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A set of 6 shards."""
    folder = tmp_path_factory.mktemp("set")
    build_shards(make_sources(NUM_TRAIN, 0), make_sample, folder, {}, BuildOptions(samples_per_shard=PER_SHARD))
    return contents(folder)


@pytest.fixture
def location(files: dict[str, bytes], proxy: Proxy, s3_url: str) -> str:
    """That set behind S3."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    s3fs.S3FileSystem().pipe({f"{s3_url}/set/{name}": data for name, data in files.items()})
    proxy.requests.clear()
    return f"{s3_url}/set"


def reader_of(location: str, cache: ShardCache) -> ShardReader:
    return ShardReader(location, "train", cache)


def read_all(reader: ShardReader) -> list[str]:
    return [reader.read(index).key for index in range(len(reader))]


def copies(cache: ShardCache) -> set[str]:
    return {path.stem for path in cache.folder.glob("*.tar")}


def num_fetched(proxy: Proxy, entry: ShardEntry) -> int:
    """How often a whole tar was asked for."""
    wanted = f"bytes=0-{entry.bytes - 1}"
    return sum(
        request.target.endswith(f"/{entry.name}.tar") and request.headers.get("range") == wanted
        for request in proxy.requests
    )


def test_tars_are_fetched_once_and_read_from_the_copies(location: str, proxy: Proxy, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache")
    with ShardReader(location, "train") as plain, reader_of(location, cache) as reader:
        expected = read_all(plain)
        proxy.requests.clear()
        reader.prefetch(range(NUM_SHARDS))
        reader.prefetch([2, 1])
        cache.wait()
        assert [num_fetched(proxy, entry) for entry in reader.entries] == [1] * NUM_SHARDS
        assert copies(cache) == {entry.sha256 for entry in reader.entries}
        proxy.requests.clear()
        assert read_all(reader) == expected
        reader.prefetch(range(NUM_SHARDS))
        assert proxy.count() == 0
    names = {path.name for path in cache.folder.iterdir()}
    assert names == {"lock"} | {f"{entry.sha256}.{kind}" for entry in reader.entries for kind in ("tar", "idx")}
    with reader_of(location, ShardCache(tmp_path / "cache")) as reader:
        proxy.requests.clear()
        assert read_all(reader) == expected, "another run"
        assert proxy.count() == 0


def test_a_tar_is_read_where_it_lies_until_its_copy_has_come(location: str, proxy: Proxy, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache")
    with reader_of(location, cache) as reader:
        proxy.seconds = 0.05
        reader.read(0)  # asks for the copy as well
        assert proxy.count("GET", "/train-000000.tar") >= 1
        cache.wait()
        proxy.requests.clear()
        assert [reader.read(index).key for index in range(PER_SHARD)] == [reader.key(i) for i in range(PER_SHARD)]
        assert proxy.count() == 0, "changed over without being opened anew"


def read_in_child(location: str, cache: ShardCache, answers: "multiprocessing.Queue[list[str]]") -> None:
    with reader_of(location, cache) as reader:
        reader.prefetch(range(NUM_SHARDS))
        keys = read_all(reader)
        cache.wait()
        answers.put(keys)


@pytest.mark.parametrize("context", CONTEXTS, ids=["fork", "spawn"])
def test_many_processes_fetch_a_tar_once(
    location: str, proxy: Proxy, tmp_path: Path, context: ForkContext | SpawnContext
) -> None:
    cache = ShardCache(tmp_path / "cache")
    reader = reader_of(location, cache)
    reader.prefetch([0])  # a thread that a fork does not take along
    proxy.seconds = 0.01
    answers = context.Queue()
    children = [context.Process(target=read_in_child, args=(location, cache, answers)) for _ in range(3)]
    for child in children:
        child.start()
    told = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    cache.wait()
    assert told[0] == told[1] == told[2] == read_all(reader)
    assert [num_fetched(proxy, entry) for entry in reader.entries] == [1] * NUM_SHARDS
    assert copies(cache) == {entry.sha256 for entry in reader.entries}


def test_what_was_used_longest_ago_goes_first(location: str, tmp_path: Path) -> None:
    entries = ShardReader(location, "train").entries
    room = 3 * (max(entry.bytes for entry in entries) + 4096)  # three tars with their indexes
    cache = ShardCache(tmp_path / "cache", room)
    with reader_of(location, cache) as reader:
        for number in (0, 1, 2):
            reader.prefetch([number])
            cache.wait()
            os.utime(cache.folder / f"{entries[number].sha256}.tar", (number, number))
        reader.read(0)  # used again
        reader.prefetch([3])
        cache.wait()
        assert copies(cache) == {entries[number].sha256 for number in (0, 2, 3)}
        for number in (4, 5, 1):
            reader.prefetch([number])
            cache.wait()
        assert entries[0].sha256 not in copies(cache)
        assert sum(path.stat().st_size for path in cache.folder.iterdir()) <= room
        assert reader.read(1).key == reader.key(1), "evicted, and still open"
        assert len(list(cache.folder.glob("*.idx"))) == 3


def test_what_cannot_be_kept_is_read_where_it_lies(
    location: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_all(ShardReader(location, "train"))
    small = ShardCache(tmp_path / "small", 1000)
    assert read_all(reader_of(location, small)) == expected
    small.wait()
    assert copies(small) == set()
    assert [record.levelname for record in caplog.records if "not kept in" in record.message][:2] == ["WARNING"]
    caplog.clear()

    def full(descriptor: int, begin: int, num_bytes: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    cache = ShardCache(tmp_path / "full")
    assert read_all(reader_of(location, cache)) == expected
    cache.wait()
    assert [path.name for path in cache.folder.iterdir()] == ["lock"]
    assert any("not kept in" in message and "No space left" in message for message in caplog.messages)


def test_more_than_fits_at_a_time_is_left_out(location: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = ShardReader(location, "train").entries
    cache = ShardCache(tmp_path / "cache", 2 * max(entry.bytes for entry in entries) + 20_000)
    with reader_of(location, cache) as reader:
        reader.prefetch(range(NUM_SHARDS))
        cache.wait()
    assert copies(cache) <= {entry.sha256 for entry in entries[:4]}
    assert sum("give the cache more room" in message for message in caplog.messages) == 1


def test_a_damaged_copy_is_thrown_away(location: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = ShardCache(tmp_path / "cache")
    with reader_of(location, cache) as reader:
        expected = read_all(reader)
        cache.wait()
        reader.read(0)
        image = OpenTar(reader.store, reader.entries[0], True).samples[1].members["view00.png"]
        for number, suffix, place in ((0, ".tar", image.offset + 20), (1, ".idx", 100)):
            path = cache.folder / f"{reader.entries[number].sha256}{suffix}"
            data = bytearray(path.read_bytes())
            data[place] ^= 1
            path.write_bytes(data)
        (cache.folder / f"{reader.entries[2].sha256}.idx").unlink()
        reader.close()
        assert read_all(reader) == expected
        cache.wait()
    assert sum("the copy in the cache is removed" in message for message in caplog.messages) == 3
    with ShardReader(location, "train") as plain, reader_of(location, cache) as reader:
        for index in range(len(plain)):
            assert plain.raw(index, "view01.png") == reader.raw(index, "view01.png")


def test_a_damaged_copy_before_a_store_that_fails(location: str, proxy: Proxy, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache")
    store, entry = RemoteStore(location), reader_of(location, cache).entries[0]
    cache.request(store, [entry])
    cache.wait()
    tar = OpenTar(store, entry, True, cache)
    expected = tar.fetch(tar.samples[1], ["view00.png"])
    with (cache.folder / f"{entry.sha256}.tar").open("r+b") as stream:
        stream.seek(tar.samples[1].members["view00.png"].offset + 20)
        stream.write(bytes(4))
    tar._store = LocalStore(tmp_path / "away")  # stands for one that does not answer
    with pytest.raises(ShardError, match="missing"):
        tar.fetch(tar.samples[1], ["view00.png"])
    tar._store = store
    assert tar.fetch(tar.samples[1], ["view00.png"]) == expected


def test_other_contents_are_not_kept(location: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = RemoteStore(location)
    tar = bytearray(store.read("train-000000.tar"))
    tar[-1] ^= 1  # in the padding: no member, no index shows it
    store.put("train-000000.tar", bytes(tar))
    cache = ShardCache(tmp_path / "cache")
    with reader_of(location, cache) as reader:
        reader.prefetch([0, 1])
        cache.wait()
        assert copies(cache) == {reader.entries[1].sha256}
        assert any("not what the manifest says; run tap shards verify" in message for message in caplog.messages)
        assert list(cache.folder.glob("*.part")) == []
        assert reader.read(0).key == reader.key(0)


def test_a_store_that_fails_while_tars_are_fetched(
    location: str, proxy: Proxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ShardCache(tmp_path / "cache")
    with reader_of(location, cache) as reader:
        proxy.plan = at_first(5, "500", "GET", "/train-000000.tar")
        reader.prefetch([0, 1])
        cache.wait()
        assert copies(cache) == {reader.entries[1].sha256}
        assert any("not fetched into the cache" in message for message in caplog.messages)
        reader.read(0)
        cache.wait()
        assert reader.entries[0].sha256 in copies(cache), "asked for again when it is opened"


def fetch_slowly(location: str, cache: ShardCache) -> None:
    shards.stores.cache.PIECE_BYTES = 1000
    reader_of(location, cache).prefetch([0])
    time.sleep(60)


def test_a_fetch_that_is_killed_leaves_room(location: str, proxy: Proxy, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache")
    proxy.seconds = 0.05
    child = multiprocessing.get_context("spawn").Process(target=fetch_slowly, args=(location, cache))
    child.start()
    while proxy.count("GET", "/train-000000.tar") < 3:
        time.sleep(0.01)
    with reader_of(location, cache) as reader:
        cache.request(reader.store, reader.entries[:1])
        time.sleep(0.3)
        assert copies(cache) == set(), "the child is at it"
        child.kill()
        child.join()
        proxy.seconds = 0.0
        cache.wait()
        assert copies(cache) == {reader.entries[0].sha256}
        (cache.folder / f"{'0' * 64}.part").write_bytes(bytes(100))
        (cache.folder / f"{'1' * 64}.idx").write_bytes(bytes(100))
        (cache.folder / "mine.txt").write_bytes(b"of somebody else")
        reader.prefetch([1])
        cache.wait()
        names = {path.name for path in cache.folder.iterdir()} - {"lock", "mine.txt"}
        assert {name.partition(".")[0] for name in names} == copies(cache) == {e.sha256 for e in reader.entries[:2]}
        assert (cache.folder / "mine.txt").exists()


def hold(folder: Path) -> None:
    time.sleep(60)


def test_a_forked_child_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    with locked_file(tmp_path / "lock"), claimed_part(tmp_path / "a.part") as descriptor:
        assert descriptor is not None
        child = CONTEXTS[0].Process(target=hold, args=(tmp_path,))
        child.start()
    with locked_file(tmp_path / "lock"), claimed_part(tmp_path / "a.part") as descriptor:
        assert descriptor is not None
        assert not remove_litter(tmp_path / "a.part")
    assert remove_litter(tmp_path / "a.part")
    child.kill()
    child.join()


def test_a_cache_travels_as_folder_and_size(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 12345)
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.folder, copy.max_bytes) == (cache.folder, 12345)
    copy.wait()


def test_where_a_cache_lies_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = ShardCache()
    assert cache.folder == tmp_path / "tap" / "shards"
    assert 0 < cache.max_bytes <= DEFAULT_BYTES
    (tmp_path / "file").touch()
    with pytest.raises(ShardError, match=r"file/cache: cannot be used as a cache: Not a directory; choose another"):
        ShardCache(tmp_path / "file" / "cache")


def test_a_local_set_is_read_where_it_lies(tmp_path: Path) -> None:
    build_shards(make_sources(4, 0), make_sample, tmp_path / "set", {})
    cache = ShardCache(tmp_path / "cache")
    for location in (tmp_path / "set", f"file://{tmp_path}/set"):
        with ShardReader(location, cache=cache) as reader:
            reader.prefetch([0])
            reader.read(0)
            cache.wait()
    assert copies(cache) == set()
    assert open_store(f"file://{tmp_path}/set").size("manifest.json")
