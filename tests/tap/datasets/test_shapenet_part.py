"""ShapeNetPart: splits, part labels, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.stream import Address
from tap.datasets import DatasetConfig, PartSource
from tap.datasets.part_names import PUBLISHED
from tap.datasets.shapenet_part import ShapeNetPart
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.loading.sampling import EVALUATION
from tests.tap.datasets.tiny_sets import SYNSETS, shape, shapenet_part, write_rows

CONFIG = DataConfig(num_points=40, normals=True)
MUG = f"{SYNSETS['Mug']}/train2"


def test_trainval_is_both_and_samples_carry_their_parts(tmp_path: Path) -> None:
    source = ShapeNetPart(shapenet_part(tmp_path))
    as_protocol: PartSource = source
    assert as_protocol.num_samples == {"train": 3, "val": 3, "test": 3, "trainval": 6}
    keys = [source.open("trainval", CONFIG, 0).key(index) for index in range(6)]
    assert keys == [
        f"{synset}/{split}{place}" for split in ("train", "val") for place, synset in enumerate(SYNSETS.values())
    ]
    item = source.open("train", CONFIG, 0)[Address(EVALUATION, 2)]
    assert item.label == 2
    assert item.parts is not None
    assert item.parts.dtype == np.int64
    # row k of the file is part 36 + k % 2, so a point's normal tells its part
    x, y, z = shape(2)[:, 3:].T
    assert item.normals is not None
    distance = np.linalg.norm(item.normals[:, None] - np.stack([x, -z, y], axis=1), axis=2)
    np.testing.assert_array_equal(item.parts, 36 + distance.argmin(axis=1) % 2)


def test_the_published_categories_have_their_published_parts(tmp_path: Path) -> None:
    source = ShapeNetPart(shapenet_part(tmp_path))
    assert source.classes == ("Airplane", "Cap", "Mug")
    assert source.class_parts == ((0, 1, 2, 3), (6, 7), (36, 37))
    assert len(source.part_names) == 50
    assert (source.part_names[0], source.part_names[37]) == ("Airplane: part 0", "Mug: part 1")
    assert [part for parts in PUBLISHED.values() for part in parts] == list(range(50))
    assert len(PUBLISHED) == 16


def test_parts_follow_the_classes_of_a_trained_model(tmp_path: Path) -> None:
    source = ShapeNetPart(shapenet_part(tmp_path), None, ["Mug", "Lamp", "Cap", "Airplane"])
    assert source.class_parts == ((36, 37), (), (6, 7), (0, 1, 2, 3))
    joined = ShapeNetPart(tmp_path, DatasetConfig(label_map={"Mug": "Cap"}))
    assert (joined.classes, joined.class_parts) == (("Airplane", "Cap"), ((0, 1, 2, 3), (6, 7, 36, 37)))
    assert joined.open("train", CONFIG, 0)[Address(0, 2)].label == 1


@pytest.mark.parametrize(
    ("label", "told"),
    [(38, r"part 38 is not one of the parts of its class, 36, 37"), (36.5, "part 36.5 is not one of")],
)
def test_a_label_outside_of_its_category_names_file_and_line(tmp_path: Path, label: float, told: str) -> None:
    source = ShapeNetPart(shapenet_part(tmp_path))
    labels = np.full(40, 36.0)
    labels[11] = label
    write_rows(tmp_path / f"{MUG}.txt", np.column_stack([shape(0), labels]), " ")
    with pytest.raises(TapError, match=rf"{MUG}\.txt: line 12: {told}"):
        source.open("train", CONFIG, 0)[Address(0, 2)]


TABLE: dict[str, Any] = {
    "Mug": {"part_ids": [1, 0], "part_names": ["cup", "handle"]},
    "Airplane": {"part_ids": [2, 3, 4, 5], "part_names": ["body", "wing", "tail", "engine"]},
    "Cap": {"part_ids": [6, 7], "part_names": ["peak", "panel"]},
}


def test_parts_json_names_them(tmp_path: Path) -> None:
    (shapenet_part(tmp_path) / "parts.json").write_text(json.dumps(TABLE))
    source = ShapeNetPart(tmp_path)
    assert source.class_parts == ((2, 3, 4, 5), (6, 7), (0, 1))
    assert source.part_names[:3] == ("Mug: handle", "Mug: cup", "Airplane: body")
    with pytest.raises(TapError, match=r"part 0 is not one of the parts of its class, 2, 3, 4, 5"):
        source.open("train", CONFIG, 0)[Address(0, 0)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Mug": {"part_ids": [0], "part_names": ["cup", "handle"]}}, "Mug: part_ids and part_names are not two lists"),
        ({"Mug": {"part_ids": [0, 2], "part_names": ["cup", "handle"]}}, "Airplane: part 2 .* is named twice"),
        ({"Mug": {"part_ids": [0, 9], "part_names": ["cup", "handle"]}}, "its 8 parts are not numbered from 0 to 7"),
        ({"Mug": {"part_ids": [0, "1"], "part_names": ["cup", "handle"]}}, "Mug: part '1' is no whole number"),
        (None, "has no parts of 'Airplane'"),
    ],
)
def test_a_wrong_parts_json_is_refused(tmp_path: Path, change: dict[str, Any] | None, told: str) -> None:
    content = [] if change is None else TABLE | change
    (shapenet_part(tmp_path) / "parts.json").write_text(json.dumps(content))
    with pytest.raises(TapError, match=rf"parts\.json: {told}"):
        ShapeNetPart(tmp_path)


def renamed(root: Path, names: dict[str, str]) -> Path:
    table = "".join(f"{names.get(name, name)} {synset}\n" for name, synset in SYNSETS.items())
    (shapenet_part(root) / "synsetoffset2category.txt").write_text(table)
    return root


def test_of_other_categories_the_parts_are_read_from_the_data(tmp_path: Path) -> None:
    source = ShapeNetPart(renamed(tmp_path, {"Cap": "Hat"}))
    assert source.class_parts == ((0, 1, 2, 3), (6, 7), (36, 37))
    assert len(source.part_names) == 38
    assert [source.part_names[label] for label in (3, 4, 7)] == ["Airplane: part 3", "unused 4", "Hat: part 7"]


def test_parts_of_two_classes_are_refused(tmp_path: Path) -> None:
    renamed(tmp_path, {"Cap": "Hat"})
    write_rows(tmp_path / f"{MUG}.txt", np.column_stack([shape(0), np.full(40, 7)]), " ")
    with pytest.raises(TapError, match=r"part 7 occurs in Hat and in Mug"):
        ShapeNetPart(tmp_path)
    for label in (10_000, 1e300, np.nan):
        write_rows(tmp_path / f"{MUG}.txt", np.column_stack([shape(0), np.full(40, label)]), " ")
        with pytest.raises(
            TapError, match=rf"{MUG}\.txt: line 1: part .* is not one of the whole numbers from 0 to 9999"
        ):
            ShapeNetPart(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "train_test_split/shuffled_val_file_list.json",
            None,
            r"shuffled_val_file_list\.json is missing, .*_normal\.zip",
        ),
        (f"{MUG}.txt", None, rf"{MUG}\.txt is missing, layout shapenetpart"),
        (
            "train_test_split/shuffled_val_file_list.json",
            '["shape_data/1/x"]',
            "is of category '1', which synsetoffset2",
        ),
        ("train_test_split/shuffled_val_file_list.json", '["x"]', "'x' is no shape_data/SYNSET/ID"),
        ("train_test_split/shuffled_val_file_list.json", '["shape_data/02954340/.."]', "is no shape_data/SYNSET/ID"),
        ("train_test_split/shuffled_val_file_list.json", "{}", "holds no list of"),
        (
            "train_test_split/shuffled_val_file_list.json",
            '["shape_data/02954340/val1", "02954340/val1"]',
            r"shuffled_val_file_list\.json: '02954340/val1' is listed twice",
        ),
        ("train_test_split/shuffled_val_file_list.json", "[", "is no JSON"),
        ("synsetoffset2category.txt", "Mug 1 2\n", "'Mug 1 2' is no new NAME FOLDER"),
        ("synsetoffset2category.txt", "Mug 1\nCup 1\n", "'Cup 1' is no new NAME FOLDER"),
    ],
)
def test_lists_are_checked_on_entry(tmp_path: Path, name: str, content: str | None, told: str) -> None:
    file = shapenet_part(tmp_path) / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(TapError, match=told):
        ShapeNetPart(tmp_path)


def test_many_missing_shapes_are_counted(tmp_path: Path) -> None:
    for file in (shapenet_part(tmp_path) / SYNSETS["Mug"]).iterdir():
        file.unlink()
    with pytest.raises(TapError, match=rf"{MUG}\.txt, the first of 3 of 9 files, is missing"):
        ShapeNetPart(tmp_path)
