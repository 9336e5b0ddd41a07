"""Whether cost and memory of a set stay flat from 1,000 to 100,000 sources, when making a sample costs next to nothing.

    python benchmarks/bench_scale.py [--folder FOLDER] [--json OUT]

The callable packs a prepared sample of 16 small members under the source's name; everything else is what `tap render` does:
plan, worker processes, tars with SHA-256 and CRC-32, indexes, records, manifest, fsync of each. Each step runs in a process of
its own, so that its peak of memory is its own: build; `--resume` of the finished set; verify; opening a reader and reading
1,000 random samples whole. Memory of the parent is what it grew by since the imports; a worker's is its whole peak. CPU time is
that of parent and workers together: on a shared machine it is steadier than the clock. `--plan` sources are only listed, given
keys and planned.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stand_in import make_names, make_sources, stand_in

from shards.build import BuildOptions, build_shards
from shards.key import unique_keys
from shards.plan import Source, plan_shards
from shards.progress import Progress
from shards.reader import ShardReader
from shards.record import INDEX, MANIFEST_NAME, RECORD, TAR
from shards.upkeep.verify import verify_set

NUM_READS = 1000
CONFIG = {"rig": "mvcnn12", "stand_in": True}
LOOK_SECONDS = 0.25
"""Time between two looks at the workers' memory."""

ROWS = [(1000, 128, 1), (10_000, 128, 1), (100_000, 128, 1), (100_000, 128, 2), (100_000, 1000, 1)]
"""Sources, samples a shard, workers."""

_KILOBYTE = 1024


