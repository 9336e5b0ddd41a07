"""The traps of ScanObjectNN, ModelNet40 and folders of clouds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.stream import Address
from tap.datasets import DatasetConfig, open_source
from tap.datasets.frame import to_our_frame
from tap.errors import TapError
from tap.loading.collate import Item
from tap.loading.data import DataConfig
from tap.loading.sampling import EVALUATION
from tests.tap.datasets.tiny_sets import (
    class_folder,
    modelnet_h5,
    modelnet_txt,
    scanobjectnn,
    shape,
    write_h5,
    write_rows,
)

ALL = DataConfig(num_points=40, normals=True)


def whole(root: Path, split: str, index: int, config: DataConfig = ALL) -> Item:
    """All points of a sample, in the order of its draw."""
    return open_source(root, DatasetConfig()).open(split, config, 0)[Address(EVALUATION, index)]


def assert_is(item: Item, rows: np.ndarray, up: str) -> None:
    """The item holds the points of a file, in our frame, each with its own normal."""
    points, normals = to_our_frame(rows[:, :3], rows[:, 3:] if rows.shape[1] == 6 else None, up)  # type: ignore[arg-type]
    mine, theirs = np.argsort(item.points[:, 0]), np.argsort(points[:, 0])
    np.testing.assert_allclose(item.points[mine], points[theirs], atol=1e-5)
    if item.normals is not None and normals is not None:
        np.testing.assert_allclose(item.normals[mine], normals[theirs], atol=1e-5)


def test_scanobjectnn_has_its_classes_and_is_y_up(tmp_path: Path) -> None:
    source = open_source(scanobjectnn(tmp_path), DatasetConfig())
    assert (len(source.classes), source.classes[0], source.classes[4], source.classes[14]) == (
        15,
        "bag",
        "chair",
        "toilet",
    )
    data = source.open("train", DataConfig(num_points=40), 0)
    assert [data.label(index) for index in range(3)] == [0, 14, 4]
    assert data.key(2) == "training_objectdataset/2"
    assert_is(whole(tmp_path, "test", 1, DataConfig(num_points=40)), shape(11)[:, :3], "y")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"label": np.asarray([0, 15, 4])},
            r"the label of row 1 is 15; ScanObjectNN: 15 classes, so labels go from 0 to 14",
        ),
        ({"label": np.asarray([0, -1, 4])}, "the label of row 1 is -1"),
        ({"label": np.asarray([0.0, 1.0, 2.0])}, "labels are float64; whole numbers"),
        ({"label": np.asarray([0, 1])}, r"data is \(3, 40, 3\) and label \(2,\)"),
        ({"data": np.zeros((3, 40, 6))}, r"data is \(3, 40, 6\)"),
        ({"data": np.zeros((0, 40, 3)), "label": np.zeros(0, int)}, "holds no clouds"),
        ({"data": None}, r"has no numbers under the key 'data'; its keys are label, normal"),
    ],
)
def test_wrong_h5_files_are_refused_on_entry(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    scanobjectnn(tmp_path)
    file = tmp_path / "main_split/test_objectdataset.h5"
    write_h5(file, [0, 1, 2], **changes)
    with pytest.raises(TapError, match=told) as error:
        open_source(tmp_path, DatasetConfig())
    assert str(error.value).startswith(str(file))


def test_a_missing_or_damaged_h5_file_is_named(tmp_path: Path) -> None:
    scanobjectnn(tmp_path)
    file = tmp_path / "main_split/test_objectdataset.h5"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(TapError, match=r"test_objectdataset\.h5: cannot be read as HDF5, copy it anew"):
        open_source(tmp_path, DatasetConfig())
    file.unlink()
    with pytest.raises(
        TapError, match=r"main_split/test_objectdataset\.h5 is missing, .*hkust-vgd.github.io/scanobjectnn"
    ):
        open_source(tmp_path, DatasetConfig())


def test_of_modelnet_lists_only_the_file_name_counts(tmp_path: Path) -> None:
    source = open_source(modelnet_h5(tmp_path), DatasetConfig())
    assert source.num_samples == {"train": 5, "test": 2}
    data = source.open("train", ALL, 0)
    assert [source.classes[data.label(index) or 0] for index in range(5)] == [
        *("airplane", "night_stand", "tv_stand", "night_stand", "airplane")
    ]
    assert_is(whole(tmp_path, "train", 0), shape(1), "y")
    assert_is(whole(tmp_path, "train", 4), shape(5), "y")
    assert_is(whole(tmp_path, "test", 1), shape(10), "y")


@pytest.mark.parametrize("name", ["shape_names.txt", "test_files.txt", "ply_data_train1.h5"])
def test_what_is_missing_of_modelnet_h5_is_named(tmp_path: Path, name: str) -> None:
    (modelnet_h5(tmp_path) / name).unlink()
    with pytest.raises(
        TapError, match=rf": {name}.* is missing, layout modelnet40-h5 has it; get modelnet40_ply_hdf5_2048"
    ):
        open_source(tmp_path, DatasetConfig())


def test_labels_beyond_the_named_classes_are_refused(tmp_path: Path) -> None:
    modelnet_h5(tmp_path)
    (tmp_path / "shape_names.txt").write_text("airplane\nnight_stand\n")
    with pytest.raises(TapError, match=r"ply_data_train1.h5: the label of row 0 is 2; shape_names.txt: 2 classes"):
        open_source(tmp_path, DatasetConfig())


def test_normals_of_another_shape_are_refused(tmp_path: Path) -> None:
    modelnet_h5(tmp_path)
    write_h5(tmp_path / "ply_data_test0.h5", [1, 0], normal=np.zeros((2, 39, 3)))
    open_source(tmp_path, DatasetConfig()).open("test", DataConfig(num_points=40), 0)
    with pytest.raises(TapError, match=r"normal is \(2, 39, 3\), data \(2, 40, 3\)"):
        open_source(tmp_path, DatasetConfig()).open("test", ALL, 0)


def test_a_modelnet_class_may_have_underscores(tmp_path: Path) -> None:
    source = open_source(modelnet_txt(tmp_path), DatasetConfig())
    data = source.open("train", ALL, 0)
    assert [(data.key(index), data.label(index)) for index in range(2)] == [
        ("airplane_0001", 0),
        ("night_stand_0012", 1),
    ]
    assert_is(whole(tmp_path, "train", 1), shape(12), "y")


def test_modelnet_text_is_checked_on_entry_and_read_when_needed(tmp_path: Path) -> None:
    modelnet_txt(tmp_path)
    file = tmp_path / "night_stand/night_stand_0012.txt"
    write_rows(file, shape(0)[:, :3], ",")
    data = open_source(tmp_path, DatasetConfig()).open("train", ALL, 0)
    with pytest.raises(TapError, match=r"night_stand_0012\.txt: holds 40 lines of 3 numbers; 6 a line are expected"):
        data[Address(0, 1)]
    file.write_text("0.1,0.2,0.3,0,0,1\n0.1,0.2,x,0,0,1\n")
    with pytest.raises(TapError, match=r"night_stand_0012\.txt: is not lines of 6 numbers: .*'x'.* row 1"):
        data[Address(0, 1)]
    file.write_text("")
    with pytest.raises(TapError, match=r"night_stand_0012\.txt: holds 0 lines"):
        data[Address(0, 1)]
    file.unlink()
    with pytest.raises(
        TapError, match=r": night_stand/night_stand_0012\.txt is missing, .*modelnet40_normal_resampled"
    ):
        open_source(tmp_path, DatasetConfig())
    (tmp_path / "modelnet40_test.txt").write_text("night_stand_0201\nsofa_0001\n")
    with pytest.raises(TapError, match=r"modelnet40_test\.txt: 'sofa_0001' is no CLASS_NUMBER"):
        open_source(tmp_path, DatasetConfig())
    (tmp_path / "modelnet40_test.txt").write_text("\n")
    with pytest.raises(TapError, match=r"modelnet40_test\.txt: is empty"):
        open_source(tmp_path, DatasetConfig())


def test_a_folder_of_clouds_is_z_up_with_paths_as_keys(tmp_path: Path) -> None:
    class_folder(tmp_path)
    (tmp_path / ".cache/train").mkdir(parents=True)
    write_rows(tmp_path / ".cache/train/x.xyz", shape(0), " ")
    (tmp_path / "chair/train/notes.md").write_text("not a cloud")
    (tmp_path / "readme.txt").write_text("neither is this")
    source = open_source(tmp_path, DatasetConfig())
    assert (source.classes, source.num_samples) == (("chair", "sofa"), {"test": 2, "train": 3})
    data = source.open("train", ALL, 0)
    keys = ["chair/train/1.xyz", "chair/train/3.npy", "sofa/train/a.txt"]
    assert [data.key(index) for index in range(3)] == keys
    assert [data.label(index) for index in range(3)] == [0, 0, 1]
    assert_is(whole(tmp_path, "train", 1), shape(9), "z")


def test_a_mesh_is_no_cloud(tmp_path: Path) -> None:
    class_folder(tmp_path)
    (tmp_path / "chair/train/0.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    )
    data = open_source(tmp_path, DatasetConfig()).open("train", DataConfig(num_points=3), 0)
    with pytest.raises(TapError, match=r"0\.ply: is a mesh, .* render it with tap render"):
        data[Address(0, 0)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("shape_names.txt", "airplane\nairplane\ntv_stand\n", r"shape_names\.txt: 'airplane' is listed twice"),
        ("test_files.txt", "x/ply_data_train1.h5\n", r"test_files\.txt: 'ply_data_train1\.h5' is listed twice"),
    ],
)
def test_what_is_listed_twice_in_modelnet_h5_is_refused(tmp_path: Path, name: str, content: str, told: str) -> None:
    (modelnet_h5(tmp_path) / name).write_text(content)
    with pytest.raises(TapError, match=told):
        open_source(tmp_path, DatasetConfig())


def test_a_shape_of_train_is_none_of_test_in_modelnet_text(tmp_path: Path) -> None:
    (modelnet_txt(tmp_path) / "modelnet40_test.txt").write_text("airplane_0001\n")
    with pytest.raises(TapError, match=r"the lists of modelnet40: 'airplane_0001' is listed twice"):
        open_source(tmp_path, DatasetConfig())


def test_the_mark_that_some_editors_begin_files_with_is_no_part_of_a_class(tmp_path: Path) -> None:
    modelnet_h5(tmp_path)
    (tmp_path / "shape_names.txt").write_bytes("\ufeffairplane\r\nnight_stand\r\ntv_stand\r\n".encode())
    assert open_source(tmp_path, DatasetConfig()).classes == ("airplane", "night_stand", "tv_stand")
