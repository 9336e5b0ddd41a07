import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from shards.build import BuildOptions, BuildReport, build_shards
from shards.errors import ShardError
from shards.plan import Source
from shards.progress import Progress
from shards.schema import Sample
from tests.shards.synthetic import SourceError, contents, failing_sample, make_sample, make_sources
from tests.shards.test_engine import start

CONFIG: dict[str, Any] = {"rig": {"name": "mvcnn12", "elevation": 30}, "points": 20}


def build(folder: Path, config: dict[str, Any] = CONFIG, **options: Any) -> BuildReport:
    return build_shards(
        make_sources(),
        failing_sample,
        folder,
        config,
        BuildOptions(**{"samples_per_shard": 4, "num_workers": 0, **options}),
        failure_types=(SourceError,),
    )


def never(source: Source) -> Sample:
    raise AssertionError(f"{source.key} is done already")


def test_a_whole_set(tmp_path: Path) -> None:
    report = build(tmp_path / "new" / "set")
    assert (report.num_samples, report.num_written, report.num_skipped, report.flags) == (11, 4, 0, {"open": 3})
    assert [failure.source for failure in report.failures] == ["mug/test/mug_0902.off", "mug/train/mug_0002.off"]
    manifest = json.loads((tmp_path / "new" / "set" / "manifest.json").read_text())
    assert manifest["config"] == {**CONFIG, "samples_per_shard": 4}
    assert manifest["classes"] == {"chair": 0, "lamp": 1, "mug": 2}
    assert [(entry["name"], entry["count"], entry["num_failures"]) for entry in manifest["shards"]] == [
        ("test-000000", 2, 1),
        ("train-000000", 4, 0),
        ("train-000001", 2, 1),
        ("train-000002", 3, 0),
    ]
    assert report.num_bytes == sum(path.stat().st_size for path in (tmp_path / "new" / "set").glob("*.tar"))


