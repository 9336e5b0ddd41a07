"""What a full disk costs: a small file system in memory is filled, and made larger or emptied again."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.errors import ShardError
from tests.shards.killed_runs import AT_SAMPLES, Run
from tests.shards.synthetic import contents
from tests.shards.test_engine import litter

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory that holds 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_full_disk_costs_what_was_not_finished(tmp_path: Path, disk: Path, num_workers: int) -> None:
    AT_SAMPLES.finish(tmp_path / "expected")
    expected = contents(tmp_path / "expected")
    assert sum(map(len, expected.values())) > 400_000
    with pytest.raises(ShardError, match="cannot be written: No space left on device") as caught:
        AT_SAMPLES.finish(disk / "set", num_workers=num_workers)
    assert "\n" not in str(caught.value)
    assert litter(disk / "set") == []
    kept = {name: data for name, data in contents(disk / "set").items() if name != "manifest.json"}
    num_finished = sum(name.endswith(".json") for name in kept)
    assert num_finished
    assert kept.items() <= expected.items()
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert AT_SAMPLES.finish(disk / "set", num_workers=num_workers).num_skipped == num_finished
    assert contents(disk / "set") == expected


def leave_pages(filler: Path, num_pages: int) -> None:
    """Fills a disk but for so many pages."""
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(PAGE_BYTES))
        except OSError:
            size = stream.tell()
    os.truncate(filler, size - num_pages * PAGE_BYTES)


def test_a_disk_that_fills_up_at_any_file(tmp_path: Path, disk: Path) -> None:
    one_shard = Run("make_sample", 5, 8)  # and one of the split test
    one_shard.finish(tmp_path / "expected")
    expected = contents(tmp_path / "expected")
    filler, folder, failed = disk / "filler", disk / "set", set()
    for num_pages in range(256 * 1024 // PAGE_BYTES):
        leave_pages(filler, num_pages)
        try:
            one_shard.finish(folder)
        except ShardError as error:
            failed.add(str(error).partition(": cannot be written")[0].removeprefix(f"{folder}/"))
        else:
            break
        assert litter(folder) == []
        filler.unlink()
        one_shard.finish(folder)
        assert contents(folder) == expected, f"{num_pages} pages free"
        shutil.rmtree(folder)
    assert contents(folder) == expected
    assert failed == set(expected)
