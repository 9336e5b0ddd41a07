import csv
import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shards.errors import ShardError
from shards.reader import ShardReader
from shards.stream import Address
from tap.config import apply_overrides
from tap.errors import TapError
from tap.loading.collate import Item, collate
from tap.loading.data import DataConfig, SampleData
from tap.loading.sampling import EVALUATION
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classifier import ClassificationConfig, ClassificationTask, Judged
from tap.tasks.classes.scores import Scores
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.tasks.split import cut_share, epoch_order, labelled_samples
from tap.training.checkpoint import load_tensors
from tap.training.task import Silent
from tests.shards.damage import flip_bit


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
    order = epoch_order(SampleData(reader, DataConfig(), 0), np.array([0, 3, 7]), 2)
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
    shards = shutil.copytree(shards, tmp_path / "set")

    class Stop(Silent):
        def on_eval(self, numbers: object) -> None:
            raise KeyboardInterrupt

    whole = finetune_classification(shards, tmp_path / "whole", classification_config)
    with pytest.raises(KeyboardInterrupt):
        finetune_classification(shards, tmp_path / "parts", classification_config, progress=Stop())
    parts = finetune_classification(shards, tmp_path / "parts", classification_config, resume=True)
    assert parts == whole
    assert (tmp_path / "parts/eval.csv").read_text() == (tmp_path / "whole/eval.csv").read_text()
    for entry in ShardReader(shards, "test").entries:
        (shards / f"{entry.name}.tar").unlink()
    test_set_gone = finetune_classification(shards, tmp_path / "parts", classification_config, resume=True)
    assert test_set_gone == whole


