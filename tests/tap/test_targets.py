import csv
import dataclasses
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from PIL import Image
from torch import Tensor, nn

from shards.reader import ShardReader
from tap.batch import PointBatch, ViewBatch
from tap.config import apply_overrides
from tap.errors import TapError
from tap.losses import TargetLoss, target_sums
from tap.targets import TARGETS, channel_slices, image_kinds, num_channels
from tap.tasks.pretraining.baseline import weighted_mean_images
from tap.tasks.pretraining.pictures import pictures_of
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.tasks.pretraining.tally import Tally
from tap.tasks.pretraining.views import Evaluator
from tap.training.task import Silent
from tests.tap import spheres

ALL = ("rgb", "depth", "normal", "mask")
WEIGHTS = {"rgb": (20.0, 1.0), "depth": (12.0, 0.0), "normal": (8.0, 0.0), "mask": (1.0, 1.0)}


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 training and 3 test samples with depth and normals."""
    return spheres.write_spheres(tmp_path_factory.mktemp("spheres") / "set", {"train": 6, "test": 3})


@pytest.fixture(scope="module")
def config(pretrain_config: PretrainConfig) -> PretrainConfig:
    """Two epochs of two steps with all targets."""
    options = [
        "train.epochs=2",
        "train.batch_size=3",
        "data.num_points=48",
        "data.num_views=2",
        f"targets={','.join(ALL)}",
    ]
    return apply_overrides(pretrain_config, options)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def one_view(images: Tensor, mask: Tensor) -> ViewBatch:
    """Views (B, 1, C, 1, W) with mask (B, 1, 1, W)."""
    pose, lens = torch.eye(4).expand(len(images), 1, 4, 4), torch.eye(3).expand(len(images), 1, 3, 3)
    return ViewBatch(pose, lens, torch.ones(len(images), dtype=torch.bool), images, mask)


def test_channels_lie_in_the_order_of_the_targets() -> None:
    assert [TARGETS[name].channels for name in ALL] == [3, 1, 3, 1]
    assert channel_slices(("mask", "normal", "rgb")) == {"mask": slice(0, 1), "normal": slice(1, 4), "rgb": slice(4, 7)}
    assert num_channels(ALL) == 8
    assert image_kinds(("mask", "normal", "rgb", "depth")) == ("normal", "depth")


def test_targets_set_the_generators_channels(pretrain_config: PretrainConfig) -> None:
    assert pretrain_config.targets == ("rgb",)
    drawing = apply_overrides(pretrain_config, ["targets=normal, mask"])
    assert drawing.targets == ("normal", "mask")
    assert drawing.model.generator.out_channels == 4
    assert pretrain_config.model.generator.out_channels == 3
    assert apply_overrides(drawing, ['targets=["rgb"]']) == pretrain_config
    assert PretrainConfig.model_validate_json(drawing.model_dump_json()) == drawing
    stored = pretrain_config.model_dump(mode="json")  # as written before there were targets
    del stored["targets"]
    stored["loss"] = {name: stored["loss"][name] for name in ("foreground_weight", "background_weight")}
    assert PretrainConfig.model_validate(stored) == pretrain_config


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("targets=rgb,rgb", "targets rgb,rgb: name each target once"),
        ("targets=rgb,colour", "'rgb', 'depth', 'normal' or 'mask', got 'colour'"),
        ("targets=[]", "targets"),
        ("loss.depth_weight=0", "loss.depth_weight"),
    ],
)
def test_targets_that_cannot_be_are_refused(option: str, message: str, pretrain_config: PretrainConfig) -> None:
    with pytest.raises(TapError, match=re.escape(message)) as error:
        apply_overrides(pretrain_config, [option])
    assert "\n" not in str(error.value)


def test_the_perceptual_term_needs_colour(pretrain_config: PretrainConfig) -> None:
    with pytest.raises(TapError, match=r"loss\.perceptual_weight needs rgb among them"):
        apply_overrides(pretrain_config, ["targets=depth", "loss.perceptual_weight=2"])
    alone = ["loss.foreground_weight=0", "loss.background_weight=0", "loss.perceptual_weight=2"]
    loss = apply_overrides(pretrain_config, alone).loss
    assert loss.weights(("rgb",)) == {"rgb": (0.0, 0.0)}
    assert loss.judged_weights(("rgb", "mask")) == {"rgb": (20.0, 1.0), "mask": (1.0, 1.0)}


def test_the_loss_of_each_target_by_hand(config: PretrainConfig) -> None:
    images = torch.zeros(1, 1, 8, 1, 4)
    generated = images.clone()
    mask = torch.tensor([True, True, False, False]).reshape(1, 1, 1, 4)
    generated[..., 0] = 0.1  # on the object: every channel off by .1 on one of two pixels
    generated[..., 2] = 0.2  # beside it by .2: depth and normals do not mind
    weights = config.loss.weights(ALL)
    assert weights == WEIGHTS
    terms = TargetLoss(weights)(generated, one_view(images, mask))
    shares = {name: share.item() for name, share in terms.shares.items()}
    expected = {"rgb": 20 * 0.005 + 0.02, "depth": 12 * 0.005, "normal": 8 * 0.005, "mask": 0.005 + 0.02}
    assert shares == pytest.approx(expected)
    assert terms.total.item() == pytest.approx(sum(expected.values()))
    assert terms.regions["normal"]["sums"].foreground_count.item() == 6
    tally = Tally(weights)
    tally.add(generated, one_view(images, mask))
    assert tally.losses() == pytest.approx(expected)


def test_without_colour_only_what_is_asked_for_follows_the_pose() -> None:
    true = torch.zeros(1, 2, 2, 1, 2)  # depth and mask of two views of two pixels, of which the first is covered
    true[0, 0, 0, 0, 0] = 1.0
    views = dataclasses.replace(
        one_view(torch.zeros(1, 1, 2, 1, 2), torch.ones(1, 1, 1, 2, dtype=torch.bool)),
        world_to_camera=torch.eye(4).expand(1, 2, 4, 4),
        intrinsics=torch.eye(3).expand(1, 2, 3, 3),
        images=true,
        mask=torch.tensor([True, False]).expand(1, 2, 1, 2),
    )
    tally = Tally({"depth": (1.0, 0.0), "mask": (1.0, 1.0)})
    drawn = true / 2
    drawn[0, 0, 0, 0, 1] = 1.0  # depth beside the object
    tally.add(drawn, views)
    assert tally.view_dependence() == 0.5


def test_mean_images_by_hand() -> None:
    # Two objects, one view of one pixel, covered by the first alone: depth .2 and 1 (nothing), silhouette 1 and 0.
    images = torch.tensor([[0.2, 1.0], [1.0, 0.0]]).reshape(2, 1, 2, 1, 1)
    views = one_view(images, torch.tensor([True, False]).reshape(2, 1, 1, 1))
    mean = weighted_mean_images([views], {"depth": (12.0, 0.0), "mask": (3.0, 1.0)})
    assert mean is not None
    torch.testing.assert_close(mean.images.flatten(), torch.tensor([0.2, 0.75]))
    sums = target_sums(mean.images.expand_as(images), views, ("depth", "mask"))
    assert float(sums["depth"].loss(12.0, 0.0)) == pytest.approx(0.0)
    assert float(sums["mask"].loss(3.0, 1.0)) == pytest.approx(3 * 0.0625 + 0.5625)


def test_pictures_show_what_is_asked_for() -> None:
    images = np.full((1, 8, 1, 2), 0.25, np.float32)
    shown = pictures_of(images, np.array([[[True, False]]]), ALL)
    assert list(shown) == list(ALL)
    assert all(picture.shape == (1, 3, 1, 2) and picture.dtype == np.float32 for picture in shown.values())
    assert (shown["rgb"] == 0.25).all()
    assert (shown["mask"] == 0.75).all()
    assert shown["normal"][0, :, 0].tolist() == [[0.25, 1.0]] * 3
    near, far = (
        pictures_of(np.full((1, 1, 1, 1), d, np.float32), np.ones((1, 1, 1), bool), ("depth",)) for d in (0, 1)
    )
    assert near["depth"].mean() > far["depth"].mean()
    assert (shown["depth"][..., 1] == 1).all()


class Truth(nn.Module):
    def forward(self, points: PointBatch, views: ViewBatch) -> Tensor:
        assert views.images is not None
        return views.images


@pytest.mark.parametrize("targets", [ALL, ("depth", "mask"), ("normal",)])
def test_the_truth_has_no_loss(targets: tuple[str, ...], balls: Path, tmp_path: Path, config: PretrainConfig) -> None:
    reader, fabric = ShardReader(balls, "train"), Fabric(accelerator="cpu", devices=1)
    judge = Evaluator(
        apply_overrides(config, [f"targets={','.join(targets)}"]), reader, np.arange(5), reader, np.arange(3), "train"
    )
    judge.prepare(fabric, tmp_path, False, Silent())
    metrics = judge.evaluate(Truth(), fabric)
    assert (metrics["loss"], metrics["ratio"], metrics["view_dependence"]) == (0.0, 0.0, 1.0)
    assert [metrics[f"{name}_ratio"] for name in targets] == [0.0] * len(targets)
    assert judge.baseline is not None
    assert sum(judge.baseline.losses.values()) == metrics["baseline_loss"]
    assert min(judge.baseline.losses.values()) > 0
    before = judge.baseline.losses
    judge.prepare(fabric, tmp_path, True, Silent())
    assert judge.baseline.losses == before


class StopAt(Silent):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, numbers: Mapping[str, Any]) -> None:
        if numbers["step"] == self.step:
            raise KeyboardInterrupt


def test_a_run_with_all_targets_stopped_and_resumed_is_the_same_run(
    balls: Path, tmp_path: Path, config: PretrainConfig
) -> None:
    result = pretrain(balls, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        pretrain(balls, tmp_path / "parts", config, progress=StopAt(3))
    again = pretrain(balls, tmp_path / "parts", apply_overrides(config, ["train.num_workers=1"]), resume=True)
    assert again["metrics"] == result["metrics"]
    for file in ("model.safetensors", "optimizer.safetensors"):
        assert (tmp_path / "whole/last" / file).read_bytes() == (tmp_path / "parts/last" / file).read_bytes()
    rows = rows_of(tmp_path / "whole" / "metrics.csv")
    names = [f"{name}_loss" for name in ALL]
    assert {"loss", "foreground_loss", "background_loss", *names} <= set(rows[0])
    for row, other in zip(rows, rows_of(tmp_path / "parts" / "metrics.csv"), strict=True):
        assert float(row["loss"]) == pytest.approx(sum(float(row[name]) for name in names), rel=1e-5)
        assert [row[name] for name in (*names, "loss", "gradient_norm")] == [
            other[name] for name in (*names, "loss", "gradient_norm")
        ]
    metrics = result["metrics"]
    assert metrics["loss"] == pytest.approx(sum(metrics[name] for name in names))
    with Image.open(result["picture"]) as picture:
        assert picture.height > 8 * 100


def test_a_target_alone_is_learned(balls: Path, tmp_path: Path, config: PretrainConfig) -> None:
    options = [
        "targets=depth",
        "train.epochs=30",
        "train.eval_every=30",
        "train.save_every=30",
        "train.learning_rate=4e-3",
    ]
    pretrain(balls, tmp_path, apply_overrides(config, [*options, "train.log_every=6"]))
    rows = rows_of(tmp_path / "metrics.csv")
    assert "foreground_loss" not in rows[0]
    assert float(rows[-1]["depth_loss"]) < 0.5 * float(rows[0]["depth_loss"])


def test_the_perceptual_term_is_added(
    balls: Path, tmp_path: Path, config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path | None] = []

    class Distance(nn.Module):
        def __init__(self, weights: Path | None = None) -> None:
            super().__init__()
            files.append(weights)

        def forward(self, generated: Tensor, views: ViewBatch) -> Tensor:
            assert views.images is not None
            assert generated.shape == views.images.shape == (3, 2, 3, 32, 32)
            return (generated - views.images).abs().mean()

    module = types.ModuleType("tap.perceptual")
    module.__dict__["PerceptualLoss"] = Distance
    monkeypatch.setitem(sys.modules, "tap.perceptual", module)
    options = ["targets=mask,rgb", "loss.perceptual_weight=2", "loss.foreground_weight=0", "loss.background_weight=0"]
    changed = apply_overrides(config, [*options, "loss.perceptual_file=vgg.safetensors", "train.epochs=1"])
    metrics = pretrain(balls, tmp_path, changed)["metrics"]
    for row in rows_of(tmp_path / "metrics.csv"):
        assert (float(row["rgb_loss"]), float(row["perceptual_loss"]) > 0.1) == (0.0, True)
        assert float(row["loss"]) == pytest.approx(float(row["mask_loss"]) + float(row["perceptual_loss"]))
    assert files == [Path("vgg.safetensors")]
    assert metrics["rgb_loss"] > 0.1  # judged by the paper's weights