def test_equal_bytes_for_any_number_of_workers_and_order_of_sources(tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two", num_workers=2)
    options = BuildOptions(samples_per_shard=4, num_workers=0)
    build_shards(
        make_sources()[::-1], failing_sample, tmp_path / "three", CONFIG, options, failure_types=(SourceError,)
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_a_finished_set_is_not_touched_unasked(tmp_path: Path) -> None:
    build(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ShardError, match=r"--resume.*--overwrite"):
        build(tmp_path)
    with pytest.raises(ShardError, match="choose one"):
        build(tmp_path, resume=True, overwrite=True)
    assert contents(tmp_path) == before


def test_resume_of_a_finished_set_does_nothing(tmp_path: Path) -> None:
    first = build(tmp_path)
    before = contents(tmp_path)
    events: list[Progress] = []
    options = BuildOptions(samples_per_shard=4, num_workers=0, resume=True)
    report = build_shards(make_sources(), never, tmp_path, CONFIG, options, events.append)
    assert (report.num_written, report.num_skipped) == (0, 4)
    assert (report.num_samples, report.failures, report.flags) == (first.num_samples, first.failures, first.flags)
    assert events == [Progress(num_skipped=13)]
    assert contents(tmp_path) == before


def test_resume_redoes_exactly_what_no_record_proves(tmp_path: Path) -> None:
    build(tmp_path)
    before = contents(tmp_path)
    tar = tmp_path / "train-000000.tar"
    for harm in (
        lambda: tar.write_bytes(before[tar.name][:-512]),  # truncated
        lambda: tar.unlink(),
        lambda: tar.with_suffix(".idx").unlink(),
        lambda: tar.with_suffix(".json").unlink(),
        lambda: tar.with_suffix(".json").write_text("{"),
        lambda: (tmp_path / ".train-000000.tar.tmp-1").write_bytes(b"litter"),
    ):
        harm()
        report = build(tmp_path, resume=True)
        assert report.num_written == (0 if tar.read_bytes() == before[tar.name] and report.num_skipped == 4 else 1)
        assert contents(tmp_path) == before


def test_resume_refuses_another_config(tmp_path: Path) -> None:
    build(tmp_path)
    before = contents(tmp_path)
    other = {"rig": {"name": "mvcnn12", "elevation": 45}, "points": 20}
    with pytest.raises(ShardError, match=r"rig\.elevation = 30, now it is 45"):
        build(tmp_path, other, resume=True)
    with pytest.raises(ShardError, match=r"extra = nothing, now it is 1"):
        build(tmp_path, {**CONFIG, "extra": 1}, resume=True)
    with pytest.raises(ShardError, match=r"samples_per_shard = 4, now it is 5"):
        build(tmp_path, resume=True, samples_per_shard=5)
    assert contents(tmp_path) == before


def test_resume_refuses_other_sources(tmp_path: Path) -> None:
    build(tmp_path)
    options = BuildOptions(samples_per_shard=4, num_workers=0, resume=True)
    with pytest.raises(ShardError, match="not planned for these sources"):
        build_shards(make_sources(8), make_sample, tmp_path, CONFIG, options)
    with pytest.raises(ShardError, match=r"classes have changed \(chair\)"):
        build_shards(make_sources()[2::3], make_sample, tmp_path, CONFIG, options)


def test_resume_after_a_source_was_exchanged_redoes_its_shard(tmp_path: Path) -> None:
    build(tmp_path)
    sources = make_sources()
    old = sources[4]
    sources[4] = Source(old.path, old.relative.replace("_0004", "_0004b"), old.category, old.split, f"{old.key}b")
    options = BuildOptions(samples_per_shard=4, num_workers=0, resume=True)
    report = build_shards(sources, failing_sample, tmp_path, CONFIG, options, failure_types=(SourceError,))
    assert report.num_written == 1


def test_without_a_manifest_the_records_tell_the_config(tmp_path: Path) -> None:
    build(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ShardError, match=r"no manifest\.json that tells their config"):
        build(tmp_path, {**CONFIG, "points": 21}, resume=True)
    assert build(tmp_path, resume=True).num_written == 0
    assert contents(tmp_path) == before
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "train-000000.json").write_text("{")
    assert build(tmp_path, resume=True).num_written == 1
    assert contents(tmp_path) == before
    for name in before:
        if name.endswith(".json"):
            (tmp_path / name).unlink()
    with pytest.raises(ShardError, match=r"no manifest\.json that tells their config"):
        build(tmp_path, resume=True)
    assert build(tmp_path, overwrite=True).num_written == 4


def test_failed_sources_are_tried_again_and_nothing_else_is_made(tmp_path: Path) -> None:
    options = BuildOptions(samples_per_shard=4, num_workers=0)
    build_shards(make_sources(), make_sample, tmp_path / "whole", CONFIG, options)
    folder = tmp_path / "set"
    assert len(build(folder).failures) == 2
    made: list[str] = []

    def noting(source: Source) -> Sample:
        made.append(source.key)
        return make_sample(source)

    retry = BuildOptions(samples_per_shard=4, num_workers=0, retry_failed=True)
    report = build_shards(make_sources(), noting, folder, CONFIG, retry)
    assert sorted(made) == ["mug-test-mug_0902", "mug-train-mug_0002"]
    assert (report.num_written, report.num_skipped, report.failures) == (2, 2, ())
    assert contents(folder) == contents(tmp_path / "whole")
    assert build_shards(make_sources(), never, folder, CONFIG, retry).num_written == 0


def test_what_fails_again_stays_recorded(tmp_path: Path) -> None:
    build(tmp_path)
    before = contents(tmp_path)
    report = build(tmp_path, retry_failed=True)
    assert (report.num_written, len(report.failures)) == (2, 2)
    assert contents(tmp_path) == before


def test_overwrite_removes_a_set_and_nothing_else(tmp_path: Path) -> None:
    build(tmp_path, samples_per_shard=1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "photos.tar").write_text("mine")
    (tmp_path / ".train-000000.tar.tmp-77").write_text("litter")
    build(tmp_path, overwrite=True)
    names = set(contents(tmp_path))
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "photos.tar").unlink()
    build(tmp_path.with_name("fresh"))
    assert names - {"notes.txt", "photos.tar"} == set(contents(tmp_path.with_name("fresh")))
    assert contents(tmp_path) == contents(tmp_path.with_name("fresh"))


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no sources"):
        build_shards([], make_sample, tmp_path / "a", {})
    with pytest.raises(ShardError, match="engine 'cluster' is unknown; known are local"):
        build(tmp_path / "b", engine="cluster")
    with pytest.raises(ShardError, match="JSON"):
        build(tmp_path / "c", {"rig": object()})
    with pytest.raises(ShardError, match="samples_per_shard 9, options 4"):
        build(tmp_path / "d", {"samples_per_shard": 9})
    assert list(tmp_path.iterdir()) == []


