"""Joined sets: whose bytes they hold, what is refused, and going on after a stop."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.exchange import merge as merge_module
from shards.exchange.merge import MergeReport, merge_sets, same_place
from shards.exchange.shard_copy import copy_shard
from shards.pages.quality import quality_page
from shards.reader import ShardReader
from shards.record import config_hash, encode_manifest, read_manifest, read_record
from shards.stores.store import open_store
from shards.upkeep.verify import verify_set
from tests.shards import synthetic
from tests.shards.damage import flip

IN_PROCESS = BuildOptions(num_workers=0, samples_per_shard=2)


def built(folder: Any, prefix: str, num_train: int = 4, num_test: int = 1, make_sample: Any = None) -> Any:
    """A set whose keys and classes begin with `prefix`."""
    sources = [
        replace(
            source,
            key=f"{prefix}-{source.key}",
            relative=f"{prefix}/{source.relative}",
            category=f"{prefix}-{source.category}",
        )
        for source in synthetic.make_sources(num_train, num_test)
    ]
    make_sample = make_sample or synthetic.make_sample
    build_shards(sources, make_sample, folder, {"rig": prefix}, IN_PROCESS, failure_types=(synthetic.SourceError,))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return [built(tmp_path / "b", "b"), built(tmp_path / "a", "a", 3, 1, synthetic.failing_sample)]


@pytest.mark.parametrize("link", [False, True])
def test_the_joined_set_holds_the_bytes_of_both_in_their_order(tmp_path: Path, pair: list[Path], link: bool) -> None:
    out = tmp_path / "out"
    report = merge_sets(pair, out, link=link)
    assert report == MergeReport(8, 6, sum(path.stat().st_size for path in out.glob("*.tar")), 1, 6)
    order = {
        "b": {"train-000000": "train-000000", "train-000001": "train-000001", "test-000000": "test-000000"},
        "a": {"train-000000": "train-000002", "train-000001": "train-000003", "test-000000": "test-000001"},
    }
    for name, renamed in order.items():
        for old, new in renamed.items():
            for suffix in (".tar", ".idx"):
                origin = tmp_path / name / (old + suffix)
                assert (out / (new + suffix)).read_bytes() == origin.read_bytes()
                assert (out / (new + suffix)).samefile(origin) == (link and suffix == ".tar")
            before, after = (read_record(open_store(tmp_path / name), old), read_record(open_store(out), new))
            assert after == before.model_copy(update={"name": new})
    assert verify_set(out).findings == ()
    assert quality_page(out, out / "quality.html").exists()


def test_the_manifest_joins_classes_and_configs(tmp_path: Path, pair: list[Path]) -> None:
    merge_sets(pair, tmp_path / "out")
    manifest = read_manifest(open_store(tmp_path / "out"))
    parts = [read_manifest(open_store(location)) for location in pair]
    assert manifest.config == {"merged": [part.config for part in parts]}
    assert manifest.config_hash == config_hash(manifest.config)
    assert list(manifest.classes) == sorted(f"{prefix}-{name}" for prefix in "ab" for name in synthetic.CATEGORIES)
    assert list(manifest.classes.values()) == list(range(6))
    assert [entry.name for entry in manifest.shards] == sorted(entry.name for entry in manifest.shards)


def test_joined_sets_can_be_joined_again(tmp_path: Path, pair: list[Path]) -> None:
    merge_sets(pair, tmp_path / "two")
    merge_sets([tmp_path / "two", built(tmp_path / "c", "c")], tmp_path / "three")
    assert verify_set(tmp_path / "three").findings == ()
    with ShardReader(tmp_path / "three") as reader:
        assert len({reader.key(index) for index in range(len(reader))}) == 13


def test_the_same_bytes_whenever_it_is_done(tmp_path: Path, pair: list[Path]) -> None:
    merge_sets(pair, tmp_path / "one")
    merge_sets(pair, tmp_path / "two")
    assert synthetic.contents(tmp_path / "one") == synthetic.contents(tmp_path / "two")


@pytest.mark.parametrize("num_copied", [0, 1, 5])
@pytest.mark.parametrize("suffix", ["", ".idx", ".json"])
def test_a_stopped_merge_goes_on(
    tmp_path: Path, pair: list[Path], monkeypatch: pytest.MonkeyPatch, num_copied: int, suffix: str
) -> None:
    merge_sets(pair, tmp_path / "whole")
    copied: list[str] = []

    def stopping(part: Any, store: Any, link: bool) -> None:
        if len(copied) == num_copied:
            raise KeyboardInterrupt
        copied.append(part.record.name)
        copy_shard(part, store, link)

    monkeypatch.setattr(merge_module, "copy_shard", stopping)
    with pytest.raises(KeyboardInterrupt):
        merge_sets(pair, tmp_path / "out")
    monkeypatch.undo()
    assert not (tmp_path / "out/manifest.json").exists()
    if copied:
        if suffix:  # stopped between two files of a shard
            (tmp_path / "out" / f"{copied[-1]}.json").unlink()
            (tmp_path / "out" / (copied[-1] + suffix)).unlink(missing_ok=True)
        with pytest.raises(ShardError, match="choose an empty folder, or go on with a stopped merge by --resume"):
            merge_sets(pair, tmp_path / "out")
    merge_sets(pair, tmp_path / "out", resume=True)
    assert synthetic.contents(tmp_path / "out") == synthetic.contents(tmp_path / "whole")


def test_resume_copies_only_what_is_missing(tmp_path: Path, pair: list[Path]) -> None:
    merge_sets(pair, tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out/train-000001.json").unlink()
    (tmp_path / "out/manifest.json").unlink()
    (tmp_path / "out/.train-000009.tar.tmp-1").write_bytes(b"draft")
    merge_sets(pair, tmp_path / "out", resume=True)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"train-000001.tar", "train-000001.idx", "train-000001.json", "manifest.json"}


def test_resume_of_another_merge_is_refused(tmp_path: Path, pair: list[Path]) -> None:
    merge_sets(pair, tmp_path / "out")
    whole = synthetic.contents(tmp_path / "out")
    with pytest.raises(ShardError, match="of another set than these give"):
        merge_sets(pair[::-1], tmp_path / "out", resume=True)
    (tmp_path / "out/manifest.json").unlink()
    with pytest.raises(ShardError, match=r"holds .*, which is none of this merge"):
        merge_sets(pair[::-1], tmp_path / "out", resume=True)
    del whole["manifest.json"]
    assert synthetic.contents(tmp_path / "out") == whole


def older(folder: Path) -> None:
    """Makes a set one of schema 1.1, going by its manifest."""
    manifest = read_manifest(open_store(folder)).model_copy(update={"schema_version": "1.1"})
    (folder / "manifest.json").write_bytes(encode_manifest(manifest))


def old_without_index(folder: Path) -> None:
    for location in (folder, folder.with_name("a")):
        older(location)
    for path in folder.glob("*.idx"):
        path.unlink()


def unfinished(folder: Path) -> None:
    manifest = read_manifest(open_store(folder)).model_copy(update={"shards": ()})
    (folder / "manifest.json").write_bytes(encode_manifest(manifest))


def other_record(folder: Path) -> None:
    path = folder / "train-000000.json"
    content = json.loads(path.read_text())
    content.pop("checksum")
    path.write_text(json.dumps(content | {"count": 1}))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (unfinished, "has not finished"),
        (older, "a: samples of schema 1.2, .*b has 1.1"),
        (old_without_index, "b: made before version 1.2, without indexes; run tap shards repair first"),
        (other_record, "train-000000.json: does not fit the manifest"),
        (lambda folder: flip(folder / "train-000000.json", 40), "train-000000.json: "),
        (lambda folder: flip(folder / "train-000001.idx", 60), "train-000001.idx: damaged"),
        (lambda folder: flip(folder / "test-000000.tar", 700), "test-000000.tar: not as it was written"),
        (lambda folder: (folder / "train-000000.json").unlink(), "train-000000.json: missing"),
        (lambda folder: (folder / "train-000000.tar").unlink(), "train-000000.tar: named in the manifest, but missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json here"),
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_unfit_sets_are_refused_and_no_manifest_is_left(
    tmp_path: Path, pair: list[Path], damage: Callable[[Path], object], told: str, link: bool
) -> None:
    damage(pair[0])
    with pytest.raises(ShardError, match=told):
        merge_sets(pair, tmp_path / "out", link=link)
    assert not (tmp_path / "out/manifest.json").exists()
    assert not (tmp_path / "out/test-000000.tar").exists()


def test_a_key_that_occurs_in_two_sets_is_refused(tmp_path: Path, pair: list[Path]) -> None:
    twin = built(tmp_path / "twin", "b", 1, 0)
    with pytest.raises(ShardError) as caught:
        merge_sets([*pair, twin], tmp_path / "out")
    assert str(caught.value) == (
        f"sample b-chair-train-chair_0000: in both {pair[0]} (train-000000) and {twin} (train-000000); "
        "take it out of one with tap shards split"
    )


def test_equal_hashes_of_different_keys_do_no_harm(
    tmp_path: Path, pair: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_module, "key_hash", len)
    assert merge_sets(pair, tmp_path / "out").num_samples == 8


def test_a_set_and_itself_are_refused_under_any_name(tmp_path: Path, pair: list[Path]) -> None:
    for other in (pair[0], tmp_path / "a/../b", os.path.relpath(pair[0]), f"file://{pair[0]}/"):
        with pytest.raises(ShardError, match="given twice"):
            merge_sets([pair[0], other], tmp_path / "out")
    with pytest.raises(ShardError, match="two sets or more"):
        merge_sets(pair[:1], tmp_path / "out")
    with pytest.raises(ShardError, match=r"holds manifest\.json already"):
        merge_sets(pair, pair[0])


def test_one_bucket_has_two_protocols() -> None:
    assert same_place("s3://a/b", "s3a://a/b/")
    assert same_place("gs://a/b", "gcs://a/b")
    assert not same_place("s3://a/b", "gs://a/b")
    assert not same_place("s3://a/b", "s3://a/B")


def test_sets_in_a_store_are_joined_there(tmp_path: Path, pair: list[Path], s3_url: str) -> None:
    merge_sets(pair, tmp_path / "out")
    remote = built(f"{s3_url}/b", "b")
    merge_sets([remote, pair[1]], f"{s3_url}/out")
    store = open_store(f"{s3_url}/out")
    assert {name: store.read(name) for name in store.sizes()} == synthetic.contents(tmp_path / "out")
    with pytest.raises(ShardError, match="only folders of this machine can be linked; leave out --link"):
        merge_sets([remote, pair[1]], tmp_path / "linked", link=True)
    with pytest.raises(ShardError, match="given twice"):
        merge_sets([remote, f"{remote}/"], f"{s3_url}/again")
