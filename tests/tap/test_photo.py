"""Photos and attention of a model with random weights: shapes, cameras, points, and what each refuses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from render.camera import Cameras, project
from render.rig import Viewpoint, cameras_around
from shards.reader import ShardReader
from shards.schema import Sample
from shards.stream import Address
from tap.errors import TapError
from tap.loading.collate import collate
from tap.loading.data import SampleData
from tap.loading.sampling import EVALUATION
from tap.network.model import build_model
from tap.photos.attention import looked_views, object_cells, spread_over_points
from tap.photos.clouds import Cloud
from tap.photos.photographer import Photographer, errors_against, load_photographer
from tap.tasks.pretraining.pretrain import PretrainConfig
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint

SIZE = 32


def save_run(out: Path, config: PretrainConfig, facts: Mapping[str, Any] | None = None) -> Path:
    """A run folder with random weights."""
    torch.manual_seed(0)
    weights = build_model(config.model).state_dict()
    record = {"format_version": FORMAT_VERSION, "task": "pretrain", "config": config.model_dump(mode="json")}
    save_checkpoint(out / "last", record | dict(facts or {}), {}, weights)
    return out


@pytest.fixture(scope="module")
def run(pretrain_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), pretrain_config, {"render": {"rig": "mvcnn12"}})


@pytest.fixture(scope="module")
def photographer(run: Path) -> Photographer:
    return load_photographer(run)


@pytest.fixture(scope="module")
def cloud() -> Cloud:
    """A ball of 500 points."""
    points = np.random.default_rng(0).normal(size=(500, 3))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    return Cloud((0.8 * normals).astype(np.float32), normals.astype(np.float32))


def cameras_of(*azimuths: float, size: int = SIZE, parallel: bool = True) -> Cameras:
    viewpoint = Viewpoint(size, "parallel" if parallel else "perspective")
    return cameras_around(np.array(azimuths), np.full(len(azimuths), 25.0), viewpoint)


@pytest.mark.parametrize("parallel", [True, False], ids=["parallel", "perspective"])
def test_photos_are_those_of_the_model_whatever_the_cameras_pixels(
    photographer: Photographer, cloud: Cloud, parallel: bool
) -> None:
    taken = photographer.sampled(cloud)
    photos = photographer.photograph(taken, cameras_of(0, 90, 200, parallel=parallel))
    assert photos.shape == (3, 3, SIZE, SIZE)
    assert photos.dtype == np.float32
    assert 0 <= photos.min() < photos.max() <= 1
    finer = photographer.photograph(taken, cameras_of(0, 90, 200, size=3 * SIZE, parallel=parallel))
    np.testing.assert_allclose(finer, photos, atol=1e-5)
    assert np.abs(photos[0] - photos[1]).max() > 1e-4


def test_many_views_are_the_same_as_each_alone(
    photographer: Photographer, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, cameras = photographer.sampled(cloud), cameras_of(0, 50, 100, 150, 200)
    photos, attention = photographer.photograph(taken, cameras), photographer.attention(taken, cameras)
    monkeypatch.setattr("tap.photos.photographer.VIEWS_AT_ONCE", 2)
    np.testing.assert_allclose(photographer.photograph(taken, cameras), photos, atol=1e-5)
    np.testing.assert_allclose(photographer.attention(taken, cameras).weights, attention.weights, atol=1e-5)


def test_a_photo_is_what_training_evaluates(photographer: Photographer, run: Path, shards: Path) -> None:
    with ShardReader(shards, "test") as reader:
        data = SampleData(reader, photographer.config.data, 0, "all")
        batch = collate([data[Address(EVALUATION, 0)]])
        sample = reader.read(0)
    views = batch.view_batch(SIZE)
    with torch.inference_mode():
        expected = photographer.model(batch.point_batch(), views)[0].numpy()
    cameras = Cameras(sample.arrays["world_to_camera"], sample.arrays["intrinsics"], "parallel", SIZE)
    photos = photographer.photograph(Cloud(batch.points[0].numpy()), cameras)
    np.testing.assert_allclose(photos, expected, atol=1e-5)
    true = photographer.true_views(sample)
    assert views.images is not None
    assert true.images is not None
    assert torch.equal(true.images, views.images)
    assert torch.equal(true.intrinsics, views.intrinsics)
    errors = errors_against(true, photos, ("rgb",))
    mask = views.mask[0].numpy() if views.mask is not None else None
    squares = ((photos - views.images[0].numpy()) ** 2).mean(1)
    assert errors["rgb"] == pytest.approx((squares[mask].mean(), squares[~np.asarray(mask)].mean()), rel=1e-4)


def test_true_views_of_another_size_are_shrunk_or_refused(photographer: Photographer) -> None:
    def sample_of(size: int) -> Sample:
        cameras = cameras_of(0, 90, size=size)
        arrays = {"points": np.zeros((1, 6), np.float32), "world_to_camera": cameras.world_to_camera}
        image = np.zeros((size, size, 2), np.uint8)
        image[: size // 2] = (102, 255)
        return Sample(
            "a",
            {"projection": "parallel"},
            arrays | {"intrinsics": cameras.intrinsics},
            {"view00": image, "view01": image},
        )

    true = photographer.true_views(sample_of(2 * SIZE))
    assert true.images is not None
    assert true.images.shape == (1, 2, 3, SIZE, SIZE)
    assert true.images[0, 0, 0, 0, 0] == pytest.approx(0.4)
    with pytest.raises(TapError, match="must divide the stored size"):
        photographer.true_views(sample_of(SIZE + 8))


def test_as_many_points_are_taken_as_in_training(photographer: Photographer, cloud: Cloud) -> None:
    wanted = photographer.config.data.num_points  # 128
    taken = photographer.sampled(cloud, seed=3)
    assert taken.points.shape == (wanted, 3)
    assert len(np.unique(taken.points, axis=0)) == wanted
    np.testing.assert_allclose(np.asarray(taken.normals) * 0.8, taken.points, atol=1e-6)
    np.testing.assert_array_equal(photographer.sampled(cloud, seed=3).points, taken.points)
    assert (photographer.sampled(cloud, seed=4).points != taken.points).any()
    few = cloud.taken(np.arange(50))
    repeated = photographer.sampled(few).points
    _, counts = np.unique(repeated, axis=0, return_counts=True)
    assert sorted(counts) == [2] * 22 + [3] * 28
    exact = cloud.taken(np.arange(wanted))
    np.testing.assert_array_equal(photographer.sampled(exact).points, exact.points)


def test_fewer_points_than_tokens_are_refused(photographer: Photographer, cloud: Cloud) -> None:
    assert photographer.least_points == 12
    assert len(photographer.sampled(cloud.taken(np.arange(12))).points) == 128
    with pytest.raises(TapError, match="11 points, this model needs at least 12"):
        photographer.sampled(cloud.taken(np.arange(11)))


@pytest.mark.parametrize("pad_token", [True, False])
def test_attention_is_of_tokens_and_background(
    pretrain_config: PretrainConfig, cloud: Cloud, tmp_path: Path, pad_token: bool
) -> None:
    part = pretrain_config.model.photograph.model_copy(update={"pad_token": pad_token})
    model = pretrain_config.model.model_copy(update={"photograph": part})
    photographer = load_photographer(save_run(tmp_path, pretrain_config.model_copy(update={"model": model})))
    attention = photographer.attention(photographer.sampled(cloud), cameras_of(0, 120))
    assert attention.weights.shape == (2, 4, 4, 12)
    assert attention.centers.shape == (12, 3)
    total = attention.weights.sum(-1)
    if pad_token:
        assert attention.background is not None
        assert attention.background.shape == (2, 4, 4)
        total = total + attention.background
    else:
        assert attention.background is None
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_cells_stand_where_their_tokens_are_projected(
    pretrain_config: PretrainConfig, cloud: Cloud, tmp_path: Path
) -> None:
    part = pretrain_config.model.photograph.model_copy(update={"kind": "projection"})
    model = pretrain_config.model.model_copy(update={"photograph": part})
    photographer = load_photographer(save_run(tmp_path, pretrain_config.model_copy(update={"model": model})))
    cameras = cameras_of(35, parallel=False)
    attention = photographer.attention(photographer.sampled(cloud), cameras)
    pixels, _ = project(attention.centers, cameras.world_to_camera[0], cameras.intrinsics[0], np.array(0.0))
    for token, (column, row) in enumerate((pixels / (SIZE / 4)).astype(int)):
        assert np.argwhere(attention.weights[0, :, :, token]).tolist() == [[row, column]]


def test_the_run_tells_how_its_shards_were_rendered(run: Path, pretrain_config: PretrainConfig, tmp_path: Path) -> None:
    assert load_photographer(run).rendering == {"rig": "mvcnn12"}
    assert load_photographer(run / "last").rendering == {"rig": "mvcnn12"}
    assert load_photographer(save_run(tmp_path, pretrain_config)).rendering == {}  # of before this was kept


def test_a_whole_model_without_the_settings_of_its_run_takes_photos(
    pretrain_config: PretrainConfig, tmp_path: Path
) -> None:
    stored = {"model": pretrain_config.model.model_dump(mode="json")}  # as an import writes it
    photographer = load_photographer(save_run(tmp_path, pretrain_config, {"config": stored}) / "last")
    assert photographer.config.data.num_points == 1024
    assert photographer.image_size == SIZE


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"task": "classification"}, "task classification, which keeps no photograph module.*tap pretrain"),
        ({"task": "backbone"}, "task backbone, .*a whole model that was exported or imported"),
        ({"task": None}, "task None"),
        ({"config": None}, "config.json: model: Field required"),
        ({"format_version": 99}, "format version 99"),
    ],
)
def test_what_is_no_pretraining_run(
    pretrain_config: PretrainConfig, tmp_path: Path, facts: dict[str, Any], message: str
) -> None:
    save_run(tmp_path, pretrain_config, facts)
    with pytest.raises(TapError, match=message):
        load_photographer(tmp_path)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(TapError, match="neither a checkpoint nor a run"):
        load_photographer(tmp_path)


def test_cells_are_chosen_where_the_object_is() -> None:
    rod = np.linspace([0, 0, -0.95], [0, 0, 0.95], 200).astype(np.float32)
    cells = object_cells(Cloud(rod), cameras_of(0.0), 0, 4, 3)
    assert {column for _, column in cells} <= {1, 2}  # it stands in the middle
    assert [row for row, _ in cells] == sorted(row for row, _ in cells)
    assert cells[0][0] == 0
    assert cells[-1][0] == 3
    dot = Cloud(np.full((5, 3), 0.01, np.float32))
    assert len(object_cells(dot, cameras_of(0.0), 0, 4, 3)) == 1
    behind = Cloud(np.array([[9.0, 0.0, 0.0]], np.float32))
    assert object_cells(behind, cameras_of(0.0), 0, 4, 3) == []


def test_a_point_at_a_token_takes_its_weight(photographer: Photographer, cloud: Cloud) -> None:
    attention = photographer.attention(photographer.sampled(cloud), cameras_of(0))
    spread = spread_over_points(attention, attention.centers, 0, (1, 2))
    weights = attention.weights[0, 1, 2]
    np.testing.assert_allclose(spread, weights / weights.max(), atol=0.02)
    assert spread.argmax() == weights.argmax()


def test_views_and_cells_are_chosen_or_named(photographer: Photographer, cloud: Cloud) -> None:
    taken, cameras = photographer.sampled(cloud), cameras_of(*range(0, 360, 60), size=2 * SIZE)
    photos, attention = photographer.photograph(taken, cameras), photographer.attention(taken, cameras)
    shown = looked_views(attention, photos, taken, cameras)
    assert list(shown) == [0, 1, 3, 4]
    assert all(len(view.looks) == 3 and view.cells == 4 for view in shown.values())
    np.testing.assert_array_equal(shown[3].image, photos[3])
    assert np.abs(shown[0].pixels - SIZE / 2).max() < SIZE / 2  # pixels of the photo, not of the cameras
    named = looked_views(attention, photos, taken, cameras, [5, 2, 5], [(0, 3)])
    assert list(named) == [5, 2]
    (look,) = named[5].looks
    assert look.cell == (0, 3)
    assert look.share == pytest.approx(attention.weights[5, 0, 3].sum())
    for views, cells, message in (
        ([6], [], "--view 6: there are the views 0 to 5"),
        ([], [(4, 0)], "--cell 4,0: .* 0 to 3"),
    ):
        with pytest.raises(TapError, match=message):
            looked_views(attention, photos, taken, cameras, views, cells)
