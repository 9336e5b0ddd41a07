import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shards.stream import Address
from tap.backbones import build_backbone
from tap.batch import PointBatch
from tap.config import apply_overrides
from tap.datasets import DatasetConfig, open_source
from tap.errors import TapError
from tap.loading.sampling import EVALUATION
from tap.network.heads import pool
from tap.tasks.classes import classification, figures
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classifier import ClassificationConfig, build_classifier
from tap.tasks.classes.confusion import draw_confusion
from tap.tasks.classes.feature_map import Panel, draw_feature_map, make_panel
from tap.tasks.classes.figures import Finished, feature_panels, figure_sections
from tap.tasks.classes.robustness import Condition, NoisySamples, draw_robustness, measure_robustness, write_robustness
from tap.tasks.classes.scores import Scores
from tap.training.checkpoint import load_weights, read_json
from tap.training.fabric import build_fabric
from tests.tap.conftest import write_set

PICTURES = ("confusion.png", "tsne.png", "robustness.png")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 training and 12 test samples of 3 classes."""
    return write_set(tmp_path_factory.mktemp("sets") / "twelve", {"train": 3, "test": 4})


@pytest.fixture(scope="module")
def run(
    twelve: Path, classification_config: ClassificationConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("runs") / "classify"
    config = apply_overrides(classification_config, ["train.epochs=2", "train.batch_size=4"])
    return out, finetune_classification(twelve, out, config)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "robustness.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def png_size(file: Path) -> tuple[int, int]:
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def perfect(num: int, labels: list[int]) -> Scores:
    truth = torch.tensor(labels)
    return Scores(torch.arange(num), truth, truth, torch.ones(num), torch.zeros(num))


def test_a_run_leaves_its_pictures_and_its_report_holds_them(run: tuple[Path, dict[str, Any]]) -> None:
    out, result = run
    page = (out / "report.html").read_text()
    assert all(png_size(out / name)[0] == 1196 for name in PICTURES)  # one width, so that the report scales all alike
    assert page.count("data:image/png;base64,") == 3
    titles = ("What it confuses", "What its features tell apart", "How it holds")
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert places == sorted(places)
    rows = rows_of(out)
    conditions = [(int(row["num_points"]), float(row["noise"])) for row in rows]
    assert conditions == [(16, 0), (32, 0), (64, 0), (128, 0), (128, 0.01), (128, 0.02), (128, 0.05)]
    assert {row["split"] for row in rows} == {"test"}
    assert [row["num_samples"] for row in rows] == ["12"] * 7
    assert float(rows[3]["accuracy"]) == result["test"]["best"]["accuracy"]
    assert float(rows[3]["class_mean_accuracy"]) == result["test"]["best"]["class_mean_accuracy"]


def test_pictures_are_drawn_after_the_result_and_only_if_wanted(
    twelve: Path, tmp_path: Path, classification_config: ClassificationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(out: Path, finished: Finished, *_: object) -> None:
        seen.append((read_json(out / "result.json")["test"]["best"], finished.scores.metrics(3), finished.split))

    monkeypatch.setattr(classification, "draw_figures", noted)
    config = apply_overrides(classification_config, ["train.epochs=1"])
    finetune_classification(twelve, tmp_path / "with", config)
    assert len(seen) == 1
    assert seen[0][0] == seen[0][1]
    assert seen[0][2] == "test"
    finetune_classification(twelve, tmp_path / "without", apply_overrides(config, ["figures=false"]))
    assert len(seen) == 1


def test_without_a_test_split_validation_is_shown_and_few_samples_are_not_laid_out(
    train_only: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    finetune_classification(train_only, tmp_path, apply_overrides(classification_config, ["train.epochs=1"]))
    assert {row["split"] for row in rows_of(tmp_path)} == {"validation"}
    assert {row["num_samples"] for row in rows_of(tmp_path)} == {"3"}
    assert not (tmp_path / "tsne.png").exists()
    assert [section.title for section in figure_sections(tmp_path)] == ["What it confuses", "How it holds"]


def test_the_same_run_draws_the_same_bytes(
    run: tuple[Path, dict[str, Any]], twelve: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["train.epochs=2", "train.batch_size=4"])
    finetune_classification(twelve, tmp_path, config)
    for name in (*PICTURES, "robustness.csv"):
        assert (tmp_path / name).read_bytes() == (run[0] / name).read_bytes(), name


def test_features_before_are_those_of_the_start_and_a_frozen_backbone_has_one_panel(
    run: tuple[Path, dict[str, Any]],
    twelve: Path,
    classification_config: ClassificationConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def noted(*given: Any) -> Panel:
        seen.append(given)
        return make_panel(*given)

    monkeypatch.setattr(figures, "make_panel", noted)
    source, fabric = open_source(twelve, DatasetConfig()), build_fabric("cpu", 1, "32-true")
    test = source.open("test", classification_config.data, 0)
    labels = [int(test.label(index) or 0) for index in range(12)]
    torch.manual_seed(5)
    model = build_classifier(classification_config, 3).eval()
    finished = Finished(model, run[0], (test, np.arange(12)), "test", test, perfect(12, labels))
    panels, told = feature_panels(finished, classification_config, fabric)
    assert told.tolist() == labels
    assert [panel.title for panel in panels] == [
        "before fine-tuning: weights of classify",
        "after fine-tuning: the best checkpoint",
    ]
    assert classification_config.backbone is not None
    start: nn.Module = build_backbone(classification_config.backbone)  # type: ignore[assignment]
    load_weights(start, run[0], "backbone.")
    points = torch.from_numpy(np.stack([test[Address(EVALUATION, index)].points for index in range(12)]))
    with torch.no_grad():
        for (_, vectors, *_), backbone in zip(seen, (start.eval(), model.get_submodule("backbone")), strict=True):
            by_hand = pool(backbone(PointBatch(points)), "max_mean").numpy()
            np.testing.assert_allclose(vectors, by_hand, atol=1e-5)
    frozen = apply_overrides(classification_config, ["protocol=mlp_linear"])
    assert [panel.title for panel in feature_panels(finished, frozen, fabric)[0]] == [panels[0].title]


def test_nearest_neighbours_by_hand() -> None:
    pairs = np.repeat(np.arange(6.0), 2) + np.tile([0.0, 0.1], 6)  # each has its nearest neighbour beside it
    vectors = np.stack([pairs, np.ones(12)], axis=1).astype(np.float32)  # the second channel says nothing
    assert make_panel("", vectors, np.arange(12) // 2, 0).agreement == 1.0
    assert make_panel("", vectors, np.arange(12) % 2, 0).agreement == 0.0
    mixed = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
    assert make_panel("", vectors, mixed, 0).agreement == pytest.approx(8 / 12)


def test_a_plane_keeps_groups_apart_and_is_seeded() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    vectors = (20 * np.eye(3)[labels] + rng.normal(size=(60, 3))).astype(np.float32)
    places = make_panel("", vectors, labels, 0).places
    assert places.shape == (60, 2)
    centers = np.stack([places[labels == label].mean(0) for label in range(3)])
    nearest = np.linalg.norm(places[:, None] - centers, axis=-1).argmin(1)
    assert nearest.tolist() == labels.tolist()
    assert np.array_equal(make_panel("", vectors, labels, 0).places, places)


def test_features_that_are_all_the_same_have_one_place(tmp_path: Path) -> None:
    panel = make_panel("a", np.ones((12, 4), np.float32), np.zeros(12, np.int64), 0)
    assert not panel.places.any()
    draw_feature_map(tmp_path / "one.png", [panel], np.zeros(12, np.int64), ["cup"], "samples")
    assert png_size(tmp_path / "one.png")[0] == 1196


def test_classes_beyond_the_colours_differ_by_marker(tmp_path: Path) -> None:
    panel = make_panel("a", np.eye(12, dtype=np.float32), np.zeros(12, np.int64), 0)
    names = [f"class {number}" for number in range(200)]
    for label in (0, 20, 1):
        draw_feature_map(tmp_path / f"{label}.png", [panel], np.full(12, label), [*map(str, [7] * 200)], "samples")
    contents = {(tmp_path / f"{label}.png").read_bytes() for label in (0, 20, 1)}
    assert len(contents) == 3
    draw_feature_map(tmp_path / "all.png", [panel], np.arange(12) * 15, names, "samples")
    assert png_size(tmp_path / "all.png")[0] == 1196


def test_the_confusion_picture_has_a_row_for_each_class_that_occurs(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(30)]
    few, many = np.zeros((30, 30), np.int64), np.eye(30, dtype=np.int64)
    few[:2, 3] = 4
    for name, counts in (("few", few), ("many", many), ("again", few)):
        draw_confusion(tmp_path / f"{name}.png", counts, names)
    sizes = {name: png_size(tmp_path / f"{name}.png") for name in ("few", "many")}
    assert sizes["few"][0] == sizes["many"][0] == 1196
    assert sizes["few"][1] < sizes["many"][1]
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "few.png").read_bytes()


def test_names_are_drawn_letter_by_letter(tmp_path: Path) -> None:
    names = ["$\\frac$", "_cup", "jar"]  # a formula that is none; a name that matplotlib's own legends leave out
    draw_confusion(tmp_path / "confusion.png", np.eye(3, dtype=np.int64), names)
    panel = make_panel("from $\\sqrt$", np.eye(12, dtype=np.float32), np.zeros(12, np.int64), 0)
    labels = np.arange(12) % 3
    draw_feature_map(tmp_path / "names.png", [panel], labels, names, "samples")
    draw_feature_map(tmp_path / "others.png", [panel], labels, [names[0], "cup", "jar"], "samples")
    draw_feature_map(tmp_path / "blank.png", [panel], labels, [names[0], "", "jar"], "samples")
    contents = {(tmp_path / f"{name}.png").read_bytes() for name in ("names", "others", "blank")}
    assert len(contents) == 3
    assert png_size(tmp_path / "confusion.png")[0] == 1196


def test_noise_is_of_the_sample_and_scales(twelve: Path, classification_config: ClassificationConfig) -> None:
    data = open_source(twelve, DatasetConfig()).open("test", classification_config.data, 0)
    plain = np.stack([data[Address(EVALUATION, index)].points for index in range(12)])
    little, much = (
        np.stack([NoisySamples(data, deviation)[Address(EVALUATION, index)].points for index in range(12)]) - plain
        for deviation in (0.02, 0.04)
    )
    assert little.std() == pytest.approx(0.02, rel=0.05)
    np.testing.assert_allclose(much, 2 * little, atol=1e-6)
    assert not np.allclose(little[0], little[1])
    again = NoisySamples(data, 0.02)
    assert np.array_equal(again[Address(EVALUATION, 4)].points - plain[4], little[4])
    assert (len(again), again.key(4), again.label(4)) == (12, data.key(4), data.label(4))


class Counted(nn.Module):
    """Says class 0 of clouds of 64 points and of noisy ones, class 1 of others, and cannot take fewer than 32."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, points: PointBatch) -> Tensor:
        number = points.points.shape[1]
        if number < 32:
            raise TapError(f"clouds of {number} points\nare too few")
        self.sizes += [number] * len(points.points)
        scores = torch.zeros(len(points.points), 3)
        scores[:, 0 if number in (64, 128) else 1] = 1.0
        return scores