def test_max_failures_keeps_what_is_finished(tmp_path: Path) -> None:
    message = (
        "2 of 13 sources failed so far, more than --max-failures 1; the first: mug/test/mug_0902.off: no faces after "
        "cleaning; finished shards are kept"
    )
    events: list[Progress] = []
    with pytest.raises(ShardError) as caught:
        build_shards(
            make_sources(),
            failing_sample,
            tmp_path / "set",
            CONFIG,
            BuildOptions(samples_per_shard=4, num_workers=0, max_failures=1),
            events.append,
            (SourceError,),
        )
    assert str(caught.value) == message
    assert sum(events, Progress()).num_shards == 3
    with pytest.raises(ShardError, match="2 of 13"):  # those of an earlier run count
        build(tmp_path / "set", resume=True, max_failures=1)
    assert build(tmp_path / "set", resume=True, max_failures=2).num_written == 1
    build(tmp_path / "unbroken")
    assert contents(tmp_path / "set") == contents(tmp_path / "unbroken")


def test_max_failures_stops_workers(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="1 of 13 sources failed so far, more than --max-failures 0"):
        build(tmp_path, num_workers=2, max_failures=0)
    assert not list(tmp_path.glob(".*"))
    assert build(tmp_path, resume=True).num_samples == 11


def test_resume_with_other_limits(tmp_path: Path) -> None:
    build(tmp_path, num_workers=1, time_limit=60, memory_limit=8)
    assert build(tmp_path, resume=True, num_workers=1, time_limit=30, max_failures=9).num_written == 0


@pytest.mark.parametrize("num_workers", [1, 2])
def test_killed_and_resumed_gives_the_bytes_of_an_unbroken_run(tmp_path: Path, num_workers: int) -> None:
    sources, options = make_sources(60, 8), BuildOptions(samples_per_shard=6, num_workers=0, resume=True)
    build_shards(sources, make_sample, tmp_path / "unbroken", {"rig": "mvcnn12"}, options)
    folder = tmp_path / "killed"
    delays = random.Random(num_workers)
    for _ in range(2):
        process = start(folder, num_workers, "slow_sample")
        time.sleep(delays.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    killed_at = contents(folder)
    assert "manifest.json" in killed_at
    assert killed_at != contents(tmp_path / "unbroken")
    report = build_shards(sources, make_sample, folder, {"rig": "mvcnn12"}, options)
    assert report.num_samples == 68
    assert contents(folder) == contents(tmp_path / "unbroken")


def test_resume_names_the_key_of_values_that_are_equal_but_not_the_same(tmp_path: Path) -> None:
    sources = make_sources(2, 0)
    options = BuildOptions(num_workers=0, resume=True)
    build_shards(sources, make_sample, tmp_path, {"radius": 1}, options)
    with pytest.raises(ShardError, match=r"radius = 1, now it is 1\.0;"):
        build_shards(sources, make_sample, tmp_path, {"radius": 1.0}, options)
    with pytest.raises(ShardError, match=r"extra = nothing, now it is 'nothing';"):
        build_shards(sources, make_sample, tmp_path, {"radius": 1, "extra": "nothing"}, options)


def test_overwrite_knows_shards_without_a_record_by_the_manifest(tmp_path: Path) -> None:
    sources = make_sources(8, 0)
    build_shards(sources, make_sample, tmp_path, {}, BuildOptions(num_workers=0, samples_per_shard=2))
    (tmp_path / "train-000003.json").write_bytes(b"{")
    build_shards(sources, make_sample, tmp_path, {}, BuildOptions(num_workers=0, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json", "train-000000.idx", "train-000000.json", "train-000000.tar"
    ]  # fmt: skip
