import errno
import os
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.codec import pack_sample
from shards.errors import ShardError
from shards.index import decode_index, member_name
from shards.plan import ShardPlan, Source, plan_shards
from shards.progress import Progress
from shards.record import read_record
from shards.schema import Sample
from shards.stores.store import open_store
from shards.tar import TarWriter
from shards.writer import MakeSample, ShardJob, write_shard
from tests.shards.synthetic import (
    SourceError,
    bad_sample,
    buggy_sample,
    contents,
    failing_sample,
    make_sample,
    make_sources,
)


@pytest.fixture
def plan() -> ShardPlan:
    return plan_shards(make_sources(num_test=0), 10)[0]


def job(folder: Path, make: MakeSample = make_sample) -> ShardJob:
    return ShardJob(make, open_store(folder), "0123", (SourceError,))


def test_tar_and_record(tmp_path: Path, plan: ShardPlan) -> None:
    events: list[Progress] = []
    record = write_shard(plan, job(tmp_path), events.append)
    assert sorted(contents(tmp_path)) == ["train-000000.idx", "train-000000.json", "train-000000.tar"]
    assert read_record(open_store(tmp_path), "train-000000") == record
    assert (record.count, record.failures, record.flags) == (10, (), {"open": 2})
    assert record.categories == {"chair": 4, "lamp": 3, "mug": 3}
    assert record.bytes == (tmp_path / "train-000000.tar").stat().st_size
    assert sum(events, Progress()) == Progress(num_samples=10, num_views=30)
    with tarfile.open(tmp_path / "train-000000.tar") as tar:
        assert len(tar.getmembers()) == 10 * 7


def test_failure_is_recorded_without_the_machines_path(tmp_path: Path, plan: ShardPlan) -> None:
    events: list[Progress] = []
    record = write_shard(plan, job(tmp_path, failing_sample), events.append)
    assert [(failure.source, failure.reason) for failure in record.failures] == [
        ("mug/train/mug_0002.off", "mug/train/mug_0002.off: no faces after cleaning")
    ]
    assert record.count == 9
    assert sum(events, Progress()) == Progress(num_samples=9, num_views=27, num_failures=1)


def test_known_failures_are_recorded_in_order_without_a_try(tmp_path: Path, plan: ShardPlan) -> None:
    known = {plan.sources[5].relative: f"{plan.sources[5].path}: killed\nits worker"}
    begun: list[int] = []
    events: list[Progress] = []
    record = write_shard(plan, job(tmp_path, failing_sample), events.append, known, begun.append)
    failed = plan.sources.index(next(source for source in plan.sources if source.key.endswith("2")))
    assert failed > 5
    assert [(failure.source, failure.reason) for failure in record.failures] == [
        (plan.sources[5].relative, f"{plan.sources[5].relative}: killed its worker"),
        (plan.sources[failed].relative, f"{plan.sources[failed].relative}: no faces after cleaning"),
    ]
    assert begun == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert sum(events, Progress()) == Progress(num_samples=8, num_views=24, num_failures=2)


def test_all_failed_leaves_an_empty_tar(tmp_path: Path, plan: ShardPlan) -> None:
    record = write_shard(plan, job(tmp_path, bad_sample))
    assert (record.count, len(record.failures), record.failures[0].reason) == (0, 10, "SourceError")
    with tarfile.open(tmp_path / "train-000000.tar") as tar:
        assert tar.getmembers() == []


def test_a_bug_propagates_and_leaves_nothing(tmp_path: Path, plan: ShardPlan) -> None:
    with pytest.raises(ZeroDivisionError):
        write_shard(plan, job(tmp_path, buggy_sample))
    assert contents(tmp_path) == {}


def test_the_callables_own_oserror_is_a_bug_too(tmp_path: Path, plan: ShardPlan) -> None:
    def missing(source: Source) -> Sample:
        raise FileNotFoundError(source.path)

    with pytest.raises(FileNotFoundError):
        write_shard(plan, job(tmp_path, missing))


def test_interrupt_leaves_nothing(tmp_path: Path, plan: ShardPlan) -> None:
    def interrupted(source: Source) -> Sample:
        if source is plan.sources[4]:
            raise KeyboardInterrupt
        return make_sample(source)

    with pytest.raises(KeyboardInterrupt):
        write_shard(plan, job(tmp_path, interrupted))
    assert contents(tmp_path) == {}


def test_another_sources_sample_is_refused(tmp_path: Path, plan: ShardPlan) -> None:
    with pytest.raises(ShardError, match="the sample says"):
        write_shard(plan, job(tmp_path, lambda source: make_sample(plan.sources[0])))


def test_an_earlier_record_never_describes_a_new_tar(
    tmp_path: Path, plan: ShardPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(plan, job(tmp_path, failing_sample))

    def refuse(*_: object) -> None:
        raise ShardError("stopped between tar and record")

    monkeypatch.setattr("shards.writer.encode_record", refuse)
    with pytest.raises(ShardError, match="stopped"):
        write_shard(plan, job(tmp_path))
    assert list(contents(tmp_path)) == ["train-000000.idx", "train-000000.tar"]


def test_disk_full_simulated(tmp_path: Path, plan: ShardPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ShardError, match=r"No space left on device.*--resume"):
        write_shard(plan, job(tmp_path))
    assert contents(tmp_path) == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_disk_full(small_disk: Path) -> None:
    first, second = plan_shards(make_sources(20, 0), 10)
    small = ShardPlan(first.name, first.split, first.sources[:2])
    write_shard(small, job(small_disk))
    before = contents(small_disk)
    with pytest.raises(ShardError, match="No space left on device") as caught:
        write_shard(second, job(small_disk))
    assert "\n" not in str(caught.value)
    assert contents(small_disk) == before


def test_equal_samples_give_equal_bytes(tmp_path: Path, plan: ShardPlan) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        write_shard(plan, job(tmp_path / name))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_tar_is_the_tar_writers(tmp_path: Path, plan: ShardPlan) -> None:
    record = write_shard(plan, job(tmp_path))
    with (tmp_path / "other.tar").open("wb") as stream:
        tar = TarWriter(stream)
        for source in plan.sources:
            tar.add(pack_sample(make_sample(source)))
        tar.finish()
    assert tar.sha256 == record.sha256


def test_a_packed_sample_is_stored_as_it_is(tmp_path: Path, plan: ShardPlan) -> None:
    record = write_shard(plan, job(tmp_path, lambda source: pack_sample(make_sample(source))))
    (tmp_path / "other").mkdir()
    assert write_shard(plan, job(tmp_path / "other")) == record


def test_the_index_leads_to_every_member(tmp_path: Path, plan: ShardPlan) -> None:
    write_shard(plan, job(tmp_path))
    data = (tmp_path / "train-000000.tar").read_bytes()
    index = decode_index((tmp_path / "train-000000.idx").read_bytes(), "idx")
    assert [sample.key for sample in index] == [source.key for source in plan.sources]
    for sample, source in zip(index, plan.sources, strict=True):
        found = [
            (member_name(sample.key, field), data[span.offset : span.offset + span.num_bytes], span.crc32)
            for field, span in sample.members.items()
        ]
        members = pack_sample(make_sample(source)).members
        assert found == [(name, content, zlib.crc32(content)) for name, content in members]
