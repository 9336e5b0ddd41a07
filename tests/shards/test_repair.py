import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.engines.options import EngineOptions
from shards.errors import ShardError
from shards.index import decode_index
from shards.plan import Source, plan_shards
from shards.reader import ShardReader
from shards.record import Manifest, read_record
from shards.schema import Sample
from shards.stores.store import open_store
from shards.upkeep.remake import Remake
from shards.upkeep.repair import RepairReport, repair_set
from shards.upkeep.verify import verify_set
from shards.writer import MakeSample
from tests.shards.damage import build_small, flip
from tests.shards.older import build_older
from tests.shards.synthetic import SourceError, change_manifest, contents, failing_sample, make_sample, make_sources

OPTIONS = BuildOptions(samples_per_shard=4, num_workers=0)


def remaking(
    make: MakeSample, num_workers: int = 0, sources: list[Source] | None = None
) -> Callable[[Manifest, Sequence[str]], Remake]:
    plans = plan_shards(sources or make_sources(), 4)
    return lambda manifest, names: Remake(plans, make, (SourceError,), EngineOptions(num_workers=num_workers))


def is_whole(report: RepairReport, folder: Path, whole: Path) -> bool:
    return not report.findings and not report.obstacles and contents(folder) == contents(whole)


def test_nothing_to_do(folder: Path, whole: Path) -> None:
    report = repair_set(folder)
    assert report.repaired == ()
    assert is_whole(report, folder, whole)


def test_indexes_records_and_drafts_from_the_set_itself(folder: Path, whole: Path) -> None:
    (folder / "test-000000.idx").unlink()
    flip(folder / "train-000001.idx", 40)
    shutil.copy(folder / "train-000000.idx", folder / "train-000002.idx")
    (folder / "train-000000.json").write_text("{}")
    shutil.copy(folder / "train-000000.json", folder / "train-000002.json")
    (folder / ".train-000000.tar.tmp-1").write_bytes(b"x")
    report = repair_set(folder)
    assert report.repaired == (
        ".train-000000.tar.tmp-1",
        "test-000000.idx",
        "train-000000.json",
        "train-000001.idx",
        "train-000002.idx",
        "train-000002.json",
    )
    assert is_whole(report, folder, whole)


def test_what_the_set_alone_cannot_mend_is_left_and_told(folder: Path) -> None:
    flip(folder / "train-000000.tar", 700)
    (folder / "train-000001.json").unlink()  # it alone knew why a source failed
    (folder / "train-000007.tar").write_bytes(b"foreign")
    before = contents(folder)
    report = repair_set(folder)
    assert contents(folder) == before
    assert [(finding.file, finding.what) for finding in report.findings] == [
        ("train-000007.tar", "foreign"),
        ("train-000000.tar", "damaged"),
        ("train-000001.json", "missing"),
    ]


@pytest.mark.parametrize(
    ("at", "shift"),
    [
        ("schema_", 2),
        ('"1.2"', 3),
        ("config_h", 3),
        ('config_hash": "', 16),
        ("classes", 0),
        ("chair", 3),
        ('checksum": "', 14),
        ('sha256":"', 12),
        ("train-000001", 2),
        ('"split":"test', 11),
    ],
)
def test_a_manifest_that_the_records_prove(folder: Path, whole: Path, at: str, shift: int) -> None:
    path = folder / "manifest.json"
    flip(path, path.read_text().index(at) + shift)
    report = repair_set(folder)
    assert report.repaired == ("manifest.json",)
    assert is_whole(report, folder, whole)


@pytest.mark.parametrize("at", ["\n", "checksum", "rig"])
def test_a_manifest_that_nothing_proves_comes_from_resume(folder: Path, whole: Path, at: str) -> None:
    path = folder / "manifest.json"
    flip(path, path.read_text().index(at))
    report = repair_set(folder)
    assert [(finding.file, finding.what) for finding in report.findings] == [("manifest.json", "damaged")]
    assert "move it away" in report.obstacles[0]
    path.unlink()
    options = OPTIONS.model_copy(update={"resume": True})
    again = build_shards(make_sources(), failing_sample, folder, {"rig": "a"}, options, failure_types=(SourceError,))
    assert again.num_written == 0
    assert contents(folder) == contents(whole)


def test_a_config_that_was_hit_is_not_guessed(folder: Path, whole: Path) -> None:
    path = folder / "manifest.json"
    flip(path, path.read_text().index('"rig"') + 8)
    report = repair_set(folder)
    assert [(finding.file, finding.what) for finding in report.findings] == [("manifest.json", "damaged")]
    assert is_whole(repair_set(folder, copy=whole), folder, whole)


def test_from_a_copy(folder: Path, whole: Path) -> None:
    flip(folder / "train-000000.tar", 700)
    (folder / "train-000000.idx").unlink()
    (folder / "train-000001.json").unlink()
    for suffix in (".tar", ".idx", ".json"):
        (folder / f"test-000000{suffix}").unlink()
    (folder / "manifest.json").write_bytes(b"")
    report = repair_set(folder, copy=whole)
    assert "train-000002.tar" not in report.repaired
    assert is_whole(report, folder, whole)
    with pytest.raises(ShardError, match="not a copy of itself"):
        repair_set(folder, copy=folder)


def test_a_copy_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="typo: holds no file of a set"):
        repair_set(folder, copy=tmp_path / "typo")


