from pathlib import Path

import numpy as np
import pytest
import torch

from render.camera import project
from shards.reader import ShardReader
from tap.augment import AugmentConfig
from tap.collate import Batch, collate, shrink_factor
from tap.data import DataConfig, SampleData
from tap.errors import TapError
from tap.sampling import EVALUATION, Address, EpochBatches, make_loader

CONFIG = DataConfig(num_points=100, num_views=2)
AUGMENT = AugmentConfig(scale=(0.9, 1.1), rotate_z=180.0)


def stream(shards: Path, num_workers: int) -> list[Batch]:
    reader = ShardReader(shards, "train")
    data = SampleData(reader, CONFIG, seed=3, augmentation=AUGMENT)
    batches = EpochBatches(lambda epoch: reader.order(3, epoch), len(reader), 4)
    loader = make_loader(data, batches, collate, num_workers)
    result = []
    for epoch in range(2):
        batches.set_position(epoch)
        result += list(loader)
    return result


def test_the_stream_does_not_depend_on_workers(shards: Path) -> None:
    streams = [stream(shards, num_workers) for num_workers in (0, 2)]
    assert len(streams[0]) == 6
    for one, other in zip(*streams, strict=True):
        for name in ("points", "world_to_camera", "intrinsics", "images", "labels", "index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_epochs_draw_anew_and_evaluation_is_fixed(shards: Path) -> None:
    data = SampleData(ShardReader(shards, "train"), CONFIG, seed=3, augmentation=AUGMENT)
    first, second = data[Address(0, 1)], data[Address(1, 1)]
    assert not np.array_equal(first.points, second.points)
    fixed = data[Address(EVALUATION, 1)]
    stored = {tuple(point) for point in data.reader.read(1).arrays["points"][:, :3]}
    assert {tuple(point) for point in fixed.points} <= stored
    assert len({tuple(point) for point in fixed.points}) == 100
    assert np.array_equal(fixed.points, data[Address(EVALUATION, 1)].points)


def test_augmented_points_fall_on_the_stored_silhouette(shards: Path) -> None:
    data = SampleData(ShardReader(shards, "train"), CONFIG, seed=3, augmentation=AUGMENT)
    for index in range(3):
        batch = collate([data[Address(5, index)]])
        views = batch.view_batch(32)
        assert views.mask is not None
        pixels, _ = project(
            batch.points[:, None], views.world_to_camera, views.intrinsics, batch.parallel[:, None, None]
        )
        u, v = (pixels[0, :, :, axis].floor().long().clamp(0, 31) for axis in (0, 1))
        assert all(views.mask[0, view, v[view], u[view]].float().mean() > 0.99 for view in range(2))


def test_views_none_reads_no_picture_and_labels_follow_the_manifest(shards: Path) -> None:
    reader = ShardReader(shards, "train")
    batch = collate([SampleData(reader, CONFIG, 0, "none")[Address(0, index)] for index in range(len(reader))])
    assert batch.images is None
    names = [reader.classes[label] for label in batch.labels.tolist()]
    assert names == [reader.meta(index)["category"] for index in range(len(reader))]
    with pytest.raises(TapError, match="without views"):
        batch.view_batch(32)


def test_shrinking_averages_colour_and_keeps_any_foreground(shards: Path) -> None:
    item = SampleData(ShardReader(shards, "train"), CONFIG, 0, "all")[Address(EVALUATION, 0)]
    full, half = (collate([item]).view_batch(size) for size in (32, 16))
    assert full.images is not None
    assert half.images is not None
    assert full.mask is not None
    assert half.mask is not None
    blocks = full.images[0, :, :, :2, :2].mean(dim=(-1, -2))
    torch.testing.assert_close(half.images[0, :, :, 0, 0], blocks)
    corners = full.mask[0].reshape(4, 16, 2, 16, 2).any(dim=-1).any(dim=2)
    assert torch.equal(half.mask[0], corners)
    torch.testing.assert_close(half.intrinsics[..., :2, :], full.intrinsics[..., :2, :] / 2)
    assert torch.equal(half.intrinsics[..., 2, :], full.intrinsics[..., 2, :])
    assert (half.images[half.mask[:, :, None].expand_as(half.images).logical_not()] == 1).all()


def test_colour_and_grey_share_a_batch(shards: Path) -> None:
    item = SampleData(ShardReader(shards, "train"), CONFIG, 0, "all")[Address(EVALUATION, 0)]
    assert item.images is not None
    colour = np.concatenate([np.repeat(item.images[..., :1], 3, -1), item.images[..., 1:]], axis=-1)
    mixed = collate([item, type(item)(**{**item.__dict__, "images": colour})]).view_batch(32)
    assert mixed.images is not None
    assert torch.equal(mixed.images[0], mixed.images[1])


def test_what_does_not_fit_is_named(shards: Path) -> None:
    reader = ShardReader(shards, "train")
    with pytest.raises(TapError, match=r"stores 256 points, data\.num_points asks for 500"):
        SampleData(reader, DataConfig(num_points=500, num_views=1), 0)[Address(0, 0)]
    with pytest.raises(TapError, match=r"stores 4 views, data\.num_views asks for 5"):
        SampleData(reader, DataConfig(num_points=5, num_views=5), 0)[Address(0, 0)]
    with pytest.raises(TapError, match="stored views are 32 px, the model draws 24 px"):
        shrink_factor(32, 24)
    item = SampleData(reader, CONFIG, 0, "all")[Address(0, 0)]
    assert item.images is not None
    shorter = type(item)(**{**item.__dict__, "images": item.images[:3], "key": "short"})
    with pytest.raises(TapError, match="and short hold 4 views of 32 px and 3 of 32 px"):
        collate([item, shorter])
