from pathlib import Path

import numpy as np
import pytest
import torch

from render.farthest import farthest_subset
from shards.exchange.ply import decode_ply
from tap.backbones import BackboneConfig
from tap.batch import PointBatch
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.photos.clouds import Cloud
from tap.results.prediction import ClassPredictor, load_predictor
from tap.results.prediction_cloud import blocks_of, points_for
from tap.results.prediction_parts import write_parts
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.classifier import build_classifier
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.part_segmentation import build_segmenter
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint
from tests.tap.conftest import tiny_backbone

CLASSES = ["ball", "box", "rod", "tube"]
PARTS = {"part_names": ["Box: body", "Box: lid", "Rod: shaft", "Rod: tip"], "class_parts": [[0, 1], [2, 3]]}


def save_run(out: Path, task: str, config: object, classes: list[str], model: torch.nn.Module, **data: object) -> Path:
    record = {
        "format_version": FORMAT_VERSION,
        "task": task,
        "config": config.model_dump(mode="json"),  # type: ignore[attr-defined]
        "data": {"classes": classes, **data},
    }
    save_checkpoint(out / "best", record, {}, model.state_dict())
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ClassificationConfig(backbone=tiny_backbone(), data=DataConfig(num_points=64))
    torch.manual_seed(1)
    return save_run(tmp_path_factory.mktemp("class"), "classification", config, CLASSES, build_classifier(config, 4))


@pytest.fixture(scope="module")
def part_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = PartSegConfig(backbone=tiny_backbone(), data=DataConfig(num_points=64))
    torch.manual_seed(2)
    model = build_segmenter(config, 4, 2)
    return save_run(tmp_path_factory.mktemp("part"), "partseg", config, ["Box", "Rod"], model, **PARTS)


def cloud(number: int) -> Cloud:
    points = np.random.default_rng(number).normal(size=(number, 3)).astype(np.float32)
    return Cloud(points / np.linalg.norm(points, axis=1).max())


@pytest.mark.parametrize(("number", "wanted"), [(1, 3), (5, 5), (7, 3), (64, 64), (100, 32)])
def test_blocks_hold_every_point(number: int, wanted: int) -> None:
    blocks = blocks_of(number, wanted, 0)
    assert blocks.shape == (-(-number // wanted), wanted)
    counts = np.bincount(blocks.ravel(), minlength=number)
    assert len(counts) == number
    assert counts.min() >= 1
    assert counts.max() <= counts.min() + 1  # what fills up repeats no point twice more than another
    assert np.array_equal(blocks, blocks_of(number, wanted, 0))
    assert number == 1 or not np.array_equal(blocks, blocks_of(number, wanted, 1))


def test_classes_are_those_of_the_model_with_its_probabilities(run: Path) -> None:
    predictor = load_predictor(run)
    assert isinstance(predictor, ClassPredictor)
    given = cloud(64)
    found = predictor.predict(given).classes
    model = build_classifier(ClassificationConfig(backbone=tiny_backbone()), 4).eval()
    model.load_state_dict(predictor._model.state_dict())
    index = points_for(given, DataConfig(num_points=64), 0)
    with torch.no_grad():
        expected = model(PointBatch(torch.from_numpy(given.points[index])[None]))[0].softmax(-1)
    order = expected.argsort(descending=True)[:3].tolist()
    assert [name for name, _ in found] == [CLASSES[place] for place in order]
    assert [value for _, value in found] == pytest.approx(expected[order].tolist(), abs=1e-6)
    assert predictor.predict(given).classes == found


def test_points_are_chosen_as_in_evaluation() -> None:
    given = cloud(100)
    chosen = points_for(given, DataConfig(num_points=8, eval_points="farthest"), 0)
    assert chosen.tolist() == farthest_subset(given.points, 8).tolist()
    repeated = points_for(cloud(20), DataConfig(num_points=64), 0)
    assert set(repeated.tolist()) == set(range(20))


def test_a_cloud_may_have_more_or_fewer_points_but_not_too_few(run: Path) -> None:
    predictor = load_predictor(run)
    assert predictor.least_points == 12
    for number in (12, 500):
        assert len(predictor.predict(cloud(number)).classes) == 3
    with pytest.raises(TapError, match="the cloud has 11 points, this run needs at least 12"):
        predictor.predict(cloud(11))
    with pytest.raises(TapError, match="finds the class itself"):
        predictor.predict(cloud(64), "ball")


def test_normals_are_needed_where_they_were_read(tmp_path: Path) -> None:
    settings = {"inputs": "xyz_normal", "embed_channels": 8, "expansions": [2], "pre_blocks": [1], "pos_blocks": [1]}
    backbone = BackboneConfig(name="pointmlp", settings=settings | {"num_neighbors": [8], "strides": [4]})
    config = ClassificationConfig(backbone=backbone, data=DataConfig(num_points=64, normals=True))
    run = save_run(tmp_path, "classification", config, CLASSES, build_classifier(config, 4))
    predictor, bare = load_predictor(run), cloud(64)
    with pytest.raises(TapError, match="the cloud has no normals, which this run reads"):
        predictor.predict(bare)
    towards, away = (predictor.predict(Cloud(bare.points, normals)) for normals in (bare.points, -bare.points))
    assert towards.classes != away.classes


def test_every_point_has_a_part_of_its_class(part_run: Path) -> None:
    predictor = load_predictor(part_run)
    for number in (40, 64, 1000):  # repeated, as in training, and in 16 blocks of which some are run together
        for category, mine in (("Box", {0, 1}), ("Rod", {2, 3})):
            parts = predictor.predict(cloud(number), category).parts
            assert parts is not None
            assert parts.shape == (number,)
            assert set(parts.tolist()) <= mine
    with pytest.raises(TapError, match="name one with --class: Box, Rod"):
        predictor.predict(cloud(64))


def test_blocks_are_judged_apart(part_run: Path) -> None:
    predictor, given = load_predictor(part_run), cloud(640)
    parts = predictor.predict(given, "Rod").parts
    assert parts is not None
    block = blocks_of(640, 64, 0)[9]  # beyond those that run together
    alone = predictor._model(  # type: ignore[attr-defined]
        PointBatch(torch.from_numpy(given.points[block])[None]), torch.tensor([1])
    )[0]
    assert parts[block].tolist() == (alone[:, 2:].argmax(-1) + 2).tolist()


def test_a_coloured_cloud(tmp_path: Path) -> None:
    points, parts = np.arange(24.0).reshape(4, 6), np.array([3, 2, 3, 2])
    write_parts(tmp_path / "new" / "cloud.ply", points, parts, [2, 3])
    found = decode_ply((tmp_path / "new" / "cloud.ply").read_bytes())
    assert found["points"].tolist() == points.tolist()
    assert found["part"].tolist() == [3, 2, 3, 2]
    assert found["colors"].tolist() == [[230, 85, 13], [31, 119, 180]] * 2


def test_a_run_that_predicts_nothing_says_so(tmp_path: Path) -> None:
    config = ClassificationConfig(backbone=tiny_backbone())
    run = save_run(tmp_path, "pretrain", config, CLASSES, build_classifier(config, 4))
    with pytest.raises(TapError, match="a run of pretrain; this is there for classification and partseg alone"):
        load_predictor(run)
    with pytest.raises(TapError, match="has only the checkpoint 'best'; name that one"):
        load_predictor(
            save_run(tmp_path / "two", "classification", config, CLASSES, build_classifier(config, 4)), "last"
        )
