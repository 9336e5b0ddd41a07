import shutil
from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.upkeep.info import Amount, set_info
from tests.shards.older import build_older
from tests.shards.synthetic import SourceError, change_manifest, failing_sample, make_sources

CONFIG = {"rig": "mvcnn12", "image_size": 16, "other": [1]}


def build(location: Path | str) -> None:
    options = BuildOptions(samples_per_shard=4, num_workers=0)
    build_shards(make_sources(), failing_sample, location, CONFIG, options, failure_types=(SourceError,))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "whole"
    build(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


def test_a_whole_set(whole: Path) -> None:
    info = set_info(whole)
    sizes = sorted(path.stat().st_size for path in whole.glob("*.tar"))
    test_size = (whole / "test-000000.tar").stat().st_size
    assert (info.name, info.location, info.is_finished) == ("whole", str(whole), True)
    assert info.total == Amount(samples=11, shards=4, bytes=sum(sizes))
    assert info.splits == {
        "test": Amount(samples=2, shards=1, bytes=test_size),
        "train": Amount(samples=9, shards=3, bytes=sum(sizes) - test_size),
    }
    assert info.shard_bytes == (sizes[0], (sizes[1] + sizes[2]) // 2, sizes[3])
    assert info.classes == {"chair": 5, "lamp": 4, "mug": 2}
    assert info.flags == {"open": 3}
    assert info.failures == 2
    assert info.settings == {"rig": "mvcnn12", "image_size": 16}
    assert info.notes == ()


def test_tars_are_not_needed(folder: Path, whole: Path) -> None:
    for path in [*folder.glob("*.tar"), *folder.glob("*.idx")]:
        path.unlink()
    assert set_info(folder).classes == set_info(whole).classes


def test_an_unfinished_set_and_a_lost_record(folder: Path) -> None:
    (folder / "test-000000.json").unlink()
    info = set_info(folder)
    assert info.notes == ("1 records are missing or damaged: see tap shards verify",)
    assert info.total.samples == 11
    assert info.classes == {"chair": 4, "lamp": 3, "mug": 2}
    change_manifest(folder, shards=())
    info = set_info(folder)
    assert not info.is_finished
    assert (info.total.samples, info.total.shards, list(info.splits)) == (9, 3, ["train"])


def test_joined_sets(folder: Path) -> None:
    change_manifest(folder, config={"merged": [CONFIG, {"merged": [CONFIG | {"rig": "single"}]}]})
    assert set_info(folder).settings == {"rig": ["mvcnn12", "single"], "image_size": 16}


def test_sets_without_counts_of_classes(tmp_path: Path) -> None:
    info = set_info(build_older(tmp_path))
    assert info.classes == {"chair": None, "lamp": None, "mug": None}
    assert (info.schema_version, info.total.samples, info.flags) == ("1.1", 11, {"open": 3})


def test_no_set_here(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no manifest\.json here"):
        set_info(tmp_path)


def test_a_set_in_an_object_store(s3_url: str, whole: Path) -> None:
    build(f"{s3_url}/here/set")
    info = set_info(f"{s3_url}/here/set")
    assert info.name == "set"
    assert info.total == set_info(whole).total
