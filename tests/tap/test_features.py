from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shards.reader import ShardReader
from tap.backbones import BackboneConfig
from tap.config import apply_overrides
from tap.datasets import DatasetConfig, open_source
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.probing.embedding import EmbedConfig, embed_source
from tap.probing.features import Features, calibrate_norms, embed, frozen_backbone
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.training.fabric import build_fabric
from tap.training.train_config import TrainConfig

POINTS = DataConfig(num_points=128)
TRAIN = TrainConfig(batch_size=4)
NORMED = BackboneConfig(
    name="pointnet2",
    settings={"inputs": "xyz", "strides": (4, 4), "mlps": ((8,), (16,)), "radii": (0.4, 0.8), "num_neighbors": (8, 8)},
)


@pytest.fixture(scope="module")
def pretrained(shards: Path, pretrain_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    pretrain(shards, out, apply_overrides(pretrain_config, ["train.epochs=1"]))
    return out


def test_vectors_are_of_each_sample_whatever_the_batches(shards: Path) -> None:
    data = open_source(shards, DatasetConfig()).open("train", POINTS, 0)
    fabric = build_fabric("cpu", 1, "32-true")
    backbone = frozen_backbone(NORMED, None, 0)
    few, many = (
        embed(backbone, data, np.arange(len(data)), "max_mean", TrainConfig(batch_size=size), fabric) for size in (3, 7)
    )
    assert few.index.tolist() == list(range(len(data)))
    assert few.label.tolist() == [data.label(index) for index in range(len(data))]
    assert few.vectors.shape == (len(data), 32)
    assert np.allclose(few.vectors, many.vectors, atol=1e-6)
    picked = few.of([5, 2])
    assert picked.index.tolist() == [5, 2]
    assert np.array_equal(picked.vectors, few.vectors[[5, 2]])


def test_a_sample_that_is_missing_is_named() -> None:
    features = Features(np.array([0, 2]), np.array([1, 1]), np.zeros((2, 3), np.float32))
    with pytest.raises(TapError, match="no features of 1 samples, the first is number 1"):
        features.of([0, 1])


def test_calibrated_norms_hold_the_plain_means_of_what_comes_in(shards: Path) -> None:
    data = open_source(shards, DatasetConfig()).open("train", POINTS, 0)
    backbone = frozen_backbone(NORMED, None, 0)
    norm = next(module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    seen: list[torch.Tensor] = []
    hook = norm.register_forward_hook(lambda module, given, output: seen.append(given[0].mean(0)))
    weights = {name: value.clone() for name, value in backbone.named_parameters()}
    calibrate_norms(backbone, data, np.arange(8), TRAIN, build_fabric("cpu", 1, "32-true"))
    hook.remove()
    assert len(seen) == 2
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, torch.stack(seen).mean(0), atol=1e-6)
    assert not backbone.training
    assert not norm.training
    assert all(torch.equal(value, weights[name]) for name, value in backbone.named_parameters())


def test_a_file_of_features_holds_all_splits(shards: Path, pretrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.npz"
    counts = embed_source(shards, out, EmbedConfig(data=POINTS, train=TRAIN), pretrained)
    with np.load(out, allow_pickle=False) as file:
        content = dict(file)
    assert counts == {split: int((content["splits"] == split).sum()) for split in ("train", "test")}
    assert content["vectors"].dtype == np.float32
    assert len(content["vectors"]) == len(content["keys"]) == sum(counts.values())
    reader = ShardReader(shards, "test")
    first = content["splits"].tolist().index("test")
    assert content["keys"][first] == reader.key(0)
    assert content["classes"][content["labels"][first]] == reader.meta(0)["category"]
    with pytest.raises(TapError, match="exists; choose another --out"):
        embed_source(shards, out, EmbedConfig(data=POINTS), pretrained)
    with pytest.raises(TapError, match=r"no split 'val'; there are test, train"):
        embed_source(shards, tmp_path / "other.npz", EmbedConfig(data=POINTS, splits=("val",)), pretrained)
    assert [path.name for path in tmp_path.iterdir()] == ["features.npz"]
