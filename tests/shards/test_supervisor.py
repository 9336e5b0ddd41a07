import os
from pathlib import Path
from typing import Any

import pytest

from shards.engines.engine import run_local
from shards.engines.options import EngineOptions
from shards.errors import ShardError
from shards.plan import ShardPlan, plan_shards
from shards.progress import Progress
from shards.record import ShardRecord
from shards.stores.store import open_store
from shards.writer import MakeSample, ShardJob
from tests.shards.killers import (
    Killer,
    Unloadable,
    ask_for_too_much,
    be_killed,
    fill_memory,
    hang,
    leave,
    segfault,
)
from tests.shards.synthetic import SourceError, contents, make_sources
from tests.shards.test_engine import litter


@pytest.fixture
def plans() -> list[ShardPlan]:
    """Three shards of four: the numbers 0 9 7 5, 3 1 10 8 and 6 4 2 11."""
    return plan_shards(make_sources(12, 0), 4)


def run(
    plans: list[ShardPlan], folder: Path, callable_: MakeSample, **options: Any
) -> tuple[list[ShardRecord], Progress]:
    """The records, and all progress added up."""
    folder.mkdir(exist_ok=True)
    events: list[Progress] = []
    job = ShardJob(callable_, open_store(folder), "0", (SourceError,))
    records = run_local(plans, job, EngineOptions(**options), events.append)
    return records, sum(events, Progress())


def check_same_as_failures(
    plans: list[ShardPlan], folder: Path, killer: Killer, reasons: dict[str, str], **options: Any
) -> None:
    """A run with deaths comes out, byte for byte, as one in this process where those sources fail with these reasons."""
    told = {name: f"{name}: {reason}" for name, reason in reasons.items()}
    expected, expected_total = run(plans, folder / "expected", Killer(told=told), num_workers=0)
    records, total = run(plans, folder / "got", killer, **options)
    assert [failure.reason for record in records for failure in record.failures] == list(told.values())
    assert records == expected
    assert contents(folder / "got") == contents(folder / "expected")
    assert (total.num_samples, total.num_views, total.num_failures, total.num_shards) == (
        expected_total.num_samples,
        expected_total.num_views,
        expected_total.num_failures,
        expected_total.num_shards,
    )


@pytest.mark.parametrize("num_workers", [1, 2])
def test_killers_are_recorded_and_all_else_is_written(tmp_path: Path, plans: list[ShardPlan], num_workers: int) -> None:
    """Two in one shard, one in another."""
    reasons = {
        "chair/train/chair_0009.off": "killed its worker twice (SIGSEGV)",
        "lamp/train/lamp_0007.off": "killed its worker twice (SIGKILL, as when memory runs out)",
        "lamp/train/lamp_0004.off": "ended its worker twice (exit code 3)",
    }
    killer = Killer({"0009": segfault, "0007": be_killed, "0004": leave})
    check_same_as_failures(plans, tmp_path, killer, reasons, num_workers=num_workers)


def test_a_source_that_kills_once_gives_its_sample(tmp_path: Path, plans: list[ShardPlan]) -> None:
    (tmp_path / "marks").mkdir()
    killer = Killer({"0009": segfault, "0007": ask_for_too_much, "0003": be_killed}, tmp_path / "marks")
    check_same_as_failures(plans, tmp_path, killer, {}, num_workers=2)
    assert len(contents(tmp_path / "marks")) == 3


def test_a_suspect_may_turn_out_to_be_bad_in_the_ordinary_way(tmp_path: Path, plans: list[ShardPlan]) -> None:
    (tmp_path / "marks").mkdir()
    name = "chair/train/chair_0009.off"
    killer = Killer({"0009": segfault}, tmp_path / "marks", {name: f"{name}: no faces"})
    check_same_as_failures(plans, tmp_path, killer, {name: "no faces"})


def test_time_limit(tmp_path: Path, plans: list[ShardPlan]) -> None:
    reasons = {"lamp/train/lamp_0007.off": "outlasted the time limit of 0.5 s twice"}
    check_same_as_failures(plans, tmp_path, Killer({"0007": hang}), reasons, num_workers=1, time_limit=0.5)


def test_memory_limit(tmp_path: Path, plans: list[ShardPlan]) -> None:
    reasons = {"lamp/train/lamp_0001.off": "took more than 0.4 GB of memory twice"}
    check_same_as_failures(plans, tmp_path, Killer({"0001": fill_memory}), reasons, num_workers=2, memory_limit=0.4)


def test_an_allocation_that_is_refused(tmp_path: Path, plans: list[ShardPlan]) -> None:
    reasons = {"mug/train/mug_0011.off": "ran out of memory twice"}
    check_same_as_failures(plans, tmp_path, Killer({"0011": ask_for_too_much}), reasons)


def test_a_process_that_cannot_start_ends_the_run(tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(ShardError, match=r"3 worker processes in a row ended outside of any source \(exit code 7\)"):
        run(plans, tmp_path, Unloadable(), num_workers=2)
    assert contents(tmp_path) == {}


def test_a_memory_limit_below_the_program_itself_ends_the_run(tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(ShardError, match=r"in a row ended .*\(took more than 0\.001 GB of memory\)"):
        run(plans, tmp_path, Killer(), memory_limit=0.001)
    assert contents(tmp_path) == {}


def test_what_the_callers_progress_raises_ends_the_workers(tmp_path: Path, plans: list[ShardPlan]) -> None:
    def refuse(progress: Progress) -> None:
        raise ShardError("enough")

    with pytest.raises(ShardError, match="enough"):
        run_local(plans, ShardJob(Killer(), open_store(tmp_path), "0"), EngineOptions(num_workers=2), refuse)
    assert litter(tmp_path) == []
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    assert not [command for command in commands if "spawn_main" in command]
