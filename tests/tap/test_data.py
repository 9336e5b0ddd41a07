import functools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from render.camera import project
from shards.errors import ShardError
from shards.reader import ShardReader
from shards.stores.store import open_store
from shards.stream import Address
from tap.errors import TapError
from tap.loading.augment import AugmentConfig
from tap.loading.collate import Batch, collate, shrink_factor
from tap.loading.data import DataConfig, SampleData, open_reader
from tap.loading.sampling import EVALUATION, EpochBatches, evaluation_batches, make_loader, plain_errors
from tap.loading.skipped import NUM_TOLD, Skipped
from tests.shards.damage import flip_bit

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
    colour = tuple(np.concatenate([np.repeat(image[..., :1], 3, -1), image[..., 1:]], axis=-1) for image in item.images)
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
    with pytest.raises(TapError, match="and short hold 4 views of 32 px and 3 views of 32 px"):
        collate([item, shorter])


@pytest.fixture
def damaged(shards: Path, tmp_path: Path) -> Path:
    """The set with one bit flipped in the points of its training samples 3 and 10."""
    folder = Path(shutil.copytree(shards, tmp_path / "damaged"))
    for index in (3, 10):
        flip_bit(folder, "train", index)
    return folder


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_sample_is_left_out_and_told(
    num_workers: int, damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = ShardReader(damaged, "train")
    keys = [reader.key(index) for index in (3, 10)]
    data = SampleData(reader, CONFIG.model_copy(update={"on_error": "skip"}), seed=3)
    loader = make_loader(data, evaluation_batches(range(len(reader)), 4), collate, num_workers)
    for _ in range(2):
        batches = list(loader)
        for batch in batches:
            data.skipped.note(batch.problems)
        valid = [index for batch in batches for index in batch.index[batch.valid].tolist()]
        assert valid == [index for index in range(15) if index not in (3, 10)]
        assert [len(batch.index) for batch in batches] == [4, 4, 4, 4]
        assert batches[0].index.tolist() == [0, 1, 2, 0]  # the next one, counted around
        assert not batches[0].valid[3]
        assert torch.equal(batches[0].points[3], batches[0].points[0])
    assert data.skipped.count == 4
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]  # once each
    assert all(key in record.message for key, record in zip(keys, caplog.records, strict=True))


def test_a_damaged_sample_raises_by_default(damaged: Path) -> None:
    data = SampleData(ShardReader(damaged, "train"), CONFIG, seed=3)
    for num_workers in (0, 1):
        loader = make_loader(data, evaluation_batches(range(15), 4), collate, num_workers)
        with (
            pytest.raises(ShardError, match=r"^\S+train-\d+.tar: \w+.points.npy is not as it was written"),
            plain_errors(),
        ):
            list(loader)


def test_what_the_config_asks_for_too_much_is_never_skipped(damaged: Path) -> None:
    config = DataConfig(num_points=500, num_views=1, on_error="skip")
    data = SampleData(ShardReader(damaged, "train"), config, 0)
    with pytest.raises(TapError, match="stores 256 points"):
        data.__getitems__([Address(0, 3), Address(0, 4)])


def test_readable_samples_are_given_one_by_one(damaged: Path) -> None:
    reader = ShardReader(damaged, "train")
    skipping = SampleData(reader, CONFIG.model_copy(update={"on_error": "skip"}), 0)
    assert [item.index for item in skipping.readable([3, 4, 10, 5])] == [4, 5]
    assert skipping.skipped.count == 2
    assert skipping.num_views(range(15)) == {4}
    with pytest.raises(ShardError, match=r"not one of the samples can be read; the last: .*points\.npy"):
        list(skipping.readable([3, 10]))
    with pytest.raises(ShardError, match="is not as it was written"):
        list(SampleData(reader, CONFIG, 0).readable([3, 4]))


