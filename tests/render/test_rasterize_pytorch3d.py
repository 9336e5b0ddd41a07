"""Drawing in batches with pytorch3d: on its CPU build what any device must do, on a GPU the binned kernel too."""

import dataclasses
import functools
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from render.backends.draw_server import DrawServer
from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh
from render.rasterizers import load_batch_drawing
from render.rig import Viewpoint, mvcnn12

pytestmark = pytest.mark.pytorch3d


@pytest.fixture
def module() -> ModuleType:
    pytest.importorskip("pytorch3d")
    import render.backends.rasterize_pytorch3d

    return render.backends.rasterize_pytorch3d


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    return str(request.param)


def some_views(num_views: int, size: int, projection: str) -> Cameras:
    cameras = mvcnn12(Viewpoint(size, projection))  # type: ignore[arg-type]
    return dataclasses.replace(
        cameras,
        world_to_camera=cameras.world_to_camera[:num_views],
        intrinsics=cameras.intrinsics[:num_views],
    )


def mixture(shapes: list[Mesh]) -> list[tuple[Mesh, Cameras]]:
    """Requests of several sizes and both projections, in no order."""
    return [
        (shapes[0], some_views(3, 24, "perspective")),
        (shapes[4], some_views(1, 16, "parallel")),
        (shapes[1], some_views(2, 24, "parallel")),
        (shapes[2], some_views(2, 24, "perspective")),
        (Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64)), some_views(2, 24, "parallel")),
        (shapes[3], some_views(1, 24, "parallel")),
    ]


def assert_equal(ours: Fragments, theirs: Fragments) -> None:
    np.testing.assert_array_equal(ours.depth, theirs.depth)
    # Of faces at one depth the binned kernel may see any.
    assert (ours.face != theirs.face).mean() < 1e-3
    np.testing.assert_array_equal(ours.face < 0, theirs.face < 0)


def test_a_batch_gives_what_each_mesh_gives_alone(module: ModuleType, device: str, shapes: list[Mesh]) -> None:
    requests = mixture(shapes)
    together = module.draw_batch(requests, device)
    for request, ours in zip(requests, together, strict=True):
        assert_equal(ours, module.draw_batch([request], device)[0])
        truth = rasterize_cpu(*request)
        assert ((truth.face >= 0) != (ours.face >= 0)).mean() < 1e-3
        both = (truth.face >= 0) & (ours.face >= 0)
        assert (np.abs(truth.depth[both] - ours.depth[both]) > 1e-4).sum() <= 2e-3 * max(both.sum(), 1)
    assert module.draw_batch([], device) == []


