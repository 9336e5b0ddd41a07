"""Every ablation builds, trains two steps, and differs from the full model in what it names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shards.stream import Address
from tap.ablations import ABLATIONS, FULL_MODEL, Ablation, apply_ablation
from tap.batch import Encoded, ViewBatch
from tap.config import apply_overrides, differing_keys
from tap.errors import TapError
from tap.loading.collate import Batch, collate
from tap.loading.data import SampleData, open_reader
from tap.network.photograph import Photograph, build_photograph
from tap.network.projection import ProjectedPhotograph
from tap.network.query import QueryGenerator
from tap.perceptual import PerceptualLoss, VGG16Features
from tap.tasks.pretraining.pretrain import PretrainConfig, PretrainTask
from tap.tasks.pretraining.pretrain_presets import PRETRAIN_PRESETS

QUERY_PARTS = {"F1": [3, 4, 5, 6, 7], "F2": [0, 1, 2], "F3": [0, 1, 2, 3, 4, 5], "F4": [0, 1, 2, 6, 7]}


@pytest.fixture(scope="module")
def batch(shards: Path, pretrain_config: PretrainConfig) -> Batch:
    return collate(list(data_of(shards, pretrain_config).readable(range(2))))


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.manual_seed(0)
    torch.save(VGG16Features().state_dict(), file)
    return file


@pytest.fixture(scope="module")
def presets() -> list[PretrainConfig]:
    return [PRETRAIN_PRESETS[f"{size}/transformer"]() for size in ("paper", "reference", "small")]


def data_of(shards: Path, config: PretrainConfig) -> SampleData:
    return SampleData(open_reader(shards, config.train_split, config.data), config.data, 0, "some", config.augment)


def task_of(config: PretrainConfig, shards: Path, vgg16: Path) -> PretrainTask:
    evaluator: Any = None  # asked for nothing in a training step
    perceptual = PerceptualLoss(vgg16) if config.loss.perceptual_weight else None
    return PretrainTask(config, data_of(shards, config), np.arange(2), evaluator, perceptual)


def query_of(config: PretrainConfig) -> nn.Module:
    photograph = build_photograph(config.model.photograph, 48, config.model.image_size)
    assert isinstance(photograph, Photograph)
    return photograph.query


def changed_keys(first: PretrainConfig, second: PretrainConfig) -> set[str]:
    return {text.split(" ")[0] for text in differing_keys(first.model_dump(), second.model_dump())}


def named_keys(row: Ablation) -> set[str]:
    return {change.partition("=")[0] for change in row.changes}


def test_the_table_is_the_papers() -> None:
    sizes = [f"L{layers}C{channels}" for layers in (2, 4, 6, 8) for channels in (128, 256, 1024)]
    known = [
        "A1",
        "A2",
        "B",
        "C",
        "D",
        "E",
        "F1",
        "F2",
        "F3",
        "F4",
        *sizes,
        *(f"G{n}" for n in range(1, 7)),
        "H1",
        "H2",
    ]
    assert list(ABLATIONS) == known
    assert [row.name for row in ABLATIONS.values() if row.is_full_model] == ["L6C256", "G4"]
    assert all((row.accuracy == FULL_MODEL) == row.is_full_model for row in ABLATIONS.values() if row.name != "L4C128")
    assert ABLATIONS["L2C128"].accuracy == max(row.accuracy for row in ABLATIONS.values()) == 89.1
    assert ABLATIONS["L6C1024"].accuracy == min(row.accuracy for row in ABLATIONS.values()) == 85.3
    assert (ABLATIONS["F1"].accuracy, ABLATIONS["F1"].source) == (86.5, "Take-A-Photo (ICCV 2023), table 6 (b)")


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_row_differs_in_exactly_what_it_names(
    name: str, pretrain_config: PretrainConfig, presets: list[PretrainConfig]
) -> None:
    row, full = ABLATIONS[name], presets[0]
    changed = changed_keys(full, apply_ablation(full, name))
    assert changed <= named_keys(row)
    assert not changed if row.is_full_model else changed
    # A model that shares no value with any row: all that is named changes, and nothing else.
    model = pretrain_config.model
    photograph = model.photograph.model_copy(update={"channels": 64, "layers": 3, "num_heads": 2})
    loss = pretrain_config.loss.model_copy(
        update={"foreground_weight": 7.0, "background_weight": 3.0, "perceptual_weight": 1.0}
    )
    other = pretrain_config.model_copy(
        update={"model": model.model_copy(update={"photograph": photograph}), "loss": loss}
    )
    assert changed_keys(other, apply_ablation(other, name)) == named_keys(row)


@pytest.mark.parametrize("name", [name for name, row in ABLATIONS.items() if "photograph" in row.changes[0]])
def test_a_row_fits_every_size_of_model(name: str, presets: list[PretrainConfig]) -> None:
    for preset in presets:
        config = apply_ablation(preset, name).model
        with torch.device("meta"):
            photograph = build_photograph(config.photograph, 384, config.image_size)
        assert photograph.channels == config.photograph.channels
        if any("num_heads" in change for change in ABLATIONS[name].changes):
            assert photograph.channels == config.photograph.num_heads * 32
            query = photograph.blocks[0].get_parameter("cross_attention.to_query.weight")
            assert query.shape == (photograph.channels, photograph.channels)


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_row_trains_two_steps(name: str, pretrain_config: PretrainConfig, shards: Path, vgg16: Path) -> None:
    # 1024 channels make large layers, so there is one view, and the MLPs are narrow.
    small = apply_overrides(pretrain_config, ["model.photograph.mlp_ratio=0.25", "data.num_views=1"])
    task = task_of(apply_ablation(small, name), shards, vgg16)
    batch = collate([task.train_data[Address(0, index)] for index in range(2)])
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        loss = task.training_step(task.model, batch)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert loss.isfinite()
    gradients = {key: value.grad for key, value in task.model.named_parameters() if value.grad is not None}
    learning = {key.split(".")[0] for key, gradient in gradients.items() if gradient.any()}
    assert learning == {"backbone", "photograph", "generator"}


@pytest.mark.parametrize("name", QUERY_PARTS)
def test_rows_of_the_query_keep_the_rest_of_each_line(name: str, pretrain_config: PretrainConfig, batch: Batch) -> None:
    views = batch.view_batch(pretrain_config.model.image_size)
    full, row = query_of(pretrain_config), query_of(apply_ablation(pretrain_config, name))
    assert isinstance(full, QueryGenerator)
    assert isinstance(row, QueryGenerator)
    torch.testing.assert_close(row.lines(views), full.lines(views)[..., QUERY_PARTS[name]])


def test_without_origin_a_shifted_camera_asks_the_same(pretrain_config: PretrainConfig, batch: Batch) -> None:
    views = batch.view_batch(pretrain_config.model.image_size)
    lens = views.intrinsics.clone()
    lens[..., :2, 2] += 5  # parallel lines move sideways, their direction and their cells' positions stay
    shifted = ViewBatch(views.world_to_camera, lens, views.parallel)
    differs = []
    for config in (pretrain_config, apply_ablation(pretrain_config, "F1")):
        query = query_of(config)
        differs.append(not torch.equal(query(shifted), query(views)))
    assert differs == [True, False]


def test_queries_from_the_pose_do_not_see_the_lens(pretrain_config: PretrainConfig, batch: Batch) -> None:
    views = batch.view_batch(pretrain_config.model.image_size)
    other = ViewBatch(views.world_to_camera, views.intrinsics * 2, views.parallel)
    learned = query_of(apply_ablation(pretrain_config, "E"))
    queries = learned(views)
    assert torch.equal(learned(other), queries)
    assert not torch.allclose(queries[0], queries[1], atol=1e-5)


def test_rows_of_the_module_are_what_they_say(pretrain_config: PretrainConfig, batch: Batch) -> None:
    views = batch.view_batch(pretrain_config.model.image_size)
    configs = {name: apply_ablation(pretrain_config, name).model for name in ("A1", "A2", "B", "C", "D")}
    modules = {name: build_photograph(config.photograph, 48, 32) for name, config in configs.items()}
    objects = Encoded(torch.randn(2, 12, 48), torch.randn(2, 12, 3) / 3)
    entries = {name: module.attention(objects, views).shape[-1] for name, module in modules.items()}
    assert entries == {"A1": 12, "A2": 12, "B": 13, "C": 13, "D": 12}  # with a pad token there is one more
    assert {name: len(module.blocks) for name, module in modules.items()} == {"A1": 0, "A2": 6, "B": 2, "C": 2, "D": 2}
    assert isinstance(modules["A1"], ProjectedPhotograph)
    assert modules["A1"].pose_token is None
    assert isinstance(modules["A2"], ProjectedPhotograph)
    assert modules["A2"].pose_token is not None
    assert modules["C"].channels == 512


def test_rows_of_the_loss_weigh_the_same_terms(
    pretrain_config: PretrainConfig, shards: Path, batch: Batch, vgg16: Path
) -> None:
    totals, regions = {}, {}
    for name in ("G1", "G6", "H1", "H2", "G4"):
        task = task_of(apply_ablation(pretrain_config, name), shards, vgg16)
        with torch.no_grad():  # the same seed, so the same model
            terms = task.training_step(task.model.eval(), batch)
        totals[name] = float(terms["loss"])
        regions[name] = (float(terms["foreground_loss"]), float(terms["background_loss"]))
    (foreground, background), *others = regions.values()
    assert others == [(foreground, background)] * 4
    expected = {name: weight * foreground + background for name, weight in (("G1", 2), ("G6", 50), ("G4", 20))}
    for name, total in expected.items():
        assert totals[name] == pytest.approx(total, rel=1e-5)
    assert totals["H1"] > 0
    assert totals["H2"] == pytest.approx(totals["G4"] + totals["H1"], rel=1e-5)


def test_an_unknown_row_names_the_nearest_and_a_misfit_says_why(pretrain_config: PretrainConfig) -> None:
    with pytest.raises(TapError, match="ablation 'f5' is unknown; the nearest known one is F4; tap ablations lists"):
        apply_ablation(pretrain_config, "f5")
    with pytest.raises(TapError, match=r"ablation 'L2C512'.*the nearest known one is L2C128"):
        apply_ablation(pretrain_config, "L2C512")
    depth_alone = pretrain_config.model_copy(update={"targets": ("depth",)})
    with pytest.raises(TapError, match=r"ablation H2 does not fit this run: .*needs rgb"):
        apply_ablation(depth_alone, "H2")
