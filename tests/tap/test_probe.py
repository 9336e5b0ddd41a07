import json
from pathlib import Path

import numpy as np
import pytest

from tap.backbones import BackboneConfig
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.probing.probe import ProbeConfig, cut_accuracies, fit_svm, probe
from tap.training.train_config import TrainConfig

BACKBONE = BackboneConfig(
    name="pointnet2",
    settings={"inputs": "xyz", "strides": (4, 4), "mlps": ((16,), (32,)), "radii": (0.4, 0.8), "num_neighbors": (8, 8)},
)
CONFIG = ProbeConfig(
    backbone=BACKBONE,
    data=DataConfig(num_points=128),
    train=TrainConfig(batch_size=4),
    penalties=(1e-4, 1e-1),
    num_cuts=2,
)


def separable(number: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(number) % 3
    noise = np.random.default_rng(0).normal(0, 0.1, (number, 3))
    return (np.eye(3)[labels] + noise).astype(np.float32), labels.astype(np.int64)


def test_an_svm_separates_what_a_line_separates_and_nothing_else() -> None:
    vectors, labels = separable(60)
    assert fit_svm(vectors, labels, 1.0).score(vectors, labels) == 1.0
    shuffled = np.random.default_rng(1).permutation(labels)
    accuracies = cut_accuracies(vectors, shuffled, CONFIG)
    assert list(accuracies) == [1e-4, 1e-1]
    assert max(accuracies.values()) < 0.7
    assert min(cut_accuracies(vectors, labels, CONFIG).values()) == 1.0


def test_a_probe_tells_the_classes_of_simple_shapes_apart(shards: Path, tmp_path: Path) -> None:
    result = probe(shards, tmp_path / "probe", CONFIG)
    assert result == json.loads((tmp_path / "probe" / "result.json").read_text())
    assert result["init"] is None
    assert result["num_channels"] == 64
    assert result["selected_on"] == "2 cuts of 20% of each class of train"
    assert result["validation"]["accuracy"] == max(result["penalties"].values())
    assert result["test"]["accuracy"] > 0.5  # a third by chance
    again = probe(shards, tmp_path / "again", CONFIG)
    assert again == result


def test_without_a_test_split_there_are_validation_numbers_alone(shards: Path, tmp_path: Path) -> None:
    result = probe(shards, tmp_path / "probe", CONFIG.model_copy(update={"test_split": "none"}))
    assert result["test"] is None
    assert result["num_used"]["test"] == 0


def test_fewer_labels_are_a_share_of_each_class(shards: Path, tmp_path: Path) -> None:
    whole = probe(shards, tmp_path / "whole", CONFIG)
    half = probe(shards, tmp_path / "half", CONFIG.model_copy(update={"label_share": 0.5}))
    assert half["num_used"]["train"] == pytest.approx(whole["num_used"]["train"] / 2, abs=2)


def test_what_cannot_be_probed_is_told_before_a_folder_is_made(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(TapError, match=r"runs on one device; set train\.devices=1"):
        probe(shards, tmp_path / "a", CONFIG.model_copy(update={"train": TrainConfig(devices=2)}))
    with pytest.raises(TapError, match="of 3 classes in train; a probe needs two classes, and two samples of one"):
        probe(shards, tmp_path / "b", CONFIG.model_copy(update={"label_share": 1e-3}))
    with pytest.raises(TapError, match="no such folder"):
        probe(shards, tmp_path / "c", CONFIG, tmp_path / "nothing")
    with pytest.raises(TapError, match="test_split: 'train' is the split that the SVM is fitted to"):
        probe(shards, tmp_path / "d", CONFIG.model_copy(update={"test_split": "train"}))
    assert not list(tmp_path.iterdir())


def test_a_result_is_not_written_over_but_a_stopped_probe_begins_again(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "probe"
    result = probe(shards, out, CONFIG)
    with pytest.raises(TapError, match="probe: holds a result already; choose another --out"):
        probe(shards, out, CONFIG.model_copy(update={"label_share": 0.5}))
    (out / "result.json").unlink()
    assert probe(shards, out, CONFIG) == result
