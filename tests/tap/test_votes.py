import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from shards.reader import ShardReader
from shards.stream import Address
from tap.batch import PointBatch
from tap.config import apply_overrides
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig, SampleData
from tap.loading.moves import MovesConfig
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classifier import ClassificationConfig
from tap.tasks.classes.votes import vote
from tap.training.train_config import TrainConfig


class Means(nn.Module):
    """Scores that are the largest coordinate along each axis."""

    def forward(self, points: PointBatch) -> torch.Tensor:
        return points.points.amax(1)


@pytest.fixture
def data(shards: Path) -> SampleData:
    return SampleData(ShardReader(shards, "test"), DataConfig(num_points=32), 0, "none")


def settled(data: SampleData, num_draws: int, moves: MovesConfig | None = None, batch_size: int = 4) -> torch.Tensor:
    train = TrainConfig(batch_size=batch_size, accelerator="cpu")
    fabric = Fabric(accelerator="cpu", devices=1)
    scores = vote(Means(), data, np.arange(6), num_draws, moves or MovesConfig(), train, fabric)
    assert scores.index.tolist() == list(range(6))
    assert scores.truth.tolist() == [data.label(index) for index in range(6)]
    return scores.loss


def by_hand(data: SampleData, num_draws: int) -> torch.Tensor:
    draws = [[data[Address(draw, index)] for index in range(6)] for draw in range(num_draws)]
    scores = torch.stack([torch.stack([torch.from_numpy(item.points).amax(0) for item in row]) for row in draws]).mean(
        0
    )
    labels = torch.tensor([item.label for item in draws[0]])
    return torch.nn.functional.cross_entropy(scores, labels, reduction="none")


def test_a_vote_is_the_mean_of_scores_of_different_draws(data: SampleData) -> None:
    torch.testing.assert_close(settled(data, 3), by_hand(data, 3))
    assert not torch.allclose(settled(data, 1), settled(data, 2))
    assert torch.equal(settled(data, 3), settled(data, 3))


def test_a_draw_is_moved_by_the_datas_own_augmentation_and_on_the_device(shards: Path, data: SampleData) -> None:
    reader = ShardReader(shards, "test")
    moving = SampleData(reader, data.config, 0, "none", AugmentConfig(scale=(0.5, 2.0)))
    torch.testing.assert_close(settled(moving, 3), by_hand(moving, 3))
    assert not torch.allclose(settled(moving, 3), settled(data, 3))
    moves = MovesConfig(translate=0.3)
    assert torch.equal(settled(data, 3, moves), settled(data, 3, moves))
    assert not torch.allclose(settled(data, 3, moves), settled(data, 3))


def test_the_vote_stands_apart_in_result_predictions_and_report(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["train.epochs=2", "votes=3", 'vote_moves={"translate": 0.1}'])
    result = finetune_classification(shards, tmp_path / "run", config)
    assert list(result["test"]) == sorted(["last", "best", "vote"])
    assert set(result["validation"]) == {"last", "best", "vote"}
    assert result["num_votes"] == 3
    assert result["test"]["vote"]["loss"] != result["test"]["best"]["loss"]
    header = (tmp_path / "run/predictions.csv").read_text().splitlines()[0]
    assert header == "key,truth,last,last_confidence,best,best_confidence,vote,vote_confidence"
    report = (tmp_path / "run/report.html").read_text()
    assert "the mean of the scores of 3 draws" in report
    plain = finetune_classification(shards, tmp_path / "plain", apply_overrides(config, ["votes=0"]))
    assert set(plain["test"]) == {"last", "best"}
    assert plain["test"]["best"] == result["test"]["best"]  # a vote changes nothing else
    assert "single pass" not in (tmp_path / "plain/report.html").read_text()
    stored = json.loads((tmp_path / "run/config.json").read_text())["config"]
    assert stored["vote_moves"]["translate"] == 0.1
