"""The engine ray on two nodes of this machine: the bytes of the local engine, whatever dies."""

import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shards.build import BuildOptions, build_shards
from shards.engines import ray_engine
from shards.engines.engine import check_engine, run_local, run_ray
from shards.engines.options import EngineOptions
from shards.engines.ray_worker import Landmarks, check_sight
from shards.engines.signals import held_back
from shards.engines.supervisor import Supervisor
from shards.errors import ShardError
from shards.plan import ShardPlan, plan_shards
from shards.progress import Progress
from shards.record import MANIFEST_NAME, ShardRecord
from shards.stores.local_store import LocalStore
from shards.stores.store import open_store
from shards.writer import MakeSample, ShardJob
from tests.shards.killers import Killer, Unloadable, be_killed, hang, segfault
from tests.shards.ray_callables import KillsParent, NotesProcess, Noting, OwnFolder
from tests.shards.ray_cluster import add_node, raylet_of, two_nodes
from tests.shards.ray_script import CONFIG, NUM_SOURCES
from tests.shards.synthetic import SourceError, buggy_sample, contents, make_sample, make_sources
from tests.shards.test_engine import ROOT, litter, wait_until

pytest.importorskip("ray", reason="needs ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a CPU each."""
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@pytest.fixture
def plans() -> list[ShardPlan]:
    """Three shards of four: the numbers 0 9 7 5, 3 1 10 8 and 6 4 2 11."""
    return plan_shards(make_sources(12, 0), 4)


def run(
    cluster: Any, plans: list[ShardPlan], folder: Path, callable_: MakeSample, **options: Any
) -> tuple[list[ShardRecord], Progress]:
    """The records of a run by Ray, and all progress added up."""
    folder.mkdir(exist_ok=True)
    events: list[Progress] = []
    job = ShardJob(callable_, open_store(folder), "0", (SourceError,))
    records = run_ray(plans, job, EngineOptions(address=cluster.address, **options), events.append)
    return records, sum(events, Progress())


def run_here(plans: list[ShardPlan], folder: Path, callable_: MakeSample = make_sample) -> tuple[Any, Progress]:
    """The same in this process."""
    folder.mkdir()
    events: list[Progress] = []
    job = ShardJob(callable_, open_store(folder), "0", (SourceError,))
    records = run_local(plans, job, EngineOptions(num_workers=0), events.append)
    return records, sum(events, Progress())


def test_two_nodes_write_what_one_process_writes(
    cluster: Any, tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default with a worker for each CPU, that is on each node; a relative folder is one of the driver's."""
    monkeypatch.chdir(tmp_path)
    (marks / "wait").touch()
    before, sources, events = dict(os.environ), make_sources(*NUM_SOURCES), list[Progress]()
    here, there = (
        BuildOptions(samples_per_shard=6, num_workers=0),
        BuildOptions(samples_per_shard=6, engine="ray", address=cluster.address),
    )
    expected = build_shards(sources, make_sample, "here", CONFIG, here)
    assert build_shards(sources, Noting(marks, 2), "there", CONFIG, there, events.append) == expected
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert len(list(marks.iterdir())) == 3
    total = sum(events, Progress())
    assert (total.num_samples, total.num_views, total.num_failures, total.num_shards) == (48, 144, 0, 9)
    assert dict(os.environ) == before


def test_a_worker_that_is_killed_costs_its_shard_only(
    cluster: Any, tmp_path: Path, marks: Path, plans: list[ShardPlan], caplog: pytest.LogCaptureFixture
) -> None:
    expected, expected_total = run_here(plans, tmp_path / "here")
    records, total = run(cluster, plans, tmp_path / "there", KillsParent("0010", marks))
    assert (marks / "killed").exists()
    assert caplog.messages[0].startswith(
        "1 worker(s) lost; the last one lost: The actor is dead because its worker process has died;"
    )
    assert records == expected
    assert total == expected_total
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_sources_that_kill_are_recorded_as_by_the_engine_local(
    cluster: Any, tmp_path: Path, plans: list[ShardPlan]
) -> None:
    reasons = {
        "chair/train/chair_0009.off": "killed its worker twice (SIGSEGV)",
        "lamp/train/lamp_0007.off": "killed its worker twice (SIGKILL, as when memory runs out)",
        "lamp/train/lamp_0004.off": "outlasted the time limit of 1 s twice",
    }
    told = {name: f"{name}: {reason}" for name, reason in reasons.items()}
    expected, expected_total = run_here(plans, tmp_path / "here", Killer(told=told))
    killer = Killer({"0009": segfault, "0007": be_killed, "0004": hang})
    records, total = run(cluster, plans, tmp_path / "there", killer, time_limit=1)
    assert records == expected
    assert (total.num_samples, total.num_failures, total.num_shards) == (9, 3, 3)
    assert total.failures == tuple(failure for record in records for failure in record.failures)
    assert total.num_views == expected_total.num_views
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_bug_keeps_its_type_and_tells_its_traceback(cluster: Any, tmp_path: Path, plans: list[ShardPlan]) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        run(cluster, plans, tmp_path, buggy_sample)
    assert "in buggy_sample" in "".join(caught.value.__notes__)
    assert litter(tmp_path) == []


def test_what_the_callers_progress_raises_ends_the_run(cluster: Any, tmp_path: Path, plans: list[ShardPlan]) -> None:
    def refuse(progress: Progress) -> None:
        raise ShardError("enough")

    job = ShardJob(make_sample, open_store(tmp_path), "0")
    with pytest.raises(ShardError, match=r"^enough$"):
        run_ray(plans, job, EngineOptions(address=cluster.address), refuse)
    assert litter(tmp_path) == []


def test_a_shard_whose_workers_are_lost_each_time_ends_the_run(
    cluster: Any, tmp_path: Path, plans: list[ShardPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "MAX_LOSSES", 2)
    with pytest.raises(
        ShardError, match=r"train-000001: 2 workers were lost while they wrote this shard; the last one"
    ):
        run(cluster, plans, tmp_path, KillsParent("0010"))
    wait_until(lambda: litter(tmp_path) == [])


def test_workers_that_never_get_ready_end_the_run(
    cluster: Any, tmp_path: Path, plans: list[ShardPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "MAX_LOSSES", 1)
    with pytest.raises(
        ShardError, match=r"workers were lost before any was ready: the last one lost: The actor is dead"
    ):
        run(cluster, plans, tmp_path, Unloadable(), num_workers=1)
    assert contents(tmp_path) == {}


def test_a_callable_that_workers_cannot_import_is_told(
    cluster: Any, tmp_path: Path, plans: list[ShardPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("only_here")
    exec("def make(source): ...", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(
        ShardError, match=r"cannot be loaded \(ModuleNotFoundError: No module named 'only_here'\).*on node"
    ):
        run(cluster, plans, tmp_path, module.make)


def test_without_a_free_worker_the_run_warns_and_ends(
    cluster: Any,
    tmp_path: Path,
    plans: list[ShardPlan],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ray_engine, "WARN_SECONDS", 0.5)
    monkeypatch.setattr(ray_engine, "PATIENCE_SECONDS", 2.0)
    with pytest.raises(
        ShardError, match=r"each takes 1 CPU and 0\.5 GPU, .* has 2 of 2 CPUs, 0 of 0 GPUs free; .*--resume"
    ):
        run(cluster, plans, tmp_path, make_sample, gpus_per_worker=0.5)
    assert len([line for line in caplog.messages if line.endswith("; waiting")]) == 1


def test_a_ray_that_the_caller_has_started_is_used_and_left_running(
    cluster: Any, tmp_path: Path, plans: list[ShardPlan]
) -> None:
    import ray

    with held_back(signal.SIGTERM):  # Ray sets a handler and leaves it
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        run_ray(plans, ShardJob(make_sample, open_store(tmp_path), "0"), EngineOptions(), lambda _: None)
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_a_folder_that_nodes_do_not_share_is_told(cluster: Any, tmp_path: Path, plans: list[ShardPlan]) -> None:
    (tmp_path / MANIFEST_NAME).write_text("this run's")
    job = ShardJob(make_sample, OwnFolder(tmp_path), "0")
    with pytest.raises(
        ShardError, match=r"manifest\.json: not there, .* a URL such as s3://.* \(on node 127\.0\.0\.1\)"
    ):
        run_ray(plans, job, EngineOptions(address=cluster.address), lambda _: None)


def test_what_a_node_must_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "chair.off").touch()
    check_sight(store, Landmarks(None, str(tmp_path / "chair.off")))
    with pytest.raises(ShardError, match=r"lamp\.off: not there, though the machine that leads the run has it"):
        check_sight(store, Landmarks(None, str(tmp_path / "lamp.off")))
    (tmp_path / MANIFEST_NAME).write_bytes(b"of an earlier run")
    monkeypatch.setattr("shards.engines.ray_worker.SIGHT_SECONDS", 0.05)
    with pytest.raises(ShardError, match="not there, or not the one of this run"):
        check_sight(store, Landmarks(b"of this run", None))


def test_a_supervisor_keeps_its_process_between_two_runs(tmp_path: Path, marks: Path, plans: list[ShardPlan]) -> None:
    job = ShardJob(NotesProcess(marks), open_store(tmp_path), "0")
    with Supervisor(job, EngineOptions(num_workers=1), lambda _: None) as supervisor:
        records = [supervisor.run([plan])[0] for plan in plans]
    assert [record.name for record in records] == [plan.name for plan in plans]
    (mark,) = marks.iterdir()
    assert not Path(f"/proc/{mark.name}").exists()


@pytest.mark.parametrize("engine", ["ray", "local"])
def test_what_cannot_be_used_is_told_before_a_file_is_touched(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_engine(engine, EngineOptions(num_workers=2))
    with pytest.raises(ShardError, match="engine 'spark' is unknown; known are local, ray"):
        check_engine("spark", EngineOptions())
    cases = {
        "ray": {
            "ray://head:10001": "only a machine of the cluster can lead a run",
            "head": "name host:port of the cluster's head",
            "head:0": "name host:port of the cluster's head",
        },
        "local": {"head:6379": "address is head:6379, which is for the engine ray; this is local"},
    }
    for address, message in cases[engine].items():
        with pytest.raises(ShardError, match=message):
            check_engine(engine, EngineOptions(address=address))
    monkeypatch.setitem(sys.modules, "ray", None)
    if engine == "ray":
        with pytest.raises(ShardError, match=r"^engine ray needs ray: pip install 'tap3d\[ray\]'$"):
            check_engine(engine, EngineOptions())
    else:
        check_engine(engine, EngineOptions())


def test_where_nothing_answers(tmp_path: Path, plans: list[ShardPlan]) -> None:
    job = ShardJob(make_sample, open_store(tmp_path), "0")
    with pytest.raises(ShardError, match=r"nothing answers at 127\.0\.0\.1:9 \(Connection refused\)"):
        run_ray(plans, job, EngineOptions(address="127.0.0.1:9"), lambda _: None)
    with pytest.raises(ShardError, match="nothing answers"):
        build_shards(
            make_sources(), make_sample, tmp_path / "set", CONFIG, BuildOptions(engine="ray", address="127.0.0.1:9")
        )
    assert not (tmp_path / "set").exists()


def tagged(tag: str) -> list[int]:
    """Living processes whose environment holds the text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if tag.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended while we looked, or is not ours
    return found


@pytest.mark.parametrize(
    ("number", "code", "is_joined"),
    [
        (signal.SIGINT, -signal.SIGINT, False),
        (signal.SIGTERM, 143, True),
        pytest.param(signal.SIGINT, -signal.SIGINT, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, False, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_stopped_leaves_whole_shards_and_no_process(
    cluster: Any, tmp_path: Path, number: signal.Signals, code: int, is_joined: bool
) -> None:
    """With a Ray of its own, of which nothing may stay, and in a cluster, whose nodes stay and whose workers end."""
    command = [sys.executable, "-m", "tests.shards.ray_script", str(tmp_path / "set")]
    command += [cluster.address] if is_joined else []
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TAG": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert errors.count("Traceback") == (number == signal.SIGINT), errors
    wait_until(lambda: tagged(str(tmp_path)) == [], 20)
    # By SIGKILL of the driver Ray may end the writing process as well; its draft then goes with the resume.
    if number != signal.SIGKILL:
        wait_until(lambda: litter(tmp_path / "set") == [], 20)
    options = BuildOptions(samples_per_shard=6, num_workers=0)
    build_shards(make_sources(*NUM_SOURCES), make_sample, tmp_path / "expected", CONFIG, options)
    before = len(list((tmp_path / "set").glob("t*-*.json")))
    report = build_shards(
        make_sources(*NUM_SOURCES), make_sample, tmp_path / "set", CONFIG, options.model_copy(update={"resume": True})
    )
    assert before <= report.num_skipped < 9
    assert contents(tmp_path / "set") == contents(tmp_path / "expected")


def test_a_node_that_joins_gets_work_and_one_that_is_lost_costs_its_shards_only(
    cluster: Any, tmp_path: Path, marks: Path
) -> None:
    """The last test of the file: for some seconds Ray may still give work to a node that is gone."""
    plans = plan_shards(make_sources(60, 0), 6)
    joined: list[Any] = []
    lost: list[str] = []

    def on_progress(progress: Progress) -> None:
        if not joined:
            (marks / "wait").touch()
            joined.append(add_node(cluster))
        elif not lost and (marks / raylet_of(joined[0])).exists():  # no further sample is finished before
            lost.append(raylet_of(joined[0]))
            cluster.remove_node(joined[0], allow_graceful=False)

    expected, _ = run_here(plans, tmp_path / "here")
    (tmp_path / "there").mkdir()
    job = ShardJob(Noting(marks, 3), open_store(tmp_path / "there"), "0")
    options = EngineOptions(address=cluster.address, num_workers=3)
    assert run_ray(plans, job, options, on_progress) == expected
    assert lost
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