def test_conditions_by_hand(twelve: Path, tmp_path: Path, classification_config: ClassificationConfig) -> None:
    source, fabric = open_source(twelve, DatasetConfig()), build_fabric("cpu", 1, "32-true")
    data = source.open("test", classification_config.data, 0)
    labels = [int(data.label(index) or 0) for index in range(12)]
    known = perfect(12, labels)
    kept = Scores(*(column[:9] for column in (known.index, known.truth, known.predicted, known.confidence, known.loss)))
    model = Counted().eval()
    found = measure_robustness(model, source, "test", kept, classification_config, fabric)
    zeros, ones = labels[:9].count(0) / 9, labels[:9].count(1) / 9
    assert [(one.num_points, one.noise) for one in found] == [
        (16, 0.0), (32, 0.0), (64, 0.0), (128, 0.0), (128, 0.01), (128, 0.02), (128, 0.05),
    ]  # fmt: skip
    assert (found[0].num_samples, found[0].left_out) == (0, "clouds of 16 points are too few")
    assert [one.accuracy for one in found[1:]] == pytest.approx([ones, zeros, 1.0, zeros, zeros, zeros])
    assert {one.num_samples for one in found[1:]} == {9}  # those that have been scored
    # 9 samples fill two batches of 6; all points without noise are not classified again; of fewer points one is tried first
    assert (model.sizes.count(128), model.sizes.count(64)) == (3 * 12, 12 + 1)
    write_robustness(tmp_path, found, "test")
    rows = rows_of(tmp_path)
    assert (rows[0]["accuracy"], rows[0]["left_out"]) == ("", "clouds of 16 points are too few")
    assert rows[3]["accuracy"] == "1.0"
    page = "".join(section.html() for section in figure_sections(tmp_path))
    assert "Left out: 16 points: clouds of 16 points are too few." in page


def test_conditions_that_were_left_out_are_not_drawn(tmp_path: Path) -> None:
    whole, lost = Condition(128, 0.0, 6, 0.5, 0.4), Condition(64, 0.0, 0, float("nan"), float("nan"), "too few")
    noisy = [Condition(128, noise, 6, 0.4, 0.3) for noise in (0.01, 0.02)]
    draw_robustness(tmp_path / "without.png", [whole, *noisy], "test")
    draw_robustness(tmp_path / "lost.png", [lost, whole, *noisy], "test")
    assert (tmp_path / "lost.png").read_bytes() == (tmp_path / "without.png").read_bytes()
