import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.engines.engine import ENGINES, run_local
from shards.engines.environment import THREAD_VARIABLES
from shards.engines.options import EngineOptions
from shards.errors import ShardError
from shards.plan import ShardPlan, Source, plan_shards
from shards.progress import Progress
from shards.schema import Sample
from shards.stores.store import open_store
from shards.writer import ShardJob
from tests.shards.synthetic import SourceError, buggy_sample, contents, failing_sample, make_sample, make_sources

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plans() -> list[ShardPlan]:
    return plan_shards(make_sources(12, 4), 4)


def single_threaded(source: Source) -> Sample:
    if any(os.environ.get(name) != "1" for name in THREAD_VARIABLES):
        raise SourceError("this process may start thread pools")
    return make_sample(source)


class StubbornError(Exception):
    """Cannot be unpickled: it wants two arguments and hands on one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def stubborn(source: Source) -> Sample:
    raise StubbornError("cannot", "travel")


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


def litter(folder: Path) -> list[str]:
    return open_store(folder).unfinished()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("num_workers", [0, 1, 2, 4])
def test_contract(tmp_path: Path, plans: list[ShardPlan], engine: str, num_workers: int) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    (tmp_path / "expected").mkdir()
    (tmp_path / "got").mkdir()
    job = ShardJob(failing_sample, open_store(tmp_path / "expected"), "0", (SourceError,))
    expected = run_local(plans, job, EngineOptions(num_workers=0), lambda _: None)
    events: list[Progress] = []
    job = ShardJob(failing_sample, open_store(tmp_path / "got"), "0", (SourceError,))
    assert ENGINES[engine](plans, job, EngineOptions(num_workers=num_workers), events.append) == expected
    assert contents(tmp_path / "got") == contents(tmp_path / "expected")
    total = sum(events, Progress())
    assert (total.num_samples, total.num_views, total.num_failures, total.num_shards) == (14, 42, 2, 4)
    assert sorted(failure.source for failure in total.failures) == ["mug/test/mug_0902.off", "mug/train/mug_0002.off"]


def test_workers_have_one_thread_and_the_parent_its_environment(
    tmp_path: Path, plans: list[ShardPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before, handlers = dict(os.environ), [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run_local(plans, ShardJob(single_threaded, open_store(tmp_path), "0"), EngineOptions(num_workers=1), lambda _: None)
    assert dict(os.environ) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_bug_in_a_worker_keeps_its_type_and_tells_its_traceback(tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        run_local(
            plans, ShardJob(buggy_sample, open_store(tmp_path), "0"), EngineOptions(num_workers=2), lambda _: None
        )
    assert "in buggy_sample" in caught.value.__notes__[0]
    assert litter(tmp_path) == []


def test_a_bug_that_cannot_travel_is_told(tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(RuntimeError, match="StubbornError: cannot travel") as caught:
        run_local(plans, ShardJob(stubborn, open_store(tmp_path), "0"), EngineOptions(), lambda _: None)
    assert "in stubborn" in caught.value.__notes__[0]


def test_limits_that_nobody_would_watch_are_refused(tmp_path: Path, plans: list[ShardPlan]) -> None:
    for name in ("time_limit", "memory_limit"):
        options = EngineOptions.model_validate({"num_workers": 0, name: 5})
        with pytest.raises(ShardError, match=f"{name} is 5, but only worker processes have limits"):
            run_local(plans, ShardJob(make_sample, open_store(tmp_path), "0"), options, lambda _: None)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_interrupt_leaves_whole_shards_only(tmp_path: Path, num_workers: int) -> None:
    process = start(tmp_path, num_workers, "slow_sample")
    wait_until(lambda: bool(list(tmp_path.glob("t*-*.json"))))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1, errors
    names = set(contents(tmp_path))
    assert litter(tmp_path) == []
    finished = {name[:-5] for name in names if name.endswith(".json")} - {"manifest"}
    assert finished <= {name[:-4] for name in names if name.endswith(".idx")}
    assert finished <= {name[:-4] for name in names if name.endswith(".tar")}
    # multiprocessing's own resource tracker notices a little later that it is alone.
    wait_until(lambda: members_of_group(process.pid) == [])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_termination_is_as_clean_as_an_interrupt(tmp_path: Path, num_workers: int) -> None:
    process = start(tmp_path, num_workers, "slow_sample")
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors
    assert litter(tmp_path) == []
    wait_until(lambda: members_of_group(process.pid) == [])


def test_workers_of_a_killed_parent_end_and_take_their_files_along(tmp_path: Path) -> None:
    process = start(tmp_path, 2, "slow_sample")
    assert len(members_of_group(process.pid)) >= 3
    process.kill()
    process.communicate()
    wait_until(lambda: members_of_group(process.pid) == [])
    assert litter(tmp_path) == []
