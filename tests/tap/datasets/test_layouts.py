"""Every layout through one contract, and the choice among them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shards.stream import Address
from tap.datasets import LAYOUTS, DatasetConfig, open_source
from tap.errors import TapError
from tap.loading.augment import AugmentConfig
from tap.loading.collate import Batch, collate
from tap.loading.data import DataConfig
from tap.loading.sampling import EVALUATION, EpochBatches, evaluation_batches, make_loader
from tests.tap.datasets.tiny_sets import LAYOUT_SETS, modelnet_h5, modelnet_txt, scanobjectnn, shape, write_rows

CONFIG = DataConfig(num_points=30)
AUGMENT = AugmentConfig(scale=(0.9, 1.1), rotate_z=180.0, jitter=0.01)


@pytest.fixture(params=sorted(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def root(layout: str, tmp_path: Path) -> Path:
    return LAYOUT_SETS[layout](tmp_path)


def epochs(root: Path, num_workers: int) -> list[Batch]:
    data = open_source(root, DatasetConfig()).open("train", CONFIG, 3, AUGMENT)
    batches = EpochBatches(data.order, len(data), 2)
    loader = make_loader(data, batches, collate, num_workers)
    found = []
    for epoch in range(2):
        batches.set_position(epoch)
        found += list(loader)
    return found


def test_a_layout_is_recognised_and_says_what_it_holds(layout: str, root: Path) -> None:
    source = open_source(root, DatasetConfig())
    assert source.layout == layout == LAYOUTS[layout].layout
    assert source.location == str(root)
    assert len(source.classes) >= 2
    assert {"train", "test"} <= set(source.num_samples)
    for split, number in source.num_samples.items():
        data = source.open(split, CONFIG, 0)
        assert len(data) == number
        assert len({data.key(index) for index in range(number)}) == number
        assert data.classes == source.classes
        assert all(data.label(index) in range(len(source.classes)) for index in range(number))
    with pytest.raises(Exception, match="nothing"):
        source.open("nothing", CONFIG, 0)


def test_samples_arrive_in_our_frame_and_are_the_same_on_a_second_read(layout: str, root: Path) -> None:
    data = open_source(root, DatasetConfig()).open("train", CONFIG, 3)
    whole = DataConfig(num_points=256 if layout == "shards" else 40)
    for index in range(len(data)):
        item = data[Address(EVALUATION, index)]
        assert item.points.shape == (30, 3)
        assert item.points.dtype == np.float32
        assert item.world_to_camera.shape == (0, 4, 4)
        assert item.images is None
        assert (item.label, item.key, item.index) == (data.label(index), data.key(index), index)
        np.testing.assert_array_equal(item.points, data[Address(EVALUATION, index)].points)
        assert not np.array_equal(item.points, data[Address(0, index)].points)
        if layout != "shards":  # whose frame is that of the mesh
            points = open_source(root, DatasetConfig()).open("train", whole, 3)[Address(EVALUATION, index)].points
            np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-6)
            assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-6)


def test_the_stream_does_not_depend_on_workers(root: Path) -> None:
    streams = [epochs(root, num_workers) for num_workers in (0, 2)]
    assert len(streams[0]) >= 2
    for one, other in zip(*streams, strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.index, other.index)


def test_evaluation_takes_every_sample_once(root: Path) -> None:
    data = open_source(root, DatasetConfig()).open("test", CONFIG, 3)
    batches = list(make_loader(data, evaluation_batches(range(len(data)), 2), collate, 0))
    assert torch.cat([batch.index[batch.valid] for batch in batches]).tolist() == list(range(len(data)))


def test_classes_are_matched_by_name(layout: str, root: Path) -> None:
    found = open_source(root, DatasetConfig()).classes
    wanted = ["other", *reversed(found)]
    source = open_source(root, DatasetConfig(), wanted)
    assert source.classes == tuple(wanted)
    plain, matched = (
        open_source(root, DatasetConfig(), classes).open("train", CONFIG, 0) for classes in (None, wanted)
    )
    for index in range(len(plain)):
        label, other = plain.label(index), matched.label(index)
        assert label is not None
        assert other is not None
        assert found[label] == wanted[other]
        assert matched[Address(0, index)].label == other
    with pytest.raises(TapError, match=rf"unknown to the model.*--label-map {found[0]}="):
        open_source(root, DatasetConfig(), ["chaise", *found[1:]])
    renamed = open_source(root, DatasetConfig(label_map={found[0]: found[1]}))
    assert renamed.classes == found[1:]
    labels = [renamed.open("train", CONFIG, 0).label(index) for index in range(len(plain))]
    assert labels == [max(0, (plain.label(index) or 0) - 1) for index in range(len(plain))]


def test_an_unknown_folder_gets_one_line_with_all_that_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TapError, match=r"no data set is recognised in it; looked for manifest\.json") as told:
        open_source(tmp_path, DatasetConfig())
    assert "\n" not in str(told.value)
    assert all(name in str(told.value) for name in LAYOUTS)
    with pytest.raises(TapError, match="no such folder"):
        open_source(tmp_path / "none", DatasetConfig())
    for name in ("auto", "modelnet40-h5"):
        with pytest.raises(TapError, match="xxx: cannot be read: File name too long"):
            open_source(tmp_path / ("x" * 300), DatasetConfig(layout=name))
    with pytest.raises(TapError, match=r"layout 'modelnet-h5' is unknown; the nearest is 'modelnet40-h5'"):
        open_source(tmp_path, DatasetConfig(layout="modelnet-h5"))


def test_a_folder_above_or_below_the_data_set_is_told(tmp_path: Path) -> None:
    root = scanobjectnn(tmp_path / "h5_files")
    told = rf"{root} holds scanobjectnn/obj_bg, give that folder"
    for wrong in (root / "main_split", tmp_path):
        with pytest.raises(TapError, match=rf"{wrong}: no data set is recognised in it; {told}; looked for"):
            open_source(wrong, DatasetConfig())


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"shards"}))
def test_a_named_layout_that_is_not_there_says_what_it_has_and_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(TapError, match=rf"is missing, layout {name} has it; ") as told:
        open_source(tmp_path, DatasetConfig(layout=name))
    assert LAYOUTS[name].obtain in str(told.value)
    with pytest.raises(TapError, match="no such folder; layout"):
        open_source(tmp_path / "none", DatasetConfig(layout=name))
    with pytest.raises(TapError, match="download it first"):
        open_source("s3://bucket/set", DatasetConfig(layout=name))


def test_a_folder_of_several_data_sets_asks_for_the_layout(tmp_path: Path) -> None:
    every = ["main_split/{}_objectdataset.h5", "main_split_nobg/{}_objectdataset.h5"]
    scanobjectnn(tmp_path, [*every, "main_split/{}_objectdataset_augmentedrot_scale75.h5"])
    with pytest.raises(
        TapError,
        match=r"holds scanobjectnn/obj_bg, scanobjectnn/obj_only, scanobjectnn/pb_t50_rs; .* --layout scanobjectnn/pb_t50_rs",
    ):
        open_source(tmp_path, DatasetConfig())
    assert open_source(tmp_path, DatasetConfig(layout="scanobjectnn/obj_only")).layout == "scanobjectnn/obj_only"


def test_modelnet10_lists_beside_those_of_modelnet40_are_no_doubt(tmp_path: Path) -> None:
    modelnet_txt(modelnet_txt(tmp_path, "modelnet10"))
    assert open_source(tmp_path, DatasetConfig()).layout == "modelnet40-txt"
    assert open_source(tmp_path, DatasetConfig(layout="modelnet10-txt")).layout == "modelnet10-txt"


@pytest.mark.parametrize("up", ["y", "z"])
def test_the_up_axis_can_be_said(tmp_path: Path, up: str) -> None:
    modelnet_h5(tmp_path)
    config = DataConfig(num_points=40, normals=True)
    default = open_source(tmp_path, DatasetConfig()).open("train", config, 0)[Address(EVALUATION, 0)]
    given = open_source(tmp_path, DatasetConfig.model_validate({"up": up})).open("train", config, 0)
    item = given[Address(EVALUATION, 0)]
    assert default.normals is not None
    assert item.normals is not None
    x, y, z = default.points.T  # the public release is y up: (x, y, z) of the file is (x, z, -y) of ours
    file = default.points if up == "y" else np.stack([x, z, -y], axis=1)
    np.testing.assert_allclose(item.points, file, atol=1e-6)
    x, y, z = default.normals.T
    file = default.normals if up == "y" else np.stack([x, z, -y], axis=1)
    np.testing.assert_allclose(item.normals, file, atol=1e-6)


def test_shards_are_up_already(shards: Path) -> None:
    with pytest.raises(TapError, match=r"leave dataset\.up out"):
        open_source(shards, DatasetConfig(up="y"))


def test_many_splits_are_counted_in_a_message(tmp_path: Path) -> None:
    for number in range(11):
        write_rows(tmp_path / "chair" / f"part{number:02d}" / "1.xyz", shape(number), " ")
    source = open_source(tmp_path, DatasetConfig(layout="folder"))
    with pytest.raises(TapError, match=r"has no split 'train'; it has part00, .*part07 and 3 more$"):
        source.open("train", DataConfig(), 0)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for layout in ("auto", "modelnet40-h5"):
        with pytest.raises(TapError, match="file: is a file; "):
            open_source(tmp_path / "file", DatasetConfig(layout=layout))


def test_a_home_of_nobody_is_one_line() -> None:
    with pytest.raises(TapError, match=r"^~no-such-user/data: that home folder is not known; write the whole path"):
        open_source("~no-such-user/data", DatasetConfig())
