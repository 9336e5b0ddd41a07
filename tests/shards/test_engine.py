import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.engine import ENGINES, THREAD_VARIABLES, run_local
from shards.errors import ShardError
from shards.plan import ShardPlan, Source, plan_shards
from shards.progress import Progress
from shards.schema import Sample
from shards.storage import TEMPORARY_FILE
from shards.writer import ShardJob
from tests.shards.synthetic import (
    SourceError,
    buggy_sample,
    contents,
    dying_sample,
    failing_sample,
    make_sample,
    make_sources,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plans() -> list[ShardPlan]:
    return plan_shards(make_sources(12, 4), 4)


def single_threaded(source: Source) -> Sample:
    if any(os.environ.get(name) != "1" for name in THREAD_VARIABLES):
        raise SourceError("this process may start thread pools")
    return make_sample(source)


def start(folder: Path, num_workers: int, name: str) -> subprocess.Popen[str]:
    """A run in its own process group, already past its first sample."""
    command = [sys.executable, "-m", "tests.shards.build_script", str(folder), str(num_workers), name]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    return process


def members_of_group(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(process_group) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_contract(tmp_path: Path, plans: list[ShardPlan], engine: str, num_workers: int) -> None:
    (tmp_path / "expected").mkdir()
    (tmp_path / "got").mkdir()
    expected = run_local(plans, ShardJob(failing_sample, tmp_path / "expected", "0", (SourceError,)), 1, lambda _: None)
    events: list[Progress] = []
    job = ShardJob(failing_sample, tmp_path / "got", "0", (SourceError,))
    assert ENGINES[engine](plans, job, num_workers, events.append) == expected
    assert contents(tmp_path / "got") == contents(tmp_path / "expected")
    total = sum(events, Progress())
    assert (total.num_samples, total.num_views, total.num_failures, total.num_shards) == (14, 42, 2, 4)
    assert sorted(failure.source for failure in total.failures) == ["mug/test/mug_0902.off", "mug/train/mug_0002.off"]


def test_workers_have_one_thread_and_the_parent_its_environment(
    tmp_path: Path, plans: list[ShardPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    run_local(plans, ShardJob(single_threaded, tmp_path, "0"), 2, lambda _: None)
    assert dict(os.environ) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_a_bug_in_a_worker_keeps_its_type(tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_local(plans, ShardJob(buggy_sample, tmp_path, "0"), 2, lambda _: None)
    assert not [name for name in contents(tmp_path) if TEMPORARY_FILE.fullmatch(name)]


def test_a_dead_worker_is_one_clear_error(tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(ShardError, match=r"a worker process died.*--resume"):
        run_local(plans, ShardJob(dying_sample, tmp_path, "0"), 2, lambda _: None)
    assert not [name for name in contents(tmp_path) if TEMPORARY_FILE.fullmatch(name)]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_interrupt_leaves_whole_shards_only(tmp_path: Path, num_workers: int) -> None:
    process = start(tmp_path, num_workers, "slow_sample")
    wait_until(lambda: bool(list(tmp_path.glob("t*-*.json"))))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1, errors
    names = set(contents(tmp_path))
    assert not [name for name in names if TEMPORARY_FILE.fullmatch(name)]
    assert {name[:-5] for name in names if name.endswith(".json")} - {"manifest"} == {
        name[:-4] for name in names if name.endswith(".tar")
    }
    # multiprocessing's own resource tracker notices a little later that it is alone.
    wait_until(lambda: members_of_group(process.pid) == [])


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    process = start(tmp_path, 2, "slow_sample")
    assert len(members_of_group(process.pid)) >= 3
    process.kill()
    process.communicate()
    wait_until(lambda: members_of_group(process.pid) == [])