def test_evaluation_goes_on_where_whole_batches_are_damaged(damaged: Path) -> None:
    for index in (4, 5, 6, 7):
        flip_bit(damaged, "train", index)
    reader = ShardReader(damaged, "train")
    data = SampleData(reader, CONFIG.model_copy(update={"on_error": "skip"}), 0)
    batches = list(make_loader(data, evaluation_batches(range(15), 4), collate, 0))
    valid = [index for batch in batches for index in batch.index[batch.valid].tolist()]
    assert valid == [0, 1, 2, 8, 9, 11, 12, 13, 14]
    assert [len(batch.problems) for batch in batches] == [1, 4, 1, 0]
    assert [len(batch.index) for batch in batches] == [4, 4, 4, 4]
    with pytest.raises(ShardError, match="not one of the 4 samples of a batch"):  # training has no such order
        data.__getitems__([Address(0, index) for index in (4, 5, 6, 7)])


def test_only_the_first_few_damaged_samples_are_named(caplog: pytest.LogCaptureFixture) -> None:
    skipped = Skipped()
    for _ in range(3):
        skipped.note([f"sample {number}" for number in range(NUM_TOLD + 3)])
    assert skipped.count == 3 * (NUM_TOLD + 3)
    assert skipped.messages == [f"sample {number}" for number in range(NUM_TOLD)]
    assert len(caplog.records) == NUM_TOLD + 1
    assert "further ones are left out without a word" in caplog.records[-1].message


def test_a_set_behind_a_url_streams_as_the_local_one(
    shards: Path, tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"{s3_url}/set")
    for file in shards.iterdir():
        store.put(file.name, file.read_bytes())
    asked: list[list[int]] = []
    prefetch = ShardReader.prefetch

    def noted(self: ShardReader, numbers: Sequence[int]) -> None:
        asked.append(list(numbers))
        prefetch(self, numbers)

    monkeypatch.setattr(ShardReader, "prefetch", noted)
    config = CONFIG.model_copy(update={"cache": str(tmp_path / "cache"), "cache_gb": 0.1})
    readers = [open_reader(location, "train", config) for location in (store.location, shards)]
    streams = []
    for reader, num_workers in zip(readers, (1, 0), strict=True):
        data = SampleData(reader, config, seed=3)
        order = functools.partial(reader.order, 3, shards_in_group=2)
        batches = EpochBatches(order, len(reader), 4, drop_last=False, reader=reader)
        streams.append(list(make_loader(data, batches, collate, num_workers)))
    for one, other in zip(*streams, strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.index, other.index)
    assert [len(group) for group in asked] == [2, 2]  # of four shards, in groups of two, of the remote set alone
    assert sorted(number for group in asked for number in group) == [0, 1, 2, 3]
    deadline = time.monotonic() + 30  # the copies may still be on their way
    while len(list((tmp_path / "cache").glob("*.tar"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list((tmp_path / "cache").glob("*.tar"))) == 4
    assert open_reader(store.location, "train", CONFIG.model_copy(update={"cache_gb": 0.0})).key(0) == readers[1].key(0)


def test_normals_come_beside_the_points_and_turn_with_them(shards: Path) -> None:
    reader = ShardReader(shards, "train")
    config, turn = CONFIG.model_copy(update={"normals": True}), AugmentConfig(rotate_z=180.0)
    plain, turned = (SampleData(reader, config, 3, augmentation=moved)[Address(0, 0)] for moved in (None, turn))
    assert plain.normals is not None
    assert turned.normals is not None
    assert np.allclose(np.linalg.norm(plain.normals, axis=1), 1, atol=1e-3)
    assert not np.allclose(plain.normals, turned.normals)
    # A turn keeps the angle between a point and its normal, and both their heights.
    assert np.allclose((plain.normals * plain.points).sum(1), (turned.normals * turned.points).sum(1), atol=1e-5)
    assert np.allclose(plain.normals[:, 2], turned.normals[:, 2], atol=1e-6)
    features = collate([plain, turned]).point_batch().features
    assert features is not None
    assert np.array_equal(features.numpy()[1], turned.normals)
    assert collate([SampleData(reader, CONFIG, 3)[Address(0, 0)]]).point_batch().features is None