def test_a_copy_that_is_damaged_too(folder: Path, whole: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(whole, tmp_path / "other"))
    for one in (folder, other):
        flip(one / "train-000000.tar", 700)
    before = contents(folder)
    report = repair_set(folder, copy=other)
    assert report.obstacles == (f"train-000000.tar: {other} does not have it as it was written either",)
    assert contents(folder) == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_only_damaged_samples_are_made_again(folder: Path, whole: Path, tmp_path: Path, num_workers: int) -> None:
    spans = decode_index((folder / "train-000000.idx").read_bytes(), "")
    flip(folder / "train-000000.tar", spans[2].members["view01.png"].offset + 9)
    flip(folder / "train-000001.tar", -1)  # no sample at all
    (folder / "test-000000.tar").unlink()
    marks = tmp_path / "marks"
    marks.mkdir()
    report = repair_set(folder, remake=remaking(Marking(marks), num_workers))
    assert is_whole(report, folder, whole)
    made = {path.name for path in marks.iterdir()}
    assert made == {spans[2].key, "chair-test-chair_0900", "lamp-test-lamp_0901"}


class Marking:
    """Makes samples and leaves a file for each; what failed then would not fail now."""

    def __init__(self, marks: Path) -> None:
        self._marks = marks

    def __call__(self, source: Source) -> Sample:
        (self._marks / source.key).touch()
        return make_sample(source)


def test_a_bad_sector_costs_one_sample(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = decode_index((folder / "train-000000.idx").read_bytes(), "")
    bad = spans[2].members["view01.png"].offset
    size = (folder / "train-000000.tar").stat().st_size
    inode = (folder / "train-000000.tar").stat().st_ino
    pread = os.pread

    def failing(descriptor: int, num_bytes: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == inode and offset <= bad < offset + num_bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, num_bytes, offset)

    monkeypatch.setattr(os, "pread", failing)
    findings = verify_set(folder).findings
    assert [(finding.file, finding.what) for finding in findings] == [("train-000000.tar", "damaged")]
    assert findings[0].detail == "cannot be read at byte 0: Input/output error"
    (tmp_path / "marks").mkdir()
    assert is_whole(repair_set(folder, remake=remaking(Marking(tmp_path / "marks"))), folder, whole)
    assert [path.name for path in (tmp_path / "marks").iterdir()] == [spans[2].key]
    assert (folder / "train-000000.tar").stat().st_size == size


def test_an_index_that_is_damaged_with_its_tar(folder: Path, whole: Path) -> None:
    flip(folder / "train-000000.tar", 700)
    flip(folder / "train-000000.idx", 40)
    flip(folder / "train-000001.json", 40)
    assert is_whole(repair_set(folder, remake=remaking(failing_sample)), folder, whole)


def test_what_comes_out_otherwise_is_not_written(folder: Path) -> None:
    flip(folder / "train-000000.tar", 700)
    before = contents(folder)

    def changed(source: Source) -> Sample:
        sample = make_sample(source)
        sample.arrays["points"][0, 0] += 1
        return sample

    report = repair_set(folder, remake=remaking(changed))
    assert contents(folder) == before
    assert len(report.obstacles) == 1
    assert report.obstacles[0].startswith("train-000000: made again it is another tar than that of then")
    report = repair_set(folder, remake=remaking(make_sample, sources=make_sources(9)))
    assert report.obstacles == (
        "train-000000: its sources are not those of then: some were added, removed or renamed since",
    )
    assert contents(folder) == before


def test_sources_are_asked_for_only_if_needed(folder: Path) -> None:
    (folder / "test-000000.idx").unlink()

    def never(manifest: Manifest, names: Sequence[str]) -> Remake:
        raise AssertionError("nothing is left to make")

    assert repair_set(folder, remake=never).findings == ()
    flip(folder / "train-000000.tar", 700)
    with pytest.raises(AssertionError, match="nothing is left"):
        repair_set(folder, remake=never)


def test_sets_before_indexes_get_them(tmp_path: Path) -> None:
    folder = build_older(tmp_path / "set")
    before = contents(folder)
    report = repair_set(folder)
    assert not report.findings
    assert not report.obstacles
    assert report.repaired == ("test-000000.idx", "train-000000.idx", "train-000001.idx", "train-000002.idx")
    assert {name: data for name, data in contents(folder).items() if not name.endswith(".idx")} == before
    assert verify_set(folder).notes == ()
    flip(folder / "train-000000.tar", 700)
    with pytest.raises(ShardError, match="CRC-32"), ShardReader(folder, "train") as reader:
        reader.raw(0, "intrinsics.npy")


def test_an_old_record_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = build_older(tmp_path / "set")
    record = read_record(open_store(folder), "train-000000")
    (folder / "train-000000.json").unlink()
    assert repair_set(folder).findings == ()
    assert read_record(open_store(folder), "train-000000") == record


def test_an_unfinished_set_is_left_to_resume(folder: Path) -> None:
    change_manifest(folder, shards=())
    before = contents(folder)
    report = repair_set(folder, remake=remaking(make_sample))
    assert [finding.what for finding in report.findings] == ["unfinished"]
    assert contents(folder) == before


def test_no_set_here(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no shards and no manifest"):
        repair_set(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_set_in_an_object_store(s3_url: str, whole: Path) -> None:
    location = f"{s3_url}/set"
    build_small(location)
    store = open_store(location)
    for name in ("train-000000.tar", "test-000000.idx"):
        data = bytearray(store.read(name))
        data[700 % len(data)] ^= 1
        store.put(name, bytes(data))
    assert repair_set(location, copy=whole).findings == ()
    assert {name: store.read(name) for name in store.sizes()} == contents(whole)
