import copy
import csv
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from render.camera import look_at
from shards.reader import ShardReader
from shards.schema import Sample
from tap.batch import PointBatch, ViewBatch
from tap.config import apply_overrides
from tap.errors import TapError
from tap.losses import RegionSums, region_sums
from tap.tasks.pretraining.baseline import weighted_mean_images
from tap.tasks.pretraining.pictures import view_labels
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.tasks.pretraining.tally import view_spread
from tap.tasks.pretraining.views import Evaluator
from tap.training.task import Silent
from tests.shards.damage import flip_bit


class Truth(nn.Module):
    def forward(self, points: PointBatch, views: ViewBatch) -> Tensor:
        assert views.images is not None
        return views.images


class Constant(nn.Module):
    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def forward(self, points: PointBatch, views: ViewBatch) -> Tensor:
        return self.images.expand(len(points.points), -1, -1, -1, -1)


@pytest.fixture
def evaluator(shards: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> Evaluator:
    """Judges on the train split itself."""
    reader = ShardReader(shards, "train")
    everything = np.arange(len(reader))
    judge = Evaluator(pretrain_config, reader, everything, reader, everything, "train")
    judge.prepare(fabric(), tmp_path, False, Silent())
    return judge


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def evaluate(judge: Evaluator, model: nn.Module) -> dict[str, float]:
    metrics = judge.evaluate(model, fabric())
    return {name: float(value) for name, value in metrics.items() if name != "split"}


def test_the_truth_has_no_loss_and_full_view_dependence(evaluator: Evaluator) -> None:
    metrics = evaluate(evaluator, Truth())
    assert metrics["loss"] == 0.0
    assert metrics["ratio"] == 0.0
    assert metrics["view_dependence"] == 1.0
    assert 0 < metrics["baseline_view_dependence"] < 1


def test_the_mean_image_is_the_least_loss_of_its_kind(evaluator: Evaluator) -> None:
    assert evaluator.baseline is not None
    images = evaluator.baseline.mean.images
    least = evaluate(evaluator, Constant(images))
    assert least["ratio"] == 1.0
    assert least["view_dependence"] == least["baseline_view_dependence"] == evaluator.baseline.view_dependence
    for change in (0.02, -0.02):
        assert evaluate(evaluator, Constant(images + change))["ratio"] > 1.0
        one_pixel = images.clone()
        one_pixel[1, :, 16, 16] += 10 * change
        assert evaluate(evaluator, Constant(one_pixel))["ratio"] > 1.0


def test_a_baseline_is_kept_for_the_continuation(evaluator: Evaluator, tmp_path: Path) -> None:
    before = evaluator.baseline
    evaluator.prepare(fabric(), tmp_path, True, Silent())
    after = evaluator.baseline
    assert before is not None
    assert after is not None
    assert (after.loss, after.view_dependence) == (before.loss, before.view_dependence)
    assert torch.equal(after.mean.images, before.mean.images)
    save_file({"images": after.mean.images}, tmp_path / "baseline.safetensors")
    with pytest.raises(TapError, match="holds no loss, view_dependence, world_to_camera; delete it"):
        evaluator.prepare(fabric(), tmp_path, True, Silent())


def test_mean_image_by_hand() -> None:
    # Two objects, one view of two pixels. Foreground: three pixels of value .2, .4, .6; background: one of value 1.
    images = torch.tensor([[0.2, 0.4], [0.6, 1.0]]).reshape(2, 1, 1, 1, 2).expand(2, 1, 3, 1, 2)
    mask = torch.tensor([[True, True], [True, False]]).reshape(2, 1, 1, 2)
    pose, lens = torch.eye(4).expand(2, 1, 4, 4), torch.eye(3).expand(2, 1, 3, 3)
    views = ViewBatch(pose, lens, torch.ones(2, dtype=torch.bool), images, mask)
    mean = weighted_mean_images([views], {"rgb": (20.0, 1.0)})
    assert mean is not None
    expected = [0.4, (20 / 3 * 0.4 + 1 / 1 * 1.0) / (20 / 3 + 1)]
    torch.testing.assert_close(mean.images[0, 0, 0], torch.tensor(expected))
    filled = weighted_mean_images([dataclasses.replace(views, valid=torch.tensor([True, False]))], {"rgb": (20.0, 1.0)})
    assert filled is not None
    torch.testing.assert_close(filled.images[0, 0, 0], torch.tensor([0.2, 0.4]))


def test_cameras_that_differ_have_no_mean_image() -> None:
    pose = torch.eye(4).repeat(2, 1, 1, 1)
    pose[1, 0, 0, 3] = 0.1
    images, mask = torch.ones(2, 1, 3, 1, 1), torch.ones(2, 1, 1, 1, dtype=torch.bool)
    views = ViewBatch(pose, torch.eye(3).expand(2, 1, 3, 3), torch.ones(2, dtype=torch.bool), images, mask)
    assert weighted_mean_images([views], {"rgb": (20.0, 1.0)}) is None


def test_other_cameras_in_the_evaluated_split_give_no_ratio(
    evaluator: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = evaluator.data.reader.read

    def turned(index: int, *args: Any, **kwargs: Any) -> Sample:
        sample = read(index, *args, **kwargs)
        if index == 3 and "points" in sample.arrays:
            sample.arrays["world_to_camera"] = sample.arrays["world_to_camera"][::-1].copy()
        return sample

    monkeypatch.setattr(evaluator.data, "reader", copy.copy(evaluator.data.reader))
    monkeypatch.setattr(evaluator.data.reader, "read", turned)
    evaluator.prepare(fabric(), tmp_path, False, Silent())
    assert evaluator.baseline is None
    assert set(evaluate(evaluator, Truth())) == {"loss", "view_dependence"}


def test_the_loss_does_not_depend_on_the_batching(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    reader = ShardReader(shards, "test")
    everything = np.arange(len(reader))
    results = []
    for size in (1, 4):
        config = apply_overrides(pretrain_config, [f"train.batch_size={size}"])
        judge = Evaluator(config, reader, everything, reader, everything, "test")
        (tmp_path / str(size)).mkdir()
        judge.prepare(fabric(), tmp_path / str(size), False, Silent())
        results.append(evaluate(judge, Constant(torch.full((4, 3, 32, 32), 0.3))))
    assert results[0] == pytest.approx(results[1], rel=1e-6)
    sums: list[RegionSums] = [
        region_sums(torch.full((len(views.parallel), 4, 3, 32, 32), 0.3), views).detached()
        for views in judge._views(judge.data, everything)
    ]
    total = sums[0]
    for part in sums[1:]:
        total = total + part
    assert results[0]["loss"] == pytest.approx(float(total.loss()), rel=1e-6)


def test_views_are_labelled_with_their_azimuth() -> None:
    poses = [
        look_at(np.array(position), np.zeros(3)) for position in ([2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [-1.0, -1.0, 0.0])
    ]
    assert view_labels(np.stack(poses).astype(np.float32)) == ["0°", "90°", "225°"]


def test_view_spread_by_hand() -> None:
    images = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 3, 2, 2)
    assert view_spread(images).tolist() == [0.5]
    assert view_spread(images[:, :1]).tolist() == [0.0]


def test_a_few_objects_are_learned_by_heart(repeated: Path, tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    options = ["train.epochs=150", "train.eval_every=150", "train.save_every=150", "train.learning_rate=4e-3"]
    options += ["train.batch_size=3", "data.num_views=4", "augment.scale=[1.0, 1.0]", "train.log_every=10"]
    result = pretrain(repeated, tmp_path, apply_overrides(pretrain_config, options))
    assert result["metrics"]["ratio"] < 0.8
    assert result["metrics"]["view_dependence"] > result["metrics"]["baseline_view_dependence"]
    with Image.open(result["picture"]) as picture:
        assert picture.width > 400
    with (tmp_path / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert 0 <= float(rows[-1]["data_wait"]) <= 1


def test_a_loss_of_nothing_is_refused(pretrain_config: PretrainConfig) -> None:
    with pytest.raises(TapError, match="both 0"):
        apply_overrides(apply_overrides(pretrain_config, ["loss.foreground_weight=0"]), ["loss.background_weight=0"])


def test_without_a_test_split_a_share_of_train_is_held_out(
    train_only: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    messages: list[str] = []

    class Listener(Silent):
        def on_message(self, message: str) -> None:
            messages.append(message)

    config = apply_overrides(pretrain_config, ["train.epochs=1", "holdout_share=0.3"])
    result = pretrain(train_only, tmp_path, config, progress=Listener())
    assert result["metrics"]["split"] == "30% of train"
    assert messages[0] == "6 samples to train on, 3 of 30% of train to evaluate"
    assert messages[1] == "no split 'test' here: 30% of train is held out from training and evaluated"
    assert result["steps"] == 1


def test_damaged_samples_do_not_count_in_an_evaluation(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "set"))
    flip_bit(folder, "test", 1, "view02.png")
    flip_bit(folder, "test", 4, "json")
    flip_bit(folder, "train", 0)
    config = apply_overrides(pretrain_config, ["data.on_error=skip", "train.batch_size=4"])
    noise = Constant(torch.rand(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    judged: list[dict[str, float]] = []
    for place, left, kept in ((folder, range(15), range(6)), (shards, range(1, 15), (0, 2, 3, 5))):
        parts = (ShardReader(place, "train"), np.array(left)), (ShardReader(place, "test"), np.array(kept))
        judge = Evaluator(config, *parts[0], *parts[1], "test")
        out = tmp_path / f"out_{len(judged)}"
        out.mkdir()
        judge.prepare(fabric(), out, False, Silent())
        judged.append(evaluate(judge, noise))
        judge.draw(noise, fabric(), 1, out, judge.evaluate(noise, fabric()))
        assert judge.picture(out, 1).is_file()
    assert judged[0] == pytest.approx(judged[1])
