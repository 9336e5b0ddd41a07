import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shards.stream import Address
from tap.config import apply_overrides
from tap.datasets import open_source
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.sampling import EVALUATION
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.part_data import open_data, open_part_source
from tap.tasks.parts.part_results import chosen_shapes, write_labels
from tap.tasks.parts.part_scores import PartScores, checked_parts, part_table
from tap.tasks.parts.part_segmentation import PartSegTask
from tap.tasks.parts.partseg import finetune_partseg
from tap.tasks.parts.partseg_presets import PARTSEG_PRESETS
from tap.training.checkpoint import load_record, load_tensors
from tap.training.task import Silent
from tests.tap.part_sets import tiny_config, write_part_set


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_part_set(tmp_path_factory.mktemp("sets") / "parts", {"train": 6, "val": 2, "test": 3})


@pytest.fixture(scope="module")
def config() -> PartSegConfig:
    return tiny_config()


@pytest.fixture(scope="module")
def finished(parts: Path, config: PartSegConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "scratch"
    finetune_partseg(parts, out, config)
    return out


def test_a_run_from_scratch_end_to_end(parts: Path, config: PartSegConfig, finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert result["num_used"] == {"train": 12, "validation": 4, "test": 6}
    assert result["selected_on"] == "validation instance mIoU, split val"
    assert (result["init"], result["reinitialized"], result["num_points"]) == (None, [], 64)
    with (finished / "eval.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["split"] for row in rows] == ["validation", "validation"]
    best = max(float(row["instance_miou"]) for row in rows)
    assert result["validation"]["best"]["instance_miou"] == best
    assert result["validation"]["last"]["instance_miou"] == float(rows[-1]["instance_miou"])
    assert set(result["test"]["last"]) == {"loss", "point_accuracy", "instance_miou", "class_miou"}
    shapes = [result["categories"][name]["num_shapes"] for name in ("Box", "Rod")]
    assert (shapes, result["categories_of"]) == ([3, 3], "test")
    mean = sum(result["categories"][name]["best"] for name in ("Box", "Rod")) / 2
    assert result["test"]["best"]["class_miou"] == pytest.approx(mean)
    record = load_record(finished / "last")
    assert record["data"]["part_names"] == ["Box: body", "Box: lid", "Rod: shaft", "Rod: tip", "Rod: end"]
    assert record["data"]["class_parts"] == [[0, 1], [2, 3, 4]]
    assert record["data"]["num_samples"] == {"train": 12, "val": 4, "test": 6}


def test_the_labels_of_the_test_points_are_kept(parts: Path, config: PartSegConfig, finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    test = open_source(parts, config.dataset).open("test", config.data, config.train.seed)
    table = part_table([(0, 1), (2, 3, 4)], 5)
    right = []
    with np.load(finished / "parts.npz", allow_pickle=False) as kept:
        assert sorted(kept) == sorted(test.key(index) for index in range(6))
        for index in range(6):
            labels, item = kept[test.key(index)], test[Address(EVALUATION, index)]
            assert (labels.shape, labels.dtype) == ((3, 64), np.uint8)
            assert item.parts is not None
            assert np.array_equal(labels[0], item.parts)
            assert set(labels[1:].flat) <= set(table[item.label].nonzero()[:, 0].tolist())
            right.append((labels[0] == labels[2]).mean())
    assert np.mean(right) == pytest.approx(result["test"]["best"]["point_accuracy"])


def test_the_report_shows_parts_and_categories(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "Parts of test shapes, true above predicted" in page
    assert (finished / "parts.png").read_bytes().startswith(b"\x89PNG")
    assert "Box" in page


def test_it_learns_to_tell_parts(parts: Path, config: PartSegConfig, tmp_path: Path, finished: Path) -> None:
    longer = apply_overrides(config, ["train.epochs=15", "train.learning_rate=0.01", "train.eval_every=15"])
    result = finetune_partseg(parts, tmp_path, longer)
    before = json.loads((finished / "result.json").read_text())["test"]["last"]["instance_miou"]
    assert result["test"]["last"]["instance_miou"] > max(before, 0.7)  # saying one part everywhere is below .5


class StopAt(Silent):
    def on_step(self, numbers: Any) -> None:
        if numbers["step"] == 5:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    parts: Path, config: PartSegConfig, finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        finetune_partseg(parts, tmp_path, config, progress=StopAt())
    result = finetune_partseg(parts, tmp_path, config, resume=True)
    whole, parted = (load_tensors(out / "last" / "model.safetensors") for out in (finished, tmp_path))
    assert all(torch.equal(whole[name], parted[name]) for name in whole)
    assert result["test"] == json.loads((finished / "result.json").read_text())["test"]


def test_a_finished_run_is_read_and_not_run_again(parts: Path, config: PartSegConfig, finished: Path) -> None:
    before = (finished / "parts.npz").stat().st_mtime_ns
    again = finetune_partseg(parts, finished, config, resume=True)
    assert again == json.loads((finished / "result.json").read_text())
    assert (finished / "parts.npz").stat().st_mtime_ns == before


def test_without_a_validation_split_some_of_train_are_cut(parts: Path, config: PartSegConfig, tmp_path: Path) -> None:
    short = apply_overrides(config, ["train.epochs=1", "val_split=null", "validation_share=0.5", "test_split=none"])
    result = finetune_partseg(parts, tmp_path, short)
    assert result["num_used"] == {"train": 6, "validation": 6, "test": 0}
    assert result["selected_on"] == "validation instance mIoU, 50% of each category of train"
    assert result["test"] is None
    assert (result["categories_of"], result["categories"]["Rod"]["num_shapes"]) == ("validation", 3)


def test_selection_on_test_is_told(parts: Path, config: PartSegConfig, tmp_path: Path) -> None:
    short = apply_overrides(config, ["train.epochs=1", "select=test", "train_split=trainval"])
    result = finetune_partseg(parts, tmp_path, short)
    assert result["num_used"] == {"train": 16, "validation": 0, "test": 6}
    assert result["selected_on"] == "test instance mIoU, as the authors did: optimistic"
    assert result["validation"] is None
    with (tmp_path / "eval.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["split"] == "test"
    assert float(row["instance_miou"]) == result["test"]["best"]["instance_miou"]


def test_the_cut_follows_its_own_seed(parts: Path, config: PartSegConfig) -> None:
    cuts = []
    for change in (["train.seed=1"], ["train.seed=1", "split_seed=0"], ["train.seed=0"]):
        changed = apply_overrides(config, ["val_split=null", "validation_share=0.5", *change])
        cuts.append(open_data(open_part_source(parts, changed.dataset), changed, None).validation[1].tolist())
    assert cuts[1] == cuts[2] != cuts[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["train_split=trainval"],
            "4 shapes of split val are in trainval too, .* set val_split=null to cut validation",
        ),
        (["val_split=test"], "are train, test, test; they have to be different ones"),
        (["select=test", "test_split=none"], "select=test, but there is no split none"),
        (["train.batch_size=1"], "batches of 1 on each of 1 devices"),
        (["data.num_points=400"], "stores 300 points, data.num_points asks for 400"),
    ],
    ids=["overlap", "same", "no test", "one", "points"],
)
def test_settings_that_do_not_fit_are_one_line(
    parts: Path, config: PartSegConfig, tmp_path: Path, changes: list[str], message: str
) -> None:
    with pytest.raises(TapError, match=message):
        finetune_partseg(parts, tmp_path / "run", apply_overrides(config, changes))
    assert not (tmp_path / "run").exists()


def test_a_set_without_parts_is_one_line(shards: Path, config: PartSegConfig, tmp_path: Path) -> None:
    with pytest.raises(
        TapError, match="layout shards has no part labels; part segmentation takes one in the layout of"
    ):
        finetune_partseg(shards, tmp_path, config)


def test_a_wrong_part_names_the_shape(parts: Path, config: PartSegConfig) -> None:
    test = open_source(parts, config.dataset).open("test", config.data, 0)
    batch = collate([test[Address(EVALUATION, index)] for index in range(2)])
    wrong = part_table([(0,), (1, 2, 3, 4)], 5)
    with pytest.raises(
        TapError, match=rf"shape {test.key(0)} of category Box has a point of part 1, .* the parts \[0\]"
    ):
        checked_parts(batch, test, wrong)
    table = part_table([(0, 1), (2, 3, 4)], 5)
    assert checked_parts(batch, test, table) is batch.parts


def test_samples_that_only_fill_up_do_not_count(parts: Path, config: PartSegConfig) -> None:
    data = open_data(open_part_source(parts, config.dataset), config, None)
    task = PartSegTask(config, data, False)
    task.model.eval()  # of batch norm fill is a part
    items = [data.train[Address(0, index, valid=index < 2)] for index in range(4)]
    with torch.no_grad():
        whole = task.training_step(task.model, collate(items))
        alone = task.training_step(task.model, collate(items[:2]))
        empty = task.training_step(task.model, collate([data.train[Address(0, 0, valid=False)]]))
    assert float(whole["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-5)
    assert float(whole["train_accuracy"]) == pytest.approx(float(alone["train_accuracy"]))
    assert (float(empty["loss"]), float(empty["train_accuracy"])) == (0.0, 0.0)


def scores_of(category: list[int], iou: list[float]) -> PartScores:
    number = len(iou)
    labels = torch.arange(number, dtype=torch.int16)[:, None].expand(-1, 4)
    index = torch.arange(number)
    return PartScores(index, torch.tensor(category), labels, labels, torch.tensor(iou), torch.zeros(number))


def test_the_shown_shapes_are_the_middle_ones_of_spread_categories() -> None:
    scores = scores_of([0, 0, 0, 1, 2], [0.9, 0.1, 0.5, 0.3, 0.2])
    assert chosen_shapes(scores, 8) == [2, 3, 4]
    assert chosen_shapes(scores, 2) == [2, 4]


def test_many_parts_take_wider_numbers(tmp_path: Path, parts: Path, config: PartSegConfig) -> None:
    test = open_source(parts, config.dataset).open("test", config.data, 0)
    scores = scores_of([0, 0], [1.0, 1.0])
    object.__setattr__(scores, "truth", torch.full((2, 4), 300, dtype=torch.int16))
    write_labels(tmp_path / "parts.npz", test, [scores])
    with np.load(tmp_path / "parts.npz", allow_pickle=False) as kept:
        assert kept[test.key(1)].tolist() == [[300] * 4, [1] * 4]


@pytest.mark.parametrize("name", PARTSEG_PRESETS)
def test_every_preset_knows_its_points_and_inputs(name: str) -> None:
    config = PARTSEG_PRESETS[name]()
    size, _, backbone = name.partition("/")
    assert config.data.num_points == (1024 if size == "small" else 2048)
    assert (config.val_split, config.select) == ("val", "validation")
    if size != "small":
        assert config.backbone is not None
        assert config.data.normals == (backbone != "transformer")
        assert config.backbone.settings.get("inputs", "none") == ("none" if backbone == "transformer" else "xyz_normal")
        assert config.train.epochs == 300
        assert config.decoder == ("pointmlp" if backbone == "pointmlp" else "levels")


def test_a_damaged_shape_is_left_out_and_counted(config: PartSegConfig, tmp_path: Path) -> None:
    root = write_part_set(tmp_path / "set", {"train": 3, "val": 1, "test": 2})
    (root / "02" / "5.txt").write_text("1 2 3\n")
    skipping = apply_overrides(config, ["train.epochs=1", "data.on_error=skip"])
    result = finetune_partseg(root, tmp_path / "run", skipping)
    assert result["num_damaged"] == {"validation": 0, "test": 1}
    assert {name: row["num_shapes"] for name, row in result["categories"].items()} == {"Box": 2, "Rod": 1}
    with np.load(tmp_path / "run" / "parts.npz", allow_pickle=False) as kept:
        assert sorted(kept) == ["01/4", "01/5", "02/4"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_shapes_of_test_may_neither_train_nor_select(config: PartSegConfig, tmp_path: Path, split: str) -> None:
    root = write_part_set(tmp_path / "set", {"train": 3, "val": 1, "test": 1})
    lists = root / "train_test_split"
    test = json.loads((lists / "shuffled_test_file_list.json").read_text())
    (lists / f"shuffled_{split}_file_list.json").write_text(json.dumps(test))
    with pytest.raises(TapError, match=rf"2 shapes of split test are in {split} too"):
        finetune_partseg(root, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
