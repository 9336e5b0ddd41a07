"""Frozen backbones, selection on test, shares of the labels, moves while training."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shards.reader import ShardReader
from shards.stream import Address
from tap.config import apply_overrides
from tap.errors import TapError
from tap.loading.collate import Item
from tap.loading.data import SampleData
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classifier import ClassificationConfig, Classifier
from tap.tasks.split import cut_share, take_share
from tap.training.checkpoint import load_tensors
from tap.training.task import Silent


@pytest.mark.parametrize(("backbone", "protocol"), [("transformer", "mlp_linear"), ("pointnet2", "mlp_3")])
def test_a_frozen_backbone_is_the_same_to_the_bit(
    backbone: str, protocol: str, shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    changes = [f"protocol={protocol}", "train.epochs=2"]
    if backbone == "pointnet2":  # has batch norm, whose running statistics must stay too
        changes += ["backbone.name=pointnet2", 'backbone.settings={"inputs": "xyz", "strides": [4], "mlps": [[8, 16]], '
                    '"radii": [0.4], "num_neighbors": [8]}']  # fmt: skip
    config = apply_overrides(classification_config, changes)
    start = tmp_path / "start"
    full = apply_overrides(config, ["protocol=full", "train.epochs=1"])
    finetune_classification(shards, start, full)
    finetune_classification(shards, tmp_path / "run", config, init=start)
    before, after = (load_tensors(folder / "last" / "model.safetensors") for folder in (start, tmp_path / "run"))
    names = [name for name in before if name.startswith("backbone.")]
    assert any(name.endswith("running_mean") for name in names)
    for name in names:
        assert torch.equal(before[name], after[name]), name
    kept = load_tensors(tmp_path / "run/last/optimizer.safetensors")
    assert kept
    assert all(name.startswith("head.") for name in kept)
    widths = [tensor.shape[0] for name, tensor in after.items() if name.startswith("head.") and tensor.ndim == 2]
    assert widths == ([3] if protocol == "mlp_linear" else [512, 256, 3])


def test_a_frozen_backbone_stays_in_evaluation_and_needs_a_start(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["protocol=mlp_3"])
    assert config.backbone is not None
    model = Classifier(config.backbone, 3, 0.5, protocol="mlp_3").train()
    assert model.training
    assert model.head.training
    assert not any(module.training for module in model.get_submodule("backbone").modules())
    with pytest.raises(TapError, match="protocol mlp_3 trains a head on a frozen backbone; say with --init"):
        finetune_classification(shards, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_selected_on_test_as_the_authors_did(
    shards: Path, train_only: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["select=test", "train.epochs=3", "train.eval_every=1"])
    result = finetune_classification(shards, tmp_path / "run", config)
    assert result["num_used"] == {"train": 15, "validation": 0, "test": 6}
    assert result["selected_on"] == "test accuracy, as the authors did: optimistic"
    assert result["validation"] is None
    with (tmp_path / "run/eval.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["split"] for row in rows} == {"test"}
    assert result["test"]["best"]["accuracy"] == max(float(row["accuracy"]) for row in rows)
    assert result["test"]["last"]["accuracy"] == float(rows[-1]["accuracy"])
    assert "test accuracy, as the authors did: optimistic" in (tmp_path / "run/report.html").read_text()
    assert finetune_classification(shards, tmp_path / "run", config, resume=True) == result
    with pytest.raises(TapError, match=r"has no split 'test' to select on; it has train"):
        finetune_classification(train_only, tmp_path / "other", config)


def test_smaller_shares_of_the_labels_are_part_of_larger_ones() -> None:
    labels = [0] * 40 + [1] * 14 + [2]
    shares = [set(take_share(labels, share, 5).tolist()) for share in (0.05, 0.1, 0.5, 1.0)]
    assert [len(share) for share in shares] == [2 + 1 + 1, 4 + 1 + 1, 20 + 7 + 1, 55]
    for smaller, larger in itertools.pairwise(shares):
        assert smaller < larger
    assert shares[1] != set(take_share(labels, 0.1, 6).tolist())


def test_the_share_is_of_what_the_cut_leaves(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: set[int] = set()
    read = SampleData.__getitem__

    def noted(self: SampleData, address: Address) -> Item:
        if self.reader.split == "train" and address.epoch >= 0:
            trained.add(address.sample)
        return read(self, address)

    data = SampleData(ShardReader(shards, "train"), classification_config.data, 0, "none")
    labels = [data.label(index) or 0 for index in range(15)]
    monkeypatch.setattr(SampleData, "__getitem__", noted)
    changes = ["label_share=0.5", "train.epochs=2", "split_seed=7", "train.seed=1", "train.drop_last=false"]
    result = finetune_classification(shards, tmp_path, apply_overrides(classification_config, changes))
    assert result["num_used"] == {"train": 6, "validation": 3, "test": 6}  # of 5 a class: 1 cut, half of 4
    left = cut_share(labels, 0.2, 7)[0]
    expected = left[take_share([labels[index] for index in left], 0.5, 7)]
    assert sorted(trained) == expected.tolist()


def test_without_a_split_seed_the_cut_follows_the_seed_of_the_run(classification_config: ClassificationConfig) -> None:
    config = apply_overrides(classification_config, ["train.seed=4"])
    assert config.sampling_seed == 4
    assert apply_overrides(config, ["split_seed=0"]).sampling_seed == 0


def test_moved_while_training_stopped_and_resumed_is_the_same_run(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    class Stop(Silent):
        def on_step(self, numbers: object) -> None:
            if numbers["step"] == 3:  # type: ignore[index]
                raise KeyboardInterrupt

    changes = ["moves.scale=[0.8, 1.2]", "moves.scale_axes=true", "moves.rotate_z=180", "moves.translate=0.1"]
    changes += ["moves.jitter=0.01", "moves.dropout=0.3", "train.epochs=3"]
    config = apply_overrides(classification_config, changes)
    whole = finetune_classification(shards, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        finetune_classification(shards, tmp_path / "parts", config, progress=Stop())
    assert finetune_classification(shards, tmp_path / "parts", config, resume=True) == whole
    moved, again = (load_tensors(tmp_path / name / "last/model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(moved[name], again[name]) for name in moved)
    still = apply_overrides(classification_config, ["train.epochs=3"])
    finetune_classification(shards, tmp_path / "still", still)
    without = load_tensors(tmp_path / "still/last/model.safetensors")
    assert not all(torch.equal(moved[name], without[name]) for name in moved)


def test_runs_that_were_begun_before_these_settings_go_on(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["train.epochs=1"])
    result = finetune_classification(shards, tmp_path, config)
    for file in (tmp_path / "last/config.json", tmp_path / "best/config.json"):
        record = json.loads(file.read_text())
        for name in ("moves", "protocol", "select", "label_share", "split_seed", "votes", "vote_moves"):
            del record["config"][name]
        file.write_text(json.dumps(record))
    assert finetune_classification(shards, tmp_path, config, resume=True) == result
    assert np.isfinite(result["test"]["last"]["loss"])
