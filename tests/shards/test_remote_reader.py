"""Reading and writing whole sets behind URLs: the same bytes as in a folder, few requests, and whole after accidents."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shards.build import BuildOptions, BuildReport, build_shards
from shards.errors import ShardError
from shards.index import decode_index
from shards.open_tar import OpenTar
from shards.reader import ShardReader
from shards.record import decode_record
from shards.stores.remote_store import GAP_BYTES, RemoteStore
from shards.stores.store import open_store
from tests.shards.build_script import CONFIG
from tests.shards.flaky import PASSING, TRUNCATE, Proxy, at_first, at_random
from tests.shards.synthetic import SourceError, contents, failing_sample, make_sample, make_sources
from tests.shards.test_engine import ROOT

NUM_TRAIN, PER_SHARD = 60, 6


def build(location: str | Path, **options: object) -> BuildReport:
    """What `tests.shards.build_script` makes, in this process."""
    chosen = BuildOptions.model_validate({"samples_per_shard": PER_SHARD, "num_workers": 0, **options})
    return build_shards(make_sources(NUM_TRAIN, 8), make_sample, location, CONFIG, chosen)


def stored(location: str) -> dict[str, bytes]:
    """Every file of a set: name to bytes."""
    store = open_store(location)
    return {name: store.read(name) for name in store.sizes()}


def look(location: str) -> None:
    """Makes sure that whatever a record vouches for is whole, as the store shows it at this moment."""
    store = open_store(location)
    sizes = store.sizes()
    for name in sizes:
        if name.startswith(("train", "test")) and name.endswith(".json"):
            stem = name.removesuffix(".json")
            record = decode_record(store.read(name), name)
            tar, index = store.read(f"{stem}.tar"), store.read(f"{stem}.idx")
            assert record.sha256 == hashlib.sha256(tar).hexdigest()
            assert record.count == len(decode_index(index, stem))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a local set that was made without accidents."""
    folder = tmp_path_factory.mktemp("unbroken")
    build(folder)
    return contents(folder)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_set_behind_a_url_is_the_local_one(s3_url: str, tmp_path: Path, num_workers: int) -> None:
    reports = []
    for location in (f"{s3_url}/set", tmp_path):
        options = BuildOptions(samples_per_shard=4, num_workers=num_workers)
        reports.append(
            build_shards(make_sources(10, 3), failing_sample, location, CONFIG, options, failure_types=(SourceError,))
        )
    assert reports[0] == reports[1]
    assert stored(f"{s3_url}/set") == contents(tmp_path)
    again = BuildOptions(samples_per_shard=4, num_workers=num_workers, resume=True)
    report = build_shards(
        make_sources(10, 3), failing_sample, f"{s3_url}/set", CONFIG, again, failure_types=(SourceError,)
    )
    assert (report.num_written, report.num_skipped) == (0, 4)
    with pytest.raises(ShardError, match=r"set: holds manifest\.json of an earlier run; --resume"):
        build_shards(make_sources(10, 3), make_sample, f"{s3_url}/set", CONFIG, BuildOptions(samples_per_shard=4))
    report = build_shards(
        make_sources(10, 3), make_sample, f"{s3_url}/set", CONFIG, BuildOptions(samples_per_shard=4, overwrite=True)
    )
    assert report.num_written == 4


def test_a_sample_is_one_request(proxy: Proxy, s3_url: str, tmp_path: Path) -> None:
    location = f"{s3_url}/set"
    for place in (location, tmp_path):
        build(place)
    with ShardReader(location, "train") as reader, ShardReader(tmp_path, "train") as local:
        assert len(reader) == len(local) == NUM_TRAIN
        reader.read(0)  # opens tar and index
        proxy.requests.clear()
        for views in ((0, 2), (), None):
            for index in range(PER_SHARD):
                one, other = reader.read(index, views=views), local.read(index, views=views)
                assert (one.key, one.meta, one.images.keys()) == (other.key, other.meta, other.images.keys())
                for name, array in {**one.arrays, **one.images}.items():
                    assert (array == {**other.arrays, **other.images}[name]).all()
        assert proxy.count() == proxy.count("GET", "/set/train-000000.tar") == 3 * PER_SHARD
        proxy.requests.clear()
        assert (reader.num_views(1), reader.key(1)) == (local.num_views(1), local.key(1))
        assert proxy.count() == 0
        assert reader.raw(1, "points.npy") == local.raw(1, "points.npy")
        assert proxy.count() == 1
        proxy.requests.clear()
        reader.read(PER_SHARD)
        assert proxy.count("GET", ".idx") == 1, "an index is read once a tar"
        assert proxy.count() <= 5


