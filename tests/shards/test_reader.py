import gc
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.build import BuildOptions, build_shards
from shards.codec import decode_member
from shards.errors import ShardError
from shards.plan import plan_shards
from shards.png import decode_png
from shards.reader import ShardReader
from shards.schema import SCHEMA_VERSION
from tests.shards.synthetic import SourceError, change_manifest, failing_sample, make_sample, make_sources


def num_open_files() -> int:
    """Open tars; sockets that other tests left close whenever they like."""
    return sum(path.exists() and path.readlink().suffix == ".tar" for path in Path("/proc/self/fd").iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    build_shards(make_sources(), make_sample, folder, {"rig": "mvcnn12"}, BuildOptions(samples_per_shard=4))
    return folder


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    build_shards(make_sources(), make_sample, tmp_path, {}, BuildOptions(samples_per_shard=4))
    return tmp_path


def test_samples_come_back_in_the_order_of_the_plan(folder: Path) -> None:
    reader = ShardReader(folder)
    planned = [source for plan in plan_shards(make_sources(), 4) for source in plan.sources]
    assert len(reader) == len(planned) == 13
    assert reader.classes == ("chair", "lamp", "mug")
    assert reader.config == {"rig": "mvcnn12", "samples_per_shard": 4}
    for index, source in enumerate(planned):
        expected, sample = make_sample(source), reader.read(index)
        assert (reader.key(index), reader.num_views(index)) == (source.key, 3)
        assert sample.meta == reader.meta(index) == expected.meta
        assert sample.arrays.keys() == expected.arrays.keys()
        assert sample.images.keys() == expected.images.keys()
        for name, array in (expected.arrays | expected.images).items():
            np.testing.assert_array_equal((sample.arrays | sample.images)[name], array)
    with pytest.raises(IndexError):
        reader.read(13)
    with pytest.raises(IndexError):
        reader.read(-1)


def test_split(folder: Path) -> None:
    reader = ShardReader(folder, "test")
    assert len(reader) == 3
    assert {reader.meta(index)["split"] for index in range(3)} == {"test"}
    with pytest.raises(ShardError, match="no split 'val'; it has test, train"):
        ShardReader(folder, "val")


def test_decodes_only_what_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def counting(name: str, data: bytes) -> Any:
        decoded.append(name.partition(".")[2])
        return decode_member(name, data)

    monkeypatch.setattr("shards.reader.decode_member", counting)
    reader = ShardReader(folder)
    sample = reader.read(0, arrays=("points",), views=(2, 0))
    assert sorted(decoded) == ["json", "points.npy", "view00.png", "view02.png"]
    assert list(sample.images) == ["view02", "view00"]
    decoded.clear()
    reader.read(0, arrays=(), views=())
    assert decoded == ["json"]


def test_absent_members_are_told(folder: Path) -> None:
    reader = ShardReader(folder)
    with pytest.raises(ShardError, match=r"test-000000\.tar: sample .* has no part\.npy; it has .*points\.npy"):
        reader.read(0, arrays=("part",))
    with pytest.raises(ShardError, match=r"view07\.png"):
        reader.read(0, views=(7,))
    assert reader.read(0, kinds=("depth",)).images == {}


def test_pickled_reader_opens_its_own_files(folder: Path) -> None:
    reader = ShardReader(folder)
    reader.read(0)
    copy = pickle.loads(pickle.dumps(reader))
    reader.close()
    assert copy.read(5).key == reader.read(5).key


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_reader_in_another_process(folder: Path, method: str) -> None:
    with ShardReader(folder) as reader:
        expected = [reader.key(index) for index in range(len(reader))]
        with ProcessPoolExecutor(1, get_context(method)) as pool:
            assert list(pool.map(reader.key, range(len(reader)))) == expected


def test_number_of_open_files_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.reader.MAX_OPEN_TARS", 2)
    before = num_open_files()
    with ShardReader(folder) as reader:
        keys = [reader.key(index) for index in reader.order(0, 0)]
        assert num_open_files() <= before + 2
    assert len(set(keys)) == 13
    assert num_open_files() == before


def test_order_is_the_plan_of_an_epoch(folder: Path) -> None:
    reader = ShardReader(folder)
    assert sorted(reader.order(1, 2)) == list(range(13))
    assert list(reader.order(1, 2)) != list(reader.order(1, 3))


def test_no_set_here(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no manifest\.json here; expected what `tap render --out` writes"):
        ShardReader(tmp_path)


def test_unfinished_and_foreign_sets(own_folder: Path) -> None:
    change_manifest(own_folder, schema_version="2.0")
    with pytest.raises(ShardError, match=r"schema 2\.0"):
        ShardReader(own_folder)
    change_manifest(own_folder, schema_version=SCHEMA_VERSION, shards=())
    with pytest.raises(ShardError, match="has not finished"):
        ShardReader(own_folder)


def test_missing_or_cut_tars_are_found_at_the_start(own_folder: Path) -> None:
    tar = own_folder / "train-000001.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:-1])
    with pytest.raises(
        ShardError, match=rf"train-000001.tar: manifest says {len(data)} bytes, tar has {len(data) - 1}"
    ):
        ShardReader(own_folder)
    ShardReader(own_folder, "test")
    tar.unlink()
    with pytest.raises(ShardError, match=r"train-000001\.tar: named in the manifest, but"):
        ShardReader(own_folder)


def test_damage_inside_names_tar_and_member(own_folder: Path) -> None:
    tar = own_folder / "test-000000.tar"
    data = bytearray(tar.read_bytes())
    position = data.index(b"\x89PNG")
    data[position + 30] ^= 1
    tar.write_bytes(data)
    reader = ShardReader(own_folder)
    with pytest.raises(
        ShardError, match=r"test-000000\.tar: .*view00\.png is not as it was written, its CRC-32 differs"
    ):
        reader.read(0)
    with pytest.raises(ShardError, match="CRC-32"):
        reader.raw(0, "view00.png")
    assert list(reader.read(0, views=(1,)).images) == ["view01"]


def test_an_index_that_is_damaged_or_missing(own_folder: Path) -> None:
    index = own_folder / "test-000000.idx"
    data = bytearray(index.read_bytes())
    data[-20] ^= 1
    index.write_bytes(data)
    with pytest.raises(ShardError, match=r"test-000000\.idx: damaged, its checksum does not fit.*tap shards repair"):
        ShardReader(own_folder).read(0)
    index.unlink()
    with pytest.raises(ShardError, match=r"test-000000\.idx: missing; run tap shards repair"):
        ShardReader(own_folder)


def older(folder: Path) -> None:
    """Makes a set look like one of version 1.1, which had no indexes."""
    change_manifest(folder, schema_version="1.1")
    for path in folder.glob("*.idx"):
        path.unlink()


def test_sets_without_indexes_are_read_from_headers_and_told(
    own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = [ShardReader(own_folder).fields(index) for index in range(3)]
    older(own_folder)
    with caplog.at_level("WARNING"):
        reader = ShardReader(own_folder)
    assert "without indexes" in caplog.text
    assert [reader.fields(index) for index in range(3)] == before


def test_fewer_samples_than_the_manifest_says(own_folder: Path) -> None:
    older(own_folder)
    tar = own_folder / "test-000000.tar"
    data = bytearray(tar.read_bytes())
    keep = data.index(b"lamp-test")  # a cut at a sample's edge, filled up with zeros: a valid, shorter tar
    data[keep:] = bytes(len(data) - keep)
    tar.write_bytes(data)
    with pytest.raises(ShardError, match="manifest says 3 samples, tar holds 1"):
        ShardReader(own_folder).read(0)


def test_shards_without_samples_are_stepped_over(tmp_path: Path) -> None:
    options = BuildOptions(samples_per_shard=1)
    build_shards(make_sources(4, 0), failing_sample, tmp_path, {}, options, failure_types=(SourceError,))
    reader = ShardReader(tmp_path)
    assert [reader.key(index)[-1] for index in range(len(reader))] == ["0", "3", "1"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_a_dropped_reader_closes_its_files(folder: Path) -> None:
    before = num_open_files()
    for _ in range(3):
        reader = ShardReader(folder)
        for index in range(len(reader)):
            reader.meta(index)
        assert num_open_files() > before
        del reader
        gc.collect()
    assert num_open_files() <= before


def test_members_as_bytes(tmp_path: Path) -> None:
    build_shards(make_sources(5, 2), make_sample, tmp_path, {}, BuildOptions(samples_per_shard=3, num_workers=0))
    with ShardReader(tmp_path) as reader:
        assert reader.ranges() == [range(2), range(2, 5), range(5, 7)]
        data = reader.raw(4, "view01.png")
        assert reader.fields(4)["view01.png"] == len(data)
        assert reader.images(4) == {"view": [0, 1, 2]}
        assert (decode_png(data) == reader.read(4, (), (1,)).images["view01"]).all()
        with pytest.raises(ShardError, match=r"has no depth00\.png; it has"):
            reader.raw(4, "depth00.png")
