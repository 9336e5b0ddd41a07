import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from shards.errors import ShardError
from shards.stream import Address
from tap.config import apply_overrides
from tap.datasets import DatasetConfig, open_source
from tap.errors import TapError
from tap.loading.collate import Item
from tap.loading.data import DataConfig
from tap.loading.samples import UNLABELLED, Samples
from tap.tasks.classes.classification_presets import CLASSIFICATION_PRESETS, FEWSHOT_PRESETS
from tap.tasks.classes.classifier import ClassificationConfig, build_classifier
from tap.tasks.classes.fewshot import NOT_SELECTED, finetune_fewshot
from tap.tasks.classes.fewshot_folds import FewShotConfig, FoldSamples, drawn_fold
from tap.tasks.classes.scores import predict
from tap.training.fabric import build_fabric
from tap.training.task import Silent
from tap.training.train_config import TrainConfig
from tests.tap.conftest import CLASSES


@pytest.fixture
def config(classification_config: ClassificationConfig) -> FewShotConfig:
    """Two classes, three shots, two folds, of a class two queries."""
    train = classification_config.train.model_copy(update={"epochs": 2})
    return FewShotConfig(
        backbone=classification_config.backbone,
        train=train,
        data=DataConfig(num_points=128),
        way=2,
        shot=3,
        num_folds=2,
    )


def test_a_drawn_fold_has_its_own_labels(shards: Path, config: FewShotConfig) -> None:
    source = open_source(shards, DatasetConfig())
    drawn = {}
    for number in range(4):
        fold = drawn_fold(source, config, number)
        classes = fold.support.classes
        assert len(classes) == 2
        assert set(classes) < set(CLASSES)
        for data, indices, count in ((fold.support, fold.train, 3), (fold.query, fold.test, 2)):
            assert len(set(indices.tolist())) == 2 * count
            labels = [data.label(int(index)) for index in indices]
            assert sorted(label for label in labels if label is not None) == [0] * count + [1] * count
            for index, label in zip(indices.tolist(), labels, strict=True):
                assert data.key(index).split("_")[0] == classes[label or 0]
                assert next(data.readable([index])).label == label
        assert {fold.support.label(index) for index in range(15)} == {-1, 0, 1}
        drawn[number] = (classes, fold.train.tolist())
    assert len({str(one) for one in drawn.values()}) > 1
    again = drawn_fold(source, config, 2)
    assert (again.support.classes, again.train.tolist()) == drawn[2]
    other = drawn_fold(source, apply_overrides(config, ["split_seed=9"]), 2)
    assert (other.support.classes, other.train.tolist()) != drawn[2]


def test_folds_of_a_labelled_set_end_to_end(shards: Path, tmp_path: Path, config: FewShotConfig) -> None:
    summary = finetune_fewshot(shards, tmp_path, config)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["runs"] == ["fold0", "fold1"]
    assert (summary["way"], summary["shot"], summary["folds"]) == (2, 3, "drawn with seed 0")
    assert summary["selected_on"] == NOT_SELECTED
    assert summary["num_used"] == {"train": 6, "test": 4}
    assert summary["validation"] is None
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in summary["runs"]]
    accuracies = [result["test"]["last"]["accuracy"] for result in results]
    assert summary["test"]["last"]["accuracy"]["values"] == accuracies
    assert summary["test"]["last"]["accuracy"]["mean"] == pytest.approx(sum(accuracies) / 2)
    assert set(results[0]["test"]) == {"last"}
    assert not (tmp_path / "fold0/best").exists()
    assert len((tmp_path / "fold1/predictions.csv").read_text().splitlines()) == 5
    assert "its last epoch counts" in (tmp_path / "fold1/report.html").read_text()


