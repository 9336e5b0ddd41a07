"""What becomes of a set whose run is killed, as a whole or a worker of it, and of sources that fail at first."""

import itertools
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shards.build import BuildOptions, BuildReport, build_shards
from shards.upkeep.verify import verify_set
from shards.writer import MakeSample
from tests.shards.build_script import CONFIG, FailsOnce
from tests.shards.killed_runs import (
    AT_FILES,
    AT_SAMPLES,
    Left,
    Reference,
    Run,
    is_working,
    kill_a_worker,
    kill_after,
    killed_at_step,
    unbroken,
)
from tests.shards.synthetic import SourceError, contents, failing_sample, make_sample, make_sources


@pytest.fixture(scope="module")
def at_samples(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return unbroken(tmp_path_factory.mktemp("at samples"), AT_SAMPLES)


def check_kills(place: Path, run: Run, reference: Reference, num_kills: int) -> str:
    """Kills so many runs at random moments of their time, each from the start, and goes on; returns what was found."""
    luck, left, num_runs = random.Random(num_kills), Left(), 0
    while left.num_seen < num_kills:
        num_runs += 1
        assert num_runs < 10 * num_kills, "they end before they can be killed"
        folder, fraction = place / str(num_runs), luck.uniform(0.3, 0.95)
        if kill_after(run.start(folder), fraction * reference.seconds):
            left.look(folder)
        run.finish(folder)
        assert contents(folder) == reference.files, f"killed at {fraction:.3f} of its time"
        assert verify_set(folder).findings == ()
        shutil.rmtree(folder)
    return f"{num_kills} of {num_runs} runs of {reference.seconds:.1f} s killed; left: {dict(left.found)}"


def check_worker_kills(place: Path, run: Run, reference: Reference, num_kills: int) -> str:
    """Kills one worker of so many runs at random moments of their time; the runs go on by themselves."""
    luck, num_killed, num_runs = random.Random(num_kills), 0, 0
    while num_killed < num_kills:
        num_runs += 1
        assert num_runs < 10 * num_kills, "they end before they can be killed"
        folder, fraction = place / str(num_runs), luck.uniform(0.4, 0.95)
        process = run.start(folder)
        time.sleep(fraction * reference.seconds)
        num_killed += kill_a_worker(process, luck)
        assert process.wait(60) == 0
        assert contents(folder) == reference.files, f"worker killed at {fraction:.3f} of the run's time"
        shutil.rmtree(folder)
    return f"a worker killed in {num_kills} of {num_runs} runs of {reference.seconds:.1f} s"


def test_a_killed_run_is_gone_on_with(tmp_path: Path, at_samples: Reference) -> None:
    check_kills(tmp_path, AT_SAMPLES, at_samples, 3)


def test_a_killed_worker_costs_nothing(tmp_path: Path, at_samples: Reference) -> None:
    check_worker_kills(tmp_path, AT_SAMPLES, at_samples, 1)


@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_run_killed_at_every_step_of_its_writing(tmp_path: Path, retry_failed: bool) -> None:
    run, left = Run("make_sample", 4, 4), Left()  # three shards; a source of two of them fails
    run.finish(tmp_path / "expected")
    expected = contents(tmp_path / "expected")
    first = BuildOptions(samples_per_shard=4, num_workers=0)
    sources = make_sources(4, 8)
    build_shards(sources, failing_sample, tmp_path / "failed", CONFIG, first, failure_types=(SourceError,))
    for step in itertools.count():
        folder = tmp_path / f"set {step}"
        if retry_failed:
            shutil.copytree(tmp_path / "failed", folder)
        if not killed_at_step(step, folder, lambda: run.finish(folder, retry_failed=retry_failed)):  # noqa: B023
            break
        left.look(folder)
        run.finish(folder, retry_failed=retry_failed)
        assert contents(folder) == expected, f"killed at step {step}"
    assert contents(folder) == expected
    # A retry keeps the old index till the new one is there.
    assert all(left.found[state] for state in ("drafts", "tar and index, no record", "tar alone")[: 3 - retry_failed])


@pytest.mark.slow
@pytest.mark.parametrize("run", [AT_SAMPLES, AT_FILES], ids=["at_samples", "at_files"])
def test_runs_killed_at_25_random_moments_each(tmp_path: Path, run: Run) -> None:
    print(check_kills(tmp_path, run, unbroken(tmp_path / "expected", run), 25))


@pytest.mark.slow
@pytest.mark.parametrize("run", [AT_SAMPLES, AT_FILES], ids=["at_samples", "at_files"])
def test_workers_killed_at_20_random_moments_each(tmp_path: Path, run: Run) -> None:
    print(check_worker_kills(tmp_path, run, unbroken(tmp_path / "expected", run), 20))


@pytest.mark.slow
def test_a_run_killed_over_and_over_comes_to_its_end(tmp_path: Path) -> None:
    luck, left = random.Random(0), Left()
    reference = unbroken(tmp_path / "expected", AT_FILES)
    process = AT_FILES.start(tmp_path / "set")
    while is_working(process) and kill_after(process, luck.uniform(0, 0.2)):
        left.look(tmp_path / "set")
        assert left.num_seen < 200
        process = AT_FILES.start(tmp_path / "set")
    assert contents(tmp_path / "set") == reference.files
    print(f"{left.num_seen} kills in one set; left: {dict(left.found)}")


def failing_first(marks: Path, folder: Path, make: MakeSample | None = None, **options: Any) -> BuildReport:
    """A build of 34 sources in 5 shards, of which 4 sources fail at their first try."""
    marks.mkdir(exist_ok=True)
    options = {"samples_per_shard": 6, "num_workers": 2, **options}
    make_sample_of = make or FailsOnce(marks)
    return build_shards(
        make_sources(26, 8), make_sample_of, folder, CONFIG, BuildOptions(**options), failure_types=(SourceError,)
    )


def tries(marks: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in marks.iterdir()}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_retried_sources_alone_are_made_again(tmp_path: Path, num_workers: int) -> None:
    marks, folder = tmp_path / "marks", tmp_path / "set"
    failing_first(marks, tmp_path / "never failed", make_sample)
    expected = contents(tmp_path / "never failed")
    assert len(failing_first(marks, folder, num_workers=num_workers).failures) == 4
    assert set(tries(marks).values()) == {1}
    assert len(failing_first(marks, folder, num_workers=num_workers, resume=True).failures) == 4
    assert set(tries(marks).values()) == {1}  # a plain resume leaves them alone
    report = failing_first(marks, folder, num_workers=num_workers, retry_failed=True)
    assert report.failures == ()
    assert {key for key, count in tries(marks).items() if count == 2} == {key for key in tries(marks) if key[-1] == "2"}
    assert set(tries(marks).values()) == {1, 2}
    assert contents(folder) == expected


@pytest.mark.slow
def test_retries_killed_at_20_random_moments(tmp_path: Path) -> None:
    marks, luck, left = tmp_path / "marks", random.Random(2), Left()
    options = ("--marks", str(marks))
    marks.mkdir()
    expected = unbroken(tmp_path / "expected", AT_FILES)
    failed = unbroken(tmp_path / "failed", replace(AT_FILES, options=options))
    again = replace(AT_FILES, options=(*options, "--retry-failed"))
    shutil.copytree(tmp_path / "failed", tmp_path / "retried")
    retried = unbroken(tmp_path / "retried", again)
    assert failed.files != expected.files == retried.files
    folder = tmp_path / "set"
    while left.num_seen < 20:
        shutil.copytree(tmp_path / "failed", folder)
        process = again.start(folder)
        if is_working(process) and kill_after(process, luck.uniform(0, 0.5)):
            left.look(folder)
        assert again.start(folder).wait() == 0
        assert contents(folder) == expected.files
        shutil.rmtree(folder)
    print(f"20 retries killed; left: {dict(left.found)}")