def test_members_that_lie_far_apart_are_asked_for_one_by_one(
    proxy: Proxy, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(f"{s3_url}/set")
    monkeypatch.setattr("shards.stores.remote_store.RemoteFile.gap_bytes", 0)
    with ShardReader(f"{s3_url}/set", "train") as reader:
        reader.key(0)
        proxy.requests.clear()
        sample = reader.read(0, arrays=("points",), views=(1,))
        assert proxy.count() == 3, "the JSON, the points and the view, each behind a header"
    assert (list(sample.arrays), list(sample.images)) == (["points"], ["view01"])
    assert GAP_BYTES > 0


@pytest.mark.parametrize("fault", PASSING)
def test_reading_goes_on_after_faults(proxy: Proxy, s3_url: str, fault: str) -> None:
    build(f"{s3_url}/set")
    proxy.plan = at_random(7, 0.15, (fault,))
    with ShardReader(f"{s3_url}/set", "train") as reader:
        keys = [reader.read(index).key for index in range(len(reader))]
    assert len(set(keys)) == NUM_TRAIN
    assert any(request.fault for request in proxy.requests)


def test_a_tar_that_changes_is_refused(s3_url: str) -> None:
    build(f"{s3_url}/set")
    store, name = RemoteStore(f"{s3_url}/set"), "train-000000.tar"
    reader = ShardReader(f"{s3_url}/set", "train")
    tar = store.read(name)
    span = OpenTar(store, reader.entries[0], True).samples[0].members["view00.png"]
    flipped = bytearray(tar)
    flipped[span.offset + 20] ^= 1
    store.put(name, bytes(flipped))
    with pytest.raises(ShardError, match=r"^s3://.*/train-000000\.tar: .*view00\.png is not as it was written"):
        reader.read(0)
    store.put(name, tar[:-1])
    with pytest.raises(
        ShardError, match=r"train-000000\.tar: cannot be read: .* bytes arrived \(5 tries\)|manifest says"
    ):
        ShardReader(f"{s3_url}/set", "train").read(0)


def start(location: str, *options: str) -> "subprocess.Popen[bytes]":
    """A run in a process group of its own, with two workers."""
    command = [sys.executable, "-m", "tests.shards.build_script", location, "2", "slow_sample", *options]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )


@pytest.mark.parametrize("num_kills", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_runs_are_finished_by_resume(
    proxy: Proxy, s3_url: str, unbroken: dict[str, bytes], num_kills: int
) -> None:
    """SIGKILL of the whole run at random moments, each time gone on with; then byte for byte the unbroken set."""
    draws = random.Random(num_kills)
    location = f"{s3_url}/set"
    num_seen = num_killed = 0
    for _ in range(num_kills):
        process = start(location)
        assert process.stdout is not None
        process.stdout.readline()  # at work
        time.sleep(draws.uniform(0, 0.4 if num_kills < 10 else 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        num_killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        look(location)
        num_seen += len(open_store(location).sizes())
    print(f"{num_killed} runs were killed at work")
    assert num_seen
    assert num_killed
    build(location, resume=True)
    assert stored(location) == unbroken


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 31), marks=pytest.mark.slow)])
def test_runs_before_a_flaky_store_are_finished_by_resume(
    proxy: Proxy, s3_url: str, unbroken: dict[str, bytes], seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many requests fail that runs break off, at another place each; what they leave is gone on with."""
    monkeypatch.setattr("shards.stores.remote_system.NUM_TRIES", 2)
    lines = []
    for seed in seeds:
        location = f"{s3_url}/set-{seed}"
        proxy.plan = at_random(seed, 0.2)
        for _ in range(100):
            try:
                build(location, resume=True)
                break
            except ShardError as error:
                lines.append(str(error))
            plan, proxy.plan = proxy.plan, lambda request: None
            look(location)
            proxy.plan = plan
        else:
            pytest.fail("no end")
        proxy.plan = lambda request: None
        assert stored(location) == unbroken
    print(f"{len(lines)} runs broke off")
    assert len(lines) >= len(seeds)
    assert all("(2 tries)" in line and "\n" not in line for line in lines)


def test_workers_before_a_flaky_store(proxy: Proxy, s3_url: str, unbroken: dict[str, bytes]) -> None:
    """In worker processes with the pauses and tries of every day."""
    proxy.plan = at_random(3, 0.05)
    process = start(f"{s3_url}/set")
    process.communicate(timeout=120)
    proxy.plan = at_first(0, TRUNCATE)
    assert process.returncode == 0
    assert stored(f"{s3_url}/set") == unbroken
