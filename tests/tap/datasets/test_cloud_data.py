"""Samples of clouds: what is drawn, augmented, and done about damage."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from shards.errors import ShardError
from shards.stream import Address
from tap.datasets import DatasetConfig, open_source
from tap.datasets.clouds import Cloud, CloudData, DamagedCloudError
from tap.errors import TapError
from tap.loading.augment import AugmentConfig
from tap.loading.collate import collate
from tap.loading.data import DataConfig
from tap.loading.sampling import EVALUATION, evaluation_batches, make_loader, plain_errors
from tap.tasks.split import labelled_samples
from tests.tap.datasets.tiny_sets import class_folder, modelnet_h5, scanobjectnn, shape


class Clouds:
    """Three clouds in memory, the second of them as ``cloud`` makes it."""

    location, classes = "here", ("a", "b")

    def __init__(self, second: Callable[[], Cloud] | None = None) -> None:
        self.second = second

    def __len__(self) -> int:
        return 3

    def key(self, index: int) -> str:
        return f"cloud{index}"

    def label(self, index: int) -> int:
        return index % 2

    def size(self, index: int) -> int | None:
        return 40

    def cloud(self, index: int) -> Cloud:
        if index == 1 and self.second is not None:
            return self.second()
        rows = shape(index)
        return Cloud(rows[:, :3], rows[:, 3:], np.arange(40))


def damaged() -> Cloud:
    raise DamagedCloudError("there/cloud1.txt: is cut off")


def test_points_are_drawn_from_seed_epoch_and_index() -> None:
    data = CloudData(Clouds(), DataConfig(num_points=10), seed=5)
    for epoch, index in ((0, 0), (7, 2), (EVALUATION, 1)):
        drawn = np.random.default_rng((5, epoch + 1, index)).choice(40, 10, replace=False)
        item = data[Address(epoch, index, False)]
        np.testing.assert_array_equal(item.points, shape(index)[drawn, :3])
        np.testing.assert_array_equal(item.parts, drawn)
        assert item.normals is None
        assert (item.label, item.index, item.valid, item.key) == (index % 2, index, False, f"cloud{index}")


def test_the_order_is_a_permutation_of_each_epoch() -> None:
    first, second = (CloudData(Clouds(), DataConfig(), seed=seed) for seed in (1, 2))
    orders = {tuple(first.order(epoch).tolist()) for epoch in range(20)}
    assert len(orders) > 3
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert [first.order(epoch).tolist() for epoch in range(9)] != [second.order(epoch).tolist() for epoch in range(9)]
    np.testing.assert_array_equal(first.order(4), first.order(4))


def test_normals_turn_with_the_points_in_training_alone() -> None:
    config = DataConfig(num_points=40, normals=True)
    data = CloudData(Clouds(), config, 0, AugmentConfig(rotate_z=90.0, rotate_step=90.0, scale=(2.0, 2.0)))
    plain, stored = data[Address(EVALUATION, 0)], shape(0)
    assert plain.parts is not None
    np.testing.assert_array_equal(plain.points, stored[plain.parts, :3])
    np.testing.assert_array_equal(plain.normals, stored[plain.parts, 3:])
    turned = {}
    for epoch in range(20):
        item = data[Address(epoch, 0)]
        assert item.parts is not None
        assert item.normals is not None
        rows = stored[item.parts]
        angle = int(np.sign(round(float(item.normals[0] @ np.array([-rows[0, 4], rows[0, 3], 0])), 5)))
        x, y, z = rows[:, 3:].T
        expected = {0: (x, y, z), 1: (-y, x, z), -1: (y, -x, z)}[angle]
        np.testing.assert_allclose(item.normals, np.stack(expected, axis=1), atol=1e-6)
        x, y, z = 2 * rows[:, :3].T
        expected = {0: (x, y, z), 1: (-y, x, z), -1: (y, -x, z)}[angle]
        np.testing.assert_allclose(item.points, np.stack(expected, axis=1), rtol=1e-5, atol=1e-5)
        turned[angle] = True
    assert set(turned) == {-1, 0, 1}


def test_what_a_cloud_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(TapError, match=r"here: sample cloud0 stores 40 points, data\.num_points asks for 41"):
        CloudData(Clouds(), DataConfig(num_points=41), 0)[Address(0, 0)]
    source = open_source(scanobjectnn(tmp_path), DatasetConfig())
    config = DataConfig(num_points=10, normals=True)
    with pytest.raises(TapError, match=r"sample training_objectdataset/0 stores no normals; set data.normals=false"):
        source.open("train", config, 0)[Address(0, 0)]


def test_a_damaged_cloud_stops_the_run_or_is_left_out() -> None:
    clouds = Clouds(damaged)
    with pytest.raises(TapError, match=r"there/cloud1\.txt: is cut off"):
        CloudData(clouds, DataConfig(num_points=10), 0).__getitems__([Address(0, 0), Address(0, 1)])
    data = CloudData(clouds, DataConfig(num_points=10, on_error="skip"), 0)
    items = data.__getitems__([Address(0, 0), Address(0, 1)])
    assert [(item.key, item.valid) for item in items] == [("cloud0", True), ("cloud0", False)]
    assert items[1].problem == "there/cloud1.txt: is cut off"
    assert [item.index for item in data.readable(range(3))] == [0, 2]
    assert data.skipped.messages == ["there/cloud1.txt: is cut off"]
    whole = data.__getitems__([Address(EVALUATION, 1)])  # a batch of nothing but damage
    assert (whole[0].key, whole[0].valid) == ("cloud0", False)
    assert labelled_samples(data)[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, num_workers: int) -> None:
    class_folder(tmp_path)
    (tmp_path / "chair/train/1.xyz").write_text("1 2 3\n4 5\n")
    for on_error in ("raise", "skip"):
        config = DataConfig.model_validate({"num_points": 10, "on_error": on_error})
        data = open_source(tmp_path, DatasetConfig()).open("train", config, 0)
        loader = make_loader(data, evaluation_batches([0, 1, 2], 3), collate, num_workers)
        if on_error == "skip":
            (batch,) = loader
            assert batch.valid.tolist() == [False, True, True]
            assert len(batch.problems) == 1
            assert "chair/train/1.xyz" in batch.problems[0]
            continue
        with (
            pytest.raises(ShardError, match=r"^\S*chair/train/1\.xyz: is not lines of equally many") as told,
            plain_errors(),
        ):
            list(loader)
        assert isinstance(told.value, DamagedCloudError)
        assert "\n" not in str(told.value)


def test_clouds_without_size_are_damage(tmp_path: Path) -> None:
    modelnet_h5(tmp_path)
    with h5py.File(tmp_path / "ply_data_train1.h5", "a") as file:
        file["data"][2] = 0.5
        file["data"][1, 7, 0] = np.nan
    data = open_source(tmp_path, DatasetConfig()).open("train", DataConfig(num_points=10), 0)
    with pytest.raises(DamagedCloudError, match=r": ply_data_train1, row 2: all points are one"):
        data[Address(0, 4)]
    with pytest.raises(DamagedCloudError, match=r": ply_data_train1, row 1: 1 of 40 points are not finite"):
        data[Address(0, 3)]
    assert data.key(3) == "ply_data_train1/1"