def test_stopped_in_the_second_fold_the_first_is_not_run_again(
    shards: Path, tmp_path: Path, config: FewShotConfig
) -> None:
    class Stop(Silent):
        folds = 0

        def on_message(self, message: str) -> None:
            self.folds += message.startswith("fold ")

        def on_step(self, numbers: object) -> None:
            if self.folds == 2:
                raise KeyboardInterrupt

    whole = finetune_fewshot(shards, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        finetune_fewshot(shards, tmp_path / "parts", config, progress=Stop())
    finished = (tmp_path / "parts/fold0/last/model.safetensors").stat().st_mtime_ns
    with pytest.raises(TapError, match="fold0: holds a run already; go on with --resume"):
        finetune_fewshot(shards, tmp_path / "parts", config)
    assert finetune_fewshot(shards, tmp_path / "parts", config, resume=True) == whole
    assert (tmp_path / "parts/fold0/last/model.safetensors").stat().st_mtime_ns == finished


def write_folds(folder: Path, per_class: int = 3) -> Path:
    """Two published folds of two classes, in the form of the public ones."""
    rng = np.random.default_rng(0)
    (folder / "2way_3shot").mkdir(parents=True)
    for number in range(2):
        fold = {
            split: [
                (rng.normal(size=(150, 6)).astype(np.float32), label, 10 * label + number)
                for label in range(2)
                for _ in range(count)
            ]
            for split, count in (("train", per_class), ("test", 2))
        }
        (folder / "2way_3shot" / f"{number}.pkl").write_bytes(pickle.dumps(fold))
    return folder


def test_published_folds(tmp_path: Path, config: FewShotConfig) -> None:
    folder = write_folds(tmp_path / "folds")
    summary = finetune_fewshot(folder, tmp_path / "run", apply_overrides(config, ["train.epochs=1"]))
    assert summary["folds"] == "published"
    assert summary["num_used"] == {"train": 6, "test": 4}
    assert (
        finetune_fewshot(
            folder / "2way_3shot", tmp_path / "same", apply_overrides(config, ["train.epochs=1", "num_folds=1"])
        )["test"]["last"]["loss"]["values"]
        == summary["test"]["last"]["loss"]["values"][:1]
    )
    with pytest.raises(TapError, match="holds no folds 2way_4shot; it has 2way_3shot"):
        finetune_fewshot(folder, tmp_path / "other", apply_overrides(config, ["shot=4"]))
    with pytest.raises(TapError, match="leave --query out"):
        finetune_fewshot(folder, tmp_path / "other", apply_overrides(config, ["num_query=2"]))
    with pytest.raises(TapError, match=r"fold 2\.pkl of 3 is missing; lower --folds"):  # before the others are trained
        finetune_fewshot(folder, tmp_path / "other", apply_overrides(config, ["num_folds=3"]))
    odd = write_folds(tmp_path / "odd", per_class=4)
    with pytest.raises(TapError, match=r"has \[4\] samples of each of 2 classes, 3 of each of 2 were expected"):
        finetune_fewshot(odd, tmp_path / "other", config)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [("way=4", "--way"), ("shot=6", "--shot"), ("num_query=3", "--query"), ("train.batch_size=1", "in batches of 1 ")],
)
def test_what_makes_no_fold_is_one_line(
    change: str, message: str, shards: Path, tmp_path: Path, config: FewShotConfig
) -> None:
    with pytest.raises(TapError, match=message):
        finetune_fewshot(shards, tmp_path / "run", apply_overrides(config, [change]))
    assert not (tmp_path / "run").exists()


def test_presets_select_nothing_and_name_every_backbone() -> None:
    assert {name.split("/")[1] for name in FEWSHOT_PRESETS} == {
        "transformer", "pointnet2", "dgcnn", "pointmlp", "pointmlp_elite",
    }  # fmt: skip
    reference = FEWSHOT_PRESETS["reference/transformer"]()
    assert (reference.train.epochs, reference.train.learning_rate, reference.train.weight_decay) == (150, 5e-4, 0.05)
    assert (reference.way, reference.shot, reference.num_folds, reference.data.num_points) == (5, 10, 10, 1024)
    for build in FEWSHOT_PRESETS.values():
        assert build().train.eval_every == build().train.epochs


def test_published_presets_take_the_points_that_point_bert_takes() -> None:
    few, whole = FEWSHOT_PRESETS["reference/pointmlp_elite"](), CLASSIFICATION_PRESETS["paper/pointmlp_elite"]()
    for data in (few.data, whole.data):
        assert (data.num_points, data.train_points, data.eval_points) == (1024, "farthest_random", "farthest")
    assert CLASSIFICATION_PRESETS["small/pointmlp_elite"]().data == DataConfig()


def test_a_batch_that_is_damaged_whole_may_be_filled_with_other_classes(
    shards: Path, config: FewShotConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = open_source(shards, DatasetConfig()).open("test", DataConfig(num_points=128, on_error="skip"), 0)
    others = [label for label in range(3) if label != samples.label(0)]  # sample 0 is what fills a batch
    query = FoldSamples(samples, others)
    damaged, good = [index for index in range(6) if query.label(index) != UNLABELLED][:2]
    read = type(samples).__getitem__

    def broken(self: Samples, address: Address) -> Item:
        if address.sample == damaged:
            raise ShardError("damaged")
        return read(self, address)

    monkeypatch.setattr(type(samples), "__getitem__", broken)
    model = build_classifier(config, 2).eval()
    train, fabric = TrainConfig(batch_size=1), build_fabric("cpu", 1, "32-true")
    with torch.no_grad():
        scores = predict(model, query, np.array([damaged, good]), train, fabric)
    assert scores.index.tolist() == [good]
    assert scores.truth.tolist() == [query.label(good)]
