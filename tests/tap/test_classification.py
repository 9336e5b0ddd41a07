import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shards.reader import ShardReader
from tap.checkpoint import load_tensors
from tap.config import apply_overrides
from tap.data import SampleData
from tap.errors import TapError
from tap.sampling import EVALUATION, Address
from tap.task import Silent
from tap.tasks.classification import finetune_classification
from tap.tasks.classifier import ClassificationConfig, ClassificationTask
from tap.tasks.pretrain import PretrainConfig, pretrain
from tap.tasks.scores import Scores
from tap.tasks.split import cut_share, epoch_order


@pytest.fixture(scope="module")
def run(shards: Path, pretrain_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    pretrain(shards, out, apply_overrides(pretrain_config, ["train.epochs=1"]))
    return out


def test_the_cut_takes_of_each_class_and_is_seeded() -> None:
    labels = [0] * 10 + [1] * 4 + [2] * 2 + [3]
    train, validation = cut_share(labels, 0.2, 0)
    assert sorted([*train, *validation]) == list(range(17))
    assert np.bincount(np.array(labels)[validation], minlength=4).tolist() == [2, 1, 1, 0]
    assert np.array_equal(cut_share(labels, 0.2, 0)[1], validation)
    assert not np.array_equal(cut_share(labels, 0.2, 1)[1], validation)
    assert np.bincount(np.array(labels)[cut_share(labels, 0.99, 0)[0]]).tolist() == [1, 1, 1, 1]


def test_the_order_is_that_of_the_reader_without_the_cut(shards: Path) -> None:
    reader = ShardReader(shards, "train")
    order = epoch_order(reader, {0, 3, 7}, 0, 2)
    assert sorted(order.tolist()) == [0, 3, 7]
    assert [index for index in reader.order(0, 2).tolist() if index in {0, 3, 7}] == order.tolist()


def test_numbers_by_hand() -> None:
    truth, predicted = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    scores = Scores(torch.arange(4), truth, predicted, torch.ones(4), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    metrics = scores.metrics(num_classes=5)
    assert metrics == pytest.approx({"loss": 2.5, "accuracy": 0.75, "class_mean_accuracy": (2 / 3 + 1) / 2})


def test_from_a_run_end_to_end(
    shards: Path, run: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["backbone=null", "backbone_warmup_epochs=2"])
    result = finetune_classification(shards, tmp_path, config, init=run)
    assert result["num_used"] == {"train": 12, "validation": 3, "test": 6}
    assert result["selected_on"] == "validation accuracy, 20% of each class of train"
    assert result["init"] == str(run)
    assert set(result["test"]) == {"last", "best"}
    assert set(result["test"]["best"]) == {"loss", "accuracy", "class_mean_accuracy"}
    assert json.loads((tmp_path / "result.json").read_text()) == result
    with (tmp_path / "eval.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    best = max(float(row["accuracy"]) for row in rows)
    first = next(int(row["epoch"]) for row in rows if float(row["accuracy"]) == best)
    assert (result["validation"]["best"]["accuracy"], result["best_epoch"]) == (best, first)
    assert result["validation"]["last"]["accuracy"] == float(rows[-1]["accuracy"])
    with (tmp_path / "predictions.csv").open() as stream:
        predictions = list(csv.DictReader(stream))
    assert len(predictions) == 6
    right = np.mean([row["truth"] == row["best"] for row in predictions])
    assert right == pytest.approx(result["test"]["best"]["accuracy"])
    stored = json.loads((tmp_path / "last" / "config.json").read_text())["config"]["backbone"]
    assert stored == json.loads((run / "config.json").read_text())["config"]["model"]["backbone"]


def test_the_backbone_starts_from_the_run(
    shards: Path, run: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    # With a warm-up far longer than the run the backbone's rate stays near 0, so its weights stay those of the run.
    config = apply_overrides(classification_config, ["backbone_warmup_epochs=1e9", "train.epochs=2"])
    finetune_classification(shards, tmp_path, config, init=run)
    before, after = (load_tensors(folder / "last" / "model.safetensors") for folder in (run, tmp_path))
    names = [name for name in before if name.startswith("backbone.") and name.endswith("weight")]
    assert names
    for name in names:
        torch.testing.assert_close(before[name], after[name], atol=1e-6, rtol=0)


def test_interrupted_and_resumed_gives_the_same_result(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    class Stop(Silent):
        def on_eval(self, numbers: object) -> None:
            raise KeyboardInterrupt

    whole = finetune_classification(shards, tmp_path / "whole", classification_config)
    with pytest.raises(KeyboardInterrupt):
        finetune_classification(shards, tmp_path / "parts", classification_config, progress=Stop())
    parts = finetune_classification(shards, tmp_path / "parts", classification_config, resume=True)
    assert parts == whole
    assert (tmp_path / "parts/eval.csv").read_text() == (tmp_path / "whole/eval.csv").read_text()
    test_set_gone = finetune_classification(shards, tmp_path / "parts", classification_config, resume=True)
    assert test_set_gone == whole


def test_without_a_test_split_the_result_says_so(
    train_only: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    result = finetune_classification(train_only, tmp_path, apply_overrides(classification_config, ["train.epochs=1"]))
    assert result["test"] is None
    assert result["validation"]["last"]["accuracy"] >= 0


def test_another_backbone_than_the_runs_is_refused(
    shards: Path, run: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["backbone.settings.depth=3"])
    with pytest.raises(TapError, match=r"settings\.depth \(2 and 3\)"):
        finetune_classification(shards, tmp_path / "out", config, init=run)
    with pytest.raises(TapError, match="neither a checkpoint nor a run"):
        finetune_classification(shards, tmp_path / "out", config, init=tmp_path)


def test_too_little_data_is_said(shards: Path, tmp_path: Path, classification_config: ClassificationConfig) -> None:
    with pytest.raises(TapError, match=r"stores 256 points, data\.num_points asks for 300"):
        finetune_classification(shards, tmp_path, apply_overrides(classification_config, ["data.num_points=300"]))
    with pytest.raises(TapError, match="in batches of 1 "):
        finetune_classification(shards, tmp_path, apply_overrides(classification_config, ["train.batch_size=1"]))


def test_the_backbones_rate_rises_from_nothing(shards: Path, classification_config: ClassificationConfig) -> None:
    config = apply_overrides(classification_config, ["backbone_warmup_epochs=4"])
    data = SampleData(ShardReader(shards, "train"), config.data, 0, "none")
    _ = data[Address(EVALUATION, 0)]
    everything = np.arange(15)
    task = ClassificationTask(config, data, everything, everything, pretrained=True)
    assert [task.rate_scale("backbone", epoch) for epoch in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert task.rate_scale("head", 0) == 1
    scratch = ClassificationTask(config, data, everything, everything, pretrained=False)
    assert scratch.rate_scale("backbone", 0) == 1
    assert {task.part_of(name) for name, _ in task.model.named_parameters()} == {"backbone", "head"}