def test_views_drawn_in_several_calls_come_together(
    module: ModuleType, shapes: list[Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = mixture(shapes)
    whole = module.draw_batch(requests, "cpu")
    for budget in (1, 300_000):
        monkeypatch.setattr(module, "_CPU_BUDGET", budget)
        for ours, theirs in zip(module.draw_batch(requests, "cpu"), whole, strict=True):
            np.testing.assert_array_equal(ours.face, theirs.face)
            np.testing.assert_array_equal(ours.depth, theirs.depth)


def test_a_call_that_lacks_memory_is_made_again_in_parts(
    module: ModuleType, shapes: list[Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device with room for two views at a time, then for none."""
    import torch

    requests, original = mixture(shapes), module.rasterize_meshes
    whole = module.draw_batch(requests, "cpu")
    room = 2

    def limited(packed: Any, **settings: Any) -> Any:
        if len(packed.num_faces_per_mesh()) > room:
            raise torch.OutOfMemoryError
        return original(packed, **settings)

    monkeypatch.setattr(module, "rasterize_meshes", limited)
    for ours, theirs in zip(module.draw_batch(requests, "cpu"), whole, strict=True):
        np.testing.assert_array_equal(ours.face, theirs.face)
        np.testing.assert_array_equal(ours.depth, theirs.depth)
    room = 0
    with pytest.raises(RenderError, match=r"one view of [0-9,]+ faces, [0-9]+ px, does not fit into the memory"):
        module.draw_batch(requests, "cpu")


def test_what_only_the_cpu_rasterizer_clips_is_refused(module: ModuleType) -> None:
    cameras = some_views(1, 16, "perspective")
    around = np.array([[-9.0, -9, 0], [9, -9, 0], [0, 9, 0]])
    with pytest.raises(RenderError, match="lies behind a camera; use --backend cpu, which clips"):
        module.rasterize_pytorch3d(Mesh(around, np.array([[0, 1, 2]])), cameras)
    with pytest.raises(RenderError, match="lies behind a camera"):
        module.rasterize_pytorch3d(Mesh(around * 0.3, np.array([[0, 1, 2]])), some_views(1, 16, "parallel"))
    wide = np.array([[0.0, 0, -1e5], [0.0, 1, 1e5], [0, -1, 1e5]])
    level = dataclasses.replace(some_views(1, 16, "parallel"))
    level.world_to_camera[0] = [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 4], [0, 0, 0, 1]]
    with pytest.raises(RenderError, match=r"lands 7\d{5} pixels off the image, beyond the 100000"):
        module.rasterize_pytorch3d(Mesh(wide, np.array([[0, 1, 2]])), level)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_size_of_the_world_does_not_matter(
    module: ModuleType, device: str, shapes: list[Mesh], projection: str, scale: float
) -> None:
    """The kernel takes whatever is nearer than 1e-8 to lie behind the camera; a tiny world must not vanish in that."""
    cameras = some_views(2, 32, projection)
    poses, intrinsics = cameras.world_to_camera.astype(np.float64), cameras.intrinsics.astype(np.float64)
    poses[:, :3, 3] *= scale
    if projection == "parallel":
        intrinsics[:, [0, 1], [0, 1]] /= scale
    scaled = Cameras(poses, intrinsics, cameras.projection, cameras.image_size)
    (ours,) = module.draw_batch([(Mesh(shapes[0].vertices * scale, shapes[0].faces), scaled)], device)
    (usual,) = module.draw_batch([(shapes[0], cameras)], device)
    assert ((ours.face >= 0) != (usual.face >= 0)).mean() < 1e-3
    both = (ours.face >= 0) & (usual.face >= 0)
    assert both.mean() > 0.05
    assert (np.abs(ours.depth[both] / scale - usual.depth[both]) < 1e-4).mean() > 0.999


def test_slivers_do_not_come_forward(module: ModuleType) -> None:
    """The kernel's weights of a sliver sum to less than 1; its depth must not shrink with them, before what lies in front.

    The sliver, at depth 2, is 2e-8 of the image's area; a plane at 1.9 hides it.
    """
    size = 64
    plane = [[-9, -9, 1.9], [200, -9, 1.9], [-9, 200, 1.9]]
    sliver = [[2.0, 32.5, 2], [62.0, 32.5, 2], [62.0, 32.5 + 6e-7 * 32, 2]]
    intrinsics = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]], np.float32)
    cameras = Cameras(np.eye(4, dtype=np.float32)[None], intrinsics, "parallel", size)
    mesh = Mesh(np.array([sliver, plane], np.float64).reshape(-1, 3), np.arange(6).reshape(2, 3))
    fragments = module.rasterize_pytorch3d(mesh, cameras)
    assert (fragments.face == 1).all()
    np.testing.assert_allclose(fragments.depth, 1.9, rtol=1e-6)
    alone = module.rasterize_pytorch3d(Mesh(mesh.vertices, mesh.faces[:1]), cameras)
    assert (alone.face == 0).any()
    np.testing.assert_allclose(alone.depth[alone.face == 0], 2, rtol=1e-6)


@pytest.fixture
def cuda(module: ModuleType) -> ModuleType:
    """The module, where there is a GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    return module


@pytest.mark.gpu
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_bins_change_nothing_and_drop_no_face(
    cuda: ModuleType, shapes: list[Mesh], monkeypatch: pytest.MonkeyPatch, projection: str
) -> None:
    """Binned and naive alike, for shapes, and for 20,000 faces that all fall into one bin."""
    from render.backends import batch_plan

    generator = np.random.default_rng(0)
    crowd = generator.uniform(-0.02, 0.02, (20_000, 1, 3)) + generator.normal(0, 0.002, (20_000, 3, 3)) + 0.3
    meshes = [*shapes, Mesh(crowd.reshape(-1, 3), np.arange(60_000).reshape(-1, 3))]
    requests = [(mesh, some_views(12, 224, projection)) for mesh in meshes]
    monkeypatch.setattr(batch_plan, "BINNED_FACES", 1)
    binned = cuda.draw_batch(requests, "cuda")
    monkeypatch.setattr(batch_plan, "BINNED_FACES", 10**9)
    for ours, theirs in zip(binned, cuda.draw_batch(requests, "cuda"), strict=True):
        assert_equal(ours, theirs)


@pytest.mark.gpu
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_gpu_agrees_with_cpu_at_full_size(cuda: ModuleType, shapes: list[Mesh], projection: str) -> None:
    requests = [(mesh, some_views(12, 224, projection)) for mesh in shapes]
    pixels = covered_differs = both_hit = depth_differs = 0
    for ours, request in zip(cuda.draw_batch(requests, "cuda"), requests, strict=True):
        truth = rasterize_cpu(*request)
        both = (truth.face >= 0) & (ours.face >= 0)
        pixels += truth.face.size
        covered_differs += int(((truth.face >= 0) != (ours.face >= 0)).sum())
        both_hit += int(both.sum())
        depth_differs += int((np.abs(truth.depth[both] - ours.depth[both]) > 1e-4).sum())
    assert covered_differs <= 1e-3 * pixels
    assert depth_differs <= 1e-3 * both_hit


def test_the_draw_server_draws_with_it(module: ModuleType, shapes: list[Mesh]) -> None:
    requests = mixture(shapes)[:2]
    with DrawServer(functools.partial(load_batch_drawing, "pytorch3d")) as server:
        for request in requests:
            assert_equal(server.rasterizer(*request), module.rasterize_pytorch3d(*request))
    assert server.statistics.num_meshes == 2