def test_of_the_test_split_only_the_first_sample_is_read_before_the_end(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = SampleData.__getitem__, []

    def noted(self: SampleData, address: Address) -> Item:
        if self.reader.split == "test":
            seen.append((address.sample, (tmp_path / "run/last").exists() and (tmp_path / "run/best").exists()))
        return read(self, address)

    monkeypatch.setattr(SampleData, "__getitem__", noted)
    config = apply_overrides(classification_config, ["train.epochs=2"])
    finetune_classification(shards, tmp_path / "run", apply_overrides(config, ["figures=false"]))
    scored = [(0, False)] + [(index, True) for _ in ("last", "best") for index in range(6)]
    assert seen == scored
    seen.clear()
    shutil.rmtree(tmp_path / "run")
    finetune_classification(shards, tmp_path / "run", config)
    assert seen[: len(scored)] == scored
    assert all(finished for _, finished in seen[len(scored) :])


def test_a_test_sample_without_a_class_is_met_when_the_checkpoints_are_saved(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SampleData.__getitem__

    def unlabelled(self: SampleData, address: Address) -> Item:
        item = read(self, address)
        lost = self.reader.split == "test" and address.sample == 4
        return dataclasses.replace(item, label=-1) if lost else item

    monkeypatch.setattr(SampleData, "__getitem__", unlabelled)
    with pytest.raises(TapError, match=r"sample \w+_test_\d has no class"):
        finetune_classification(shards, tmp_path, apply_overrides(classification_config, ["train.epochs=1"]))
    assert {"last", "best"} <= {path.name for path in tmp_path.iterdir()}
    monkeypatch.undo()
    assert finetune_classification(
        shards, tmp_path, apply_overrides(classification_config, ["train.epochs=1"]), resume=True
    )["test"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_result_is_in_the_precision_of_the_selection(
    precision: str, shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, [f"train.precision={precision}", "train.epochs=2"])
    result = finetune_classification(shards, tmp_path, config)
    with (tmp_path / "eval.csv").open() as stream:
        assert result["validation"]["last"]["loss"] == float(list(csv.DictReader(stream))[-1]["loss"])


def test_another_start_is_refused_on_resume(
    shards: Path, run: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["train.epochs=1"])
    finetune_classification(shards, tmp_path / "out", config, init=run)
    with pytest.raises(TapError, match=f"started from {run}, not from scratch"):
        finetune_classification(shards, tmp_path / "out", config, resume=True)
    with pytest.raises(TapError, match=f"started from {run}, not from {run}/last"):
        finetune_classification(shards, tmp_path / "out", config, init=run / "last", resume=True)
    relative = Path(os.path.relpath(run))
    assert finetune_classification(shards, tmp_path / "out", config, init=relative, resume=True)["init"] == str(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("config"), "its config names no backbone"),
        (lambda record: record["config"].update(model=None), "its config names no backbone"),
        (lambda record: record.update(config=[1]), "its config names no backbone"),
    ],
)
def test_a_damaged_start_is_one_line_and_leaves_no_folder(
    change: Callable[[dict[str, Any]], Any],
    message: str,
    shards: Path,
    run: Path,
    tmp_path: Path,
    classification_config: ClassificationConfig,
) -> None:
    init = tmp_path / "init"
    shutil.copytree(run / "last", init)
    (init / "model.safetensors").write_bytes(b"short")
    with pytest.raises(TapError, match="cannot be read"):
        finetune_classification(shards, tmp_path / "out", classification_config, init=init)
    record = json.loads((init / "config.json").read_text())
    change(record)
    (init / "config.json").write_text(json.dumps(record))
    with pytest.raises(TapError, match=message):
        finetune_classification(shards, tmp_path / "out", classification_config, init=init)
    assert not (tmp_path / "out").exists()


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
    with pytest.raises(TapError, match="transformer: clouds of 8 points cannot give 12 tokens"):
        finetune_classification(shards, tmp_path / "run", apply_overrides(classification_config, ["data.num_points=8"]))
    assert not (tmp_path / "run").exists()
    with pytest.raises(TapError, match="in batches of 1 "):
        finetune_classification(shards, tmp_path, apply_overrides(classification_config, ["train.batch_size=1"]))
    with pytest.raises(TapError, match=r"12 samples to train on .* each of 7 devices"):
        finetune_classification(shards, tmp_path, apply_overrides(classification_config, ["train.devices=7"]))
    with pytest.raises(TapError, match="'train' is the split that is trained on"):
        finetune_classification(shards, tmp_path, apply_overrides(classification_config, ["test_split=train"]))


def test_the_backbones_rate_rises_from_nothing(shards: Path, classification_config: ClassificationConfig) -> None:
    config = apply_overrides(classification_config, ["backbone_warmup_epochs=4"])
    data = SampleData(ShardReader(shards, "train"), config.data, 0, "none")
    _ = data[Address(EVALUATION, 0)]
    everything = np.arange(15)
    task = ClassificationTask(config, data, everything, Judged(data, everything, "validation"), pretrained=True)
    assert [task.rate_scale("backbone", epoch) for epoch in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    assert task.rate_scale("head", 0) == 1
    scratch = ClassificationTask(config, data, everything, Judged(data, everything, "validation"), pretrained=False)
    assert scratch.rate_scale("backbone", 0) == 1
    assert {task.part_of(name) for name, _ in task.model.named_parameters()} == {"backbone", "head"}


def test_only_one_sample_of_each_size_is_read_whole_for_its_label(
    shards: Path, classification_config: ClassificationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = SampleData.__getitem__, []

    def noted(self: SampleData, address: Address) -> Item:
        seen.append(address.sample)
        return read(self, address)

    monkeypatch.setattr(SampleData, "__getitem__", noted)
    data = SampleData(ShardReader(shards, "train"), classification_config.data, 0, "none")
    indices, labels = labelled_samples(data)
    assert seen == [0]
    assert indices.tolist() == list(range(15))
    assert labels == [data[Address(EVALUATION, index)].label for index in range(15)]


def test_damaged_samples_are_left_out_of_training_and_result(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "set"))
    lost = [flip_bit(folder, "train", 2, "json"), flip_bit(folder, "train", 7), flip_bit(folder, "test", 1)]
    config = apply_overrides(classification_config, ["train.epochs=2", "train.drop_last=false"])
    with pytest.raises(ShardError, match=rf"{lost[0]}\.json is not as it was written"):
        finetune_classification(folder, tmp_path / "raise", config)
    result = finetune_classification(folder, tmp_path / "run", apply_overrides(config, ["data.on_error=skip"]))
    assert result["num_used"] == {"train": 11, "validation": 3, "test": 6}
    assert result["num_damaged"] == {"validation": 0, "test": 1}
    with (tmp_path / "run/predictions.csv").open() as stream:
        keys = [row["key"] for row in csv.DictReader(stream)]
    assert len(keys) == 5
    assert lost[2] not in keys


def test_a_run_does_not_go_on_with_another_cut_of_its_samples(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "set"))
    config = apply_overrides(classification_config, ["train.epochs=1", "data.on_error=skip"])
    finetune_classification(folder, tmp_path / "run", config)
    flip_bit(folder, "train", 2, "json")
    with pytest.raises(TapError, match="this run used 6 test, 12 train, 3 validation samples, now 6 test, 11 train"):
        finetune_classification(folder, tmp_path / "run", config, resume=True)


def test_a_sample_that_only_fills_up_is_not_learned_from(
    shards: Path, classification_config: ClassificationConfig
) -> None:
    data = SampleData(ShardReader(shards, "train"), classification_config.data, 0, "none")
    everything = np.arange(15)
    judged = Judged(data, everything, "validation")
    task = ClassificationTask(classification_config, data, everything, judged, pretrained=False)
    batch = collate([data[Address(0, index)] for index in (0, 5, 10)])
    scores = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def step(*valid: bool) -> tuple[dict[str, float], torch.Tensor]:
        losses = task.training_step(lambda points: scores, dataclasses.replace(batch, valid=torch.tensor(valid)))  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(losses["loss"], scores)
        return {name: float(value.detach()) for name, value in losses.items()}, gradient

    smoothing = classification_config.label_smoothing
    each = F.cross_entropy(scores.detach(), batch.labels, label_smoothing=smoothing, reduction="none")
    right = scores.argmax(-1) == batch.labels
    losses, gradient = step(True, False, True)
    assert losses["loss"] == pytest.approx(float((each[0] + each[2]) / 2))
    assert losses["train_accuracy"] == pytest.approx(float(right[[0, 2]].float().mean()))
    assert not gradient[1].any()
    assert gradient[0].any()
    losses, gradient = step(False, False, False)
    assert losses == {"loss": 0.0, "train_accuracy": 0.0}
    assert not gradient.any()
    whole = F.cross_entropy(scores.detach(), batch.labels, label_smoothing=smoothing)
    assert step(True, True, True)[0]["loss"] == float(whole)
