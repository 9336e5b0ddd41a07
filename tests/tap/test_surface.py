from pathlib import Path

import numpy as np
import pytest
import torch

from render.camera import Cameras
from shards.errors import ShardError
from shards.plan import Source
from shards.reader import ShardReader
from shards.schema import Sample
from shards.stream import Address
from tap.batch import ViewBatch
from tap.errors import TapError
from tap.loading.augment import AugmentConfig
from tap.loading.collate import Batch, collate
from tap.loading.data import DataConfig, SampleData
from tap.loading.sampling import EVALUATION, evaluation_batches, make_loader
from tap.loading.surface import SurfaceBatch, read_surface
from tests.tap import spheres

TARGETS = ("depth", "normal", "mask")
KINDS = ("depth", "normal")
CONFIG = DataConfig(num_points=32, num_views=2)
WILD = AugmentConfig(rotate_z=180.0, scale=(0.5, 1.5))


@pytest.fixture(scope="module", params=["parallel", "perspective"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ShardReader:
    folder = tmp_path_factory.mktemp("spheres") / request.param
    return ShardReader(spheres.write_spheres(folder, {"train": 3}, projection=request.param), "train")


@pytest.fixture
def sample() -> Sample:
    return spheres.make_sample(Source("7", "ball/train/7", "ball", "train", "ball_7"))


def views_of(reader: ShardReader, epoch: int, size: int = spheres.IMAGE_SIZE) -> tuple[Batch, ViewBatch]:
    data = SampleData(reader, CONFIG, 0, "all", WILD, images=KINDS)
    batch = collate([data[Address(epoch, index)] for index in range(len(reader))])
    return batch, batch.view_batch(size, TARGETS)


def drawn(views: ViewBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth (B, V, H, W), unit normals (B, V, 3, H, W) and the mask of views of `TARGETS`."""
    assert views.images is not None
    assert views.mask is not None
    return views.images[:, :, 0], views.images[:, :, 1:4] * 2 - 1, views.mask


def test_depth_and_normals_are_those_of_the_surface_in_the_cameras_frame(reader: ShardReader) -> None:
    views = views_of(reader, EVALUATION)[1]
    depth, normal, mask = drawn(views)
    assert views.images is not None
    assert torch.equal(views.images[:, :, 4] > 0, mask)
    for index in range(len(reader)):
        made = reader.read(index, kinds=("view",))
        number = int(made.meta["source"].rsplit("/", 1)[1])
        cameras = Cameras(
            made.arrays["world_to_camera"], made.arrays["intrinsics"], made.meta["projection"], spheres.IMAGE_SIZE
        )
        for view in range(spheres.NUM_VIEWS):
            z, normals = spheres.seen(cameras, view, *spheres.sphere(5000 + number))
            inside = np.isfinite(z)
            distance = np.linalg.norm(np.linalg.inv(made.arrays["world_to_camera"][view])[:3, 3])
            expected = 0.5 + (z[inside] - distance) / 2  # the camera looks at the origin, so that is z0
            np.testing.assert_array_equal(mask[index, view].numpy(), inside)
            np.testing.assert_allclose(depth[index, view].numpy()[inside], expected, atol=2e-5)
            np.testing.assert_allclose(
                normal[index, view].permute(1, 2, 0).numpy()[inside], normals[inside], atol=0.75 / 127.5
            )
    outside = ~mask
    assert (depth[outside] == 1).all()
    assert (normal.movedim(2, -1)[outside] == 0).all()


def test_augmentation_changes_neither_and_both_fit_the_moved_cameras(reader: ShardReader) -> None:
    depth, normal, mask = drawn(views_of(reader, EVALUATION)[1])
    batch, moved = views_of(reader, 4)
    for before, after in zip((depth, normal, mask), drawn(moved), strict=True):
        assert torch.equal(before, after)
    poses = moved.world_to_camera.double()
    still = views_of(reader, EVALUATION)[1].world_to_camera.double()
    scale = poses[:, :, 2, 3] / still[:, :, 2, 3]  # (B, V)
    assert (scale - 1).abs().max() > 0.05
    for index in range(len(reader)):
        points = batch.points[index].double()
        center, radius = spheres.sphere(5000 + int(reader.meta(index)["source"].rsplit("/", 1)[1]))
        turn = poses[index, 0, :3, :3].T @ still[index, 0, :3, :3]
        middle = scale[index, 0] * turn @ torch.from_numpy(center)
        assert (points - middle).norm(dim=1).numpy() == pytest.approx(scale[index, 0].item() * radius, rel=1e-4)
        for view in range(spheres.NUM_VIEWS):
            pose, inside, factor = poses[index, view], mask[index, view], scale[index, view]
            z = pose[2, 3] + factor * (2 * depth[index, view][inside].double() - 1)
            on_axis = (z - (pose[:3, :3] @ middle + pose[:3, 3])[2]) / (
                factor * radius
            )  # the normal's z, were it exact
            torch.testing.assert_close(on_axis, normal[index, view, 2][inside].double(), atol=8e-3, rtol=0)


def test_shrinking_takes_the_mean_of_what_is_covered() -> None:
    values = torch.zeros(1, 1, 2, 6, dtype=torch.int16)
    values[0, 0, 0, :2] = torch.tensor([1, 3])  # 0 and .2
    values[0, 0, 1, 4] = torch.tensor(65535).to(torch.int16)  # the largest, which is negative as int16
    normals = torch.zeros(1, 1, 2, 6, 3, dtype=torch.uint8)
    normals[0, 0, 0, 0], normals[0, 0, 0, 1] = torch.tensor([255, 128, 128]), torch.tensor([128, 255, 128])
    normals[0, 0, 1, 4] = torch.tensor([128, 128, 0])
    quarter_turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    surface = SurfaceBatch(values, normals, torch.tensor([0.0, 0.1]).reshape(1, 1, 2), quarter_turn[None, None])
    found = surface.targets((normals[0] > 0).any(dim=-1)[:, None], 2)
    torch.testing.assert_close(found["depth"][0, 0, 0], torch.tensor([0.1, 1.0, 1.0]))  # empty; clamped from 6553.4
    directions = found["normal"][0, :, 0].T * 2 - 1
    half = 0.5**0.5
    torch.testing.assert_close(
        directions, torch.tensor([[-half, half, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]), atol=0.01, rtol=0
    )
    opposite = SurfaceBatch(None, torch.tensor([0, 255]).byte().reshape(1, 1, 1, 2, 1).expand(1, 1, 2, 2, 3),
                            torch.zeros(1, 1, 2), quarter_turn[None, None])  # fmt: skip
    assert opposite.targets(torch.ones(1, 1, 2, 2, dtype=torch.bool), 2)["normal"].tolist() == [[[[0.5]]] * 3]


def test_a_loaders_process_brings_the_same(reader: ShardReader) -> None:
    data = SampleData(reader, CONFIG, 0, "some", WILD, images=KINDS)
    plans = [evaluation_batches(range(3), 2) for _ in range(2)]
    streams = [list(make_loader(data, plan, collate, workers)) for plan, workers in zip(plans, (0, 1), strict=True)]
    for one, other in zip(*streams, strict=True):
        first, second = (batch.to("cpu").view_batch(16, TARGETS).images for batch in (one, other))
        assert first is not None
        assert second is not None
        assert torch.equal(first, second)
        assert first.shape == (2, 2, 5, 16, 16)


def test_images_that_were_not_rendered_or_not_read_are_named(tmp_path: Path) -> None:
    folder = spheres.write_spheres(tmp_path / "set", {"train": 2}, kinds=("depth",))
    reader = ShardReader(folder, "train")
    data = SampleData(reader, CONFIG.model_copy(update={"on_error": "skip"}), 0, images=KINDS)
    with pytest.raises(
        TapError, match=r"stores no normal images; render with --channels depth,normal, or leave normal"
    ):
        data[Address(0, 0)]
    batch = collate([SampleData(reader, CONFIG, 0, images=("depth",))[Address(0, 0)]])
    assert batch.view_batch(32, ("mask", "depth")).images is not None
    with pytest.raises(TapError, match="read without normal images"):
        batch.view_batch(32, TARGETS)
    assert SampleData(reader, CONFIG, 0, "none", images=KINDS)[Address(0, 0)].surface is None


def test_what_cannot_be_a_target_is_refused(sample: Sample) -> None:
    poses = sample.arrays["world_to_camera"]
    everything = range(spheres.NUM_VIEWS)
    assert read_surface(sample, everything, poses, ("normal",)).depth is None
    del sample.meta["depth"]["offset"]
    with pytest.raises(ShardError, match=r"ball_7: its JSON holds no depth\.offset"):
        read_surface(sample, everything, poses, KINDS)
    sample.meta["depth"] |= {"offset": 0.0, "scale": 1e-5}
    with pytest.raises(TapError, match=r"surface lies 2 before or behind .*--normalize sphere"):
        read_surface(sample, everything, poses, KINDS)
    sample.images["normal01"][0, 0] = 200
    with pytest.raises(ShardError, match="normal images cover other pixels than its views"):
        read_surface(sample, everything, poses, ("normal",))
