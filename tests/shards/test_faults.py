"""Random damage to a set's files: verify finds each and names it, and the reader never yields anything but what was written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.index import decode_index, member_name
from shards.reader import ShardReader
from shards.tar import BLOCK_BYTES
from shards.upkeep.finding import Finding
from shards.upkeep.verify import verify_set
from tests.shards.synthetic import SourceError, contents, failing_sample, make_sources

Samples = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    options = BuildOptions(samples_per_shard=4, num_workers=0)
    build_shards(make_sources(14, 5), failing_sample, folder, {"rig": "mvcnn12"}, options, failure_types=(SourceError,))
    return folder


def all_members(folder: Path) -> Samples:
    """Every member of every sample, through the reader."""
    with ShardReader(folder) as reader:
        return {
            reader.key(index): {field: reader.raw(index, field) for field in reader.fields(index)}
            for index in range(len(reader))
        }


def hit_member(folder: Path, file: str, at: int) -> str | None:
    """The member in whose header, content or padding a byte of a tar lies."""
    for sample in decode_index((folder / file).with_suffix(".idx").read_bytes(), "index"):
        for field, span in sample.members.items():
            if span.offset - BLOCK_BYTES <= at < span.offset + span.num_bytes + -span.num_bytes % BLOCK_BYTES:
                return member_name(sample.key, field)
    return None


def expected_of(finding: Finding, file: str, what: tuple[str, ...]) -> bool:
    return finding.file == file and finding.what in what


def check_fault(seed: int, folder: Path, before: dict[str, bytes], samples: Samples) -> str:
    """Damages one file, looks what verify and the reader make of it, and mends it; returns what the reader did."""
    chance = random.Random(seed)
    suffix = chance.choice([".tar", ".tar", ".idx", ".json", "manifest.json"])
    file = chance.choice(
        [name for name in before if name.endswith(suffix) and (name == "manifest.json") == (suffix == "manifest.json")]
    )
    data = bytearray(before[file])
    at = chance.randrange(len(data))
    is_cut = chance.random() < 0.4
    if is_cut:
        del data[at:]
    else:
        data[at] ^= 1 << chance.randrange(8)
    member = hit_member(folder, file, at) if file.endswith(".tar") else None
    (folder / file).write_bytes(data)
    try:
        findings = verify_set(folder, 2).findings
        assert findings
        assert {finding.file for finding in findings} == {file}
        if is_cut:
            assert {finding.what for finding in findings} <= {"truncated", "missing", "damaged"}
            assert member is None or member in {finding.member for finding in findings}
        else:
            assert [(finding.member, finding.what) for finding in findings] == [(member, "damaged")]
        return check_reader(folder, samples)
    finally:
        (folder / file).write_bytes(before[file])


def check_reader(folder: Path, samples: Samples) -> str:
    """Whether the reader raised; what it yielded has to be what was written, whether it raised later or not."""
    try:
        reader = ShardReader(folder)
    except ShardError:
        return "refused the set"
    told = "yielded all"
    with reader:
        for index in range(len(reader)):
            try:
                key = reader.key(index)
                fields = reader.fields(index)
                assert list(fields) == list(samples[key])
                for field in fields:
                    assert reader.raw(index, field) == samples[key][field]
                reader.read(index)
            except ShardError:
                told = "raised at a sample"
    return told


@pytest.mark.parametrize("seed", range(40))
def test_random_damage(folder: Path, seed: int) -> None:
    before = contents(folder)
    check_fault(seed, folder, before, all_members(folder))
    assert contents(folder) == before


@pytest.mark.slow
def test_500_times_random_damage(folder: Path) -> None:
    before, samples = contents(folder), all_members(folder)
    told = [check_fault(seed, folder, before, samples) for seed in range(1000, 1500)]
    print({what: told.count(what) for what in sorted(set(told))})
    assert verify_set(folder).findings == ()