def peak_kilobytes(process: int | str = "self") -> int:
    """The most resident memory that a process has had since its exec; rusage's figure would take over its parent's."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


class WorkerMemory:
    """An OnProgress that looks at the workers' peaks."""

    def __init__(self) -> None:
        self.kilobytes = 0
        self._looked_at = 0.0

    def __call__(self, _: Progress) -> None:
        """Looks, if the last look was long enough ago."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        workers = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
        self.kilobytes = max([self.kilobytes, *map(peak_kilobytes, workers)])


def run_build(folder: Path, sources: list[Source], num_workers: int, per_shard: int, resume: bool) -> dict[str, Any]:
    """Builds, or resumes a finished set."""
    memory = WorkerMemory()
    options = BuildOptions(num_workers=num_workers, samples_per_shard=per_shard, resume=resume)
    report = build_shards(sources, stand_in, folder, CONFIG, options, memory)
    assert report.num_samples == len(sources)
    assert bool(report.num_written) != resume
    return {"worker_peak_mb": memory.kilobytes / _KILOBYTE}


def run_verify(folder: Path) -> dict[str, Any]:
    """Reads and judges every byte."""
    assert verify_set(folder, num_threads=1).findings == ()
    return {}


def run_read(folder: Path, num_samples: int) -> dict[str, Any]:
    """Opens a reader, then reads random samples with all their views."""
    begin = time.perf_counter()
    with ShardReader(folder) as reader:
        opened = time.perf_counter()
        for index in random.Random(0).sample(range(num_samples), min(NUM_READS, num_samples)):
            reader.read(index)
    return {"open_seconds": opened - begin, "read_seconds": time.perf_counter() - opened}


def step(name: str, folder: Path, num_sources: int, per_shard: int, num_workers: int) -> dict[str, Any]:
    """One step in this process: seconds, CPU seconds and what the memory grew by."""
    baseline = peak_kilobytes()
    names = make_names(num_sources) if name in ("build", "resume") else []
    sources = make_sources(names, unique_keys(names))
    calls: dict[str, Callable[[], dict[str, Any]]] = {
        "build": lambda: run_build(folder, sources, num_workers, per_shard, resume=False),
        "resume": lambda: run_build(folder, sources, num_workers, per_shard, resume=True),
        "verify": lambda: run_verify(folder),
        "read": lambda: run_read(folder, num_sources),
        "plan": lambda: run_plan(num_sources, per_shard),
    }
    begin, cpu = time.perf_counter(), cpu_seconds()
    found = calls[name]()
    return found | {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": cpu_seconds() - cpu,
        "baseline_mb": baseline / _KILOBYTE,
        "growth_mb": (peak_kilobytes() - baseline) / _KILOBYTE,
    }


def run_plan(num_sources: int, per_shard: int) -> dict[str, Any]:
    """Keys, Source objects, plan and hashes of so many names; nothing is written."""
    names, seconds, at = make_names(num_sources), {}, time.perf_counter()

    def passed(name: str) -> None:
        nonlocal at
        seconds[f"{name}_seconds"] = time.perf_counter() - at
        at = time.perf_counter()

    keys = unique_keys(names)
    passed("unique_keys")
    sources = make_sources(names, keys)
    passed("sources")
    plans = plan_shards(sources, per_shard)
    passed("plan_shards")
    assert len({plan.sources_hash for plan in plans}) == len(plans)
    passed("sources_hash")
    return seconds


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def in_own_process(name: str, folder: Path, *numbers: int) -> dict[str, Any]:
    """The result of a step in a fresh process."""
    command = [sys.executable, __file__, "--step", name, "--folder", folder, "--numbers", *numbers]
    done = subprocess.run(
        list(map(str, command)), check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def file_bytes(folder: Path) -> dict[str, int]:
    """Bytes by kind of file; the manifest is a kind of its own."""
    sizes = {"manifest": (folder / MANIFEST_NAME).stat().st_size, RECORD: 0, INDEX: 0, TAR: 0}
    for path in folder.iterdir():
        if path.name != MANIFEST_NAME:
            sizes[path.suffix] += path.stat().st_size
    return sizes


def measure_row(place: Path, num_sources: int, per_shard: int, num_workers: int) -> dict[str, Any]:
    """All steps of one set, which is removed afterwards."""
    folder, numbers = place / "set", (num_sources, per_shard, num_workers)
    steps = {name: in_own_process(name, folder, *numbers) for name in ("build", "resume", "verify", "read")}
    sizes = file_bytes(folder)
    shutil.rmtree(folder)
    build = steps["build"]
    return {
        "sources": num_sources, "samples_per_shard": per_shard, "workers": num_workers,
        "microseconds_per_sample": 1e6 * build["seconds"] / num_sources,
        "cpu_microseconds_per_sample": 1e6 * build["cpu_seconds"] / num_sources,
        "parent_bytes_per_source": build["growth_mb"] * 2**20 / num_sources,
        "bytes": sizes,
        "index_bytes_per_sample": sizes[INDEX] / num_sources,
        "record_and_index_share": (sizes[INDEX] + sizes[RECORD]) / sum(sizes.values()),
        "steps": steps,
    }  # fmt: skip


def bare_callable(num_calls: int = 2000) -> float:
    """Microseconds of the stand-in alone."""
    names = make_names(num_calls)
    sources = make_sources(names, names)
    stand_in(sources[0])
    begin = time.perf_counter()
    for source in sources:
        stand_in(source)
    return 1e6 * (time.perf_counter() - begin) / num_calls


COLUMNS: dict[str, tuple[str, Callable[[dict[str, Any]], float]]] = {
    " sources": (",", lambda row: row["sources"]),
    "per shard": (",", lambda row: row["samples_per_shard"]),
    "workers": ("", lambda row: row["workers"]),
    "build s": (".2f", lambda row: row["steps"]["build"]["seconds"]),
    "us/sample": (".0f", lambda row: row["microseconds_per_sample"]),
    "CPU us": (".0f", lambda row: row["cpu_microseconds_per_sample"]),
    "parent MB": (".1f", lambda row: row["steps"]["build"]["growth_mb"]),
    "B/source": (",.0f", lambda row: row["parent_bytes_per_source"]),
    "worker MB": (".1f", lambda row: row["steps"]["build"]["worker_peak_mb"]),
    "manifest kB": (",.1f", lambda row: row["bytes"]["manifest"] / 1e3),
    "idx+record": (".1%", lambda row: row["record_and_index_share"]),
    "resume s": (".2f", lambda row: row["steps"]["resume"]["seconds"]),
    "verify s": (".2f", lambda row: row["steps"]["verify"]["seconds"]),
    "open s": (".3f", lambda row: row["steps"]["read"]["open_seconds"]),
    "1,000 reads s": (".2f", lambda row: row["steps"]["read"]["read_seconds"]),
}
"""Title of a column to its form and its value in a row."""


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, help="where the sets are written and removed; a temporary folder by default"
    )
    parser.add_argument("--max-sources", type=int, default=100_000, help="leave out larger rows")
    parser.add_argument("--plan", type=int, default=1_000_000, help="sources that are planned only")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--numbers", type=int, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(step(arguments.step, arguments.folder, *arguments.numbers)))
        return
    from machine import machine  # here: what it imports is not counted in a step's memory

    print("  ".join(COLUMNS))
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        for numbers in (row for row in ROWS if row[0] <= arguments.max_sources):
            row = measure_row(Path(place), *numbers)
            print(
                "  ".join(f"{value(row):>{len(title)}{form}}" for title, (form, value) in COLUMNS.items()), flush=True
            )
            rows.append(row)
        plan = in_own_process("plan", Path(place), arguments.plan, 128, 0)
    told = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in plan.items())
    print(f"{arguments.plan:,} sources planned only: {told}")
    report = {"rows": rows, "plan": {"sources": arguments.plan, **plan}, "callable_microseconds": bare_callable()}
    report["machine"] = machine()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
