import dataclasses

import numpy as np
import pytest

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, Projection, look_at
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh
from render.rig import Viewpoint, mvcnn12
from render.shading.barycentrics import barycentrics, oversampling


def frontal(projection: Projection) -> Cameras:
    """A camera at the origin that looks along +z; 4 pixels a side, the axis through the image's upper left corner."""
    return Cameras(np.eye(4, dtype=np.float32)[None], np.eye(3, dtype=np.float32)[None], projection, 4)


def test_parallel_weights_by_hand() -> None:
    mesh = Mesh(np.array([[0, 0, 1], [4, 0, 1], [0, 4, 3.0]]), np.array([[0, 1, 2]]))
    cameras = frontal("parallel")
    weights = barycentrics(mesh, cameras, rasterize_cpu(mesh, cameras))
    assert weights.shape == (1, 4, 4, 3)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights[0, 1, 0], [1 - 0.125 - 0.375, 0.125, 0.375], atol=1e-7)
    assert (weights[0, 3, 3] == 0).all()


def test_perspective_weights_are_those_of_space_not_of_the_picture() -> None:
    # An edge from depth 1 to depth 3, seen at u = 1 and u = 4: half way in the picture is nearer to the far end in space.
    mesh = Mesh(np.array([[0, 0, 1], [12, 0, 3], [0, 12, 3.0]]), np.array([[0, 1, 2]]))
    cameras = frontal("perspective")
    weights = barycentrics(mesh, cameras, rasterize_cpu(mesh, cameras))[0, 0, 1].astype(np.float64)
    point = weights @ mesh.vertices  # on the line of sight through (1.5, 0.5)
    np.testing.assert_allclose(point[:2] / point[2], [1.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
    assert weights[0] > 1 - 2 / 4 + 0.1  # 1 - (u + v) / 4 if it were affine in the picture


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_weights_meet_the_line_of_sight_and_the_depth(shapes: list[Mesh], projection: Projection) -> None:
    cameras = mvcnn12(Viewpoint(48, projection))
    for mesh in shapes:
        fragments = rasterize_cpu(mesh, cameras)
        weights = barycentrics(mesh, cameras, fragments).astype(np.float64)
        covered = fragments.face >= 0
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(axis=-1), covered, atol=1e-6)
        view, row, column = np.nonzero(covered)
        corners = mesh.vertices[mesh.faces[fragments.face[covered]]]
        points = (weights[covered][:, :, None] * corners).sum(axis=1)
        pose = cameras.world_to_camera[view].astype(np.float64)
        seen = np.einsum("pij,pj->pi", pose[:, :3, :3], points) + pose[:, :3, 3]
        scale = 1.0 if projection == "parallel" else 1.0 / seen[:, 2:]
        pixels = seen[:, :2] * scale * cameras.intrinsics[view][:, [0, 1], [0, 1]] + cameras.intrinsics[view][:, :2, 2]
        off = np.abs(pixels - np.stack([column + 0.5, row + 0.5], axis=1)).max(axis=1)
        # Corners are snapped, so a centre may lie a hair outside its face, where the weights are clamped.
        assert (off < 1e-3).mean() > 0.999
        flat_on = off < 1e-3
        np.testing.assert_allclose(seen[flat_on, 2], fragments.depth[covered][flat_on], atol=2e-2)
        assert np.median(np.abs(seen[:, 2] - fragments.depth[covered])) < 1e-5


def test_a_face_seen_edge_on_has_finite_weights() -> None:
    pose = look_at(np.array([0.0, -3, 0]), np.zeros(3))
    cameras = Cameras(
        pose[None].astype(np.float32), np.array([[[8, 0, 4], [0, 8, 4], [0, 0, 1]]], np.float32), "parallel", 8
    )
    mesh = Mesh(np.array([[0, -1, 0], [0, 1, 0], [0, 0, 0.0]]), np.array([[0, 1, 2]]))
    face = np.zeros((1, 8, 8), np.int32)  # as if another rasterizer had drawn it
    weights = barycentrics(mesh, cameras, Fragments(face, np.ones((1, 8, 8), np.float32)))
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)


def test_fragments_must_fit_the_cameras() -> None:
    cameras = frontal("parallel")

    def fragments(*shape: int) -> Fragments:
        return Fragments(np.zeros(shape, np.int32), np.ones(shape, np.float32))

    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    assert oversampling(cameras, fragments(1, 12, 12)) == 3
    with pytest.raises(RenderError, match="give the cameras"):
        barycentrics(mesh, cameras, fragments(1, 12, 12))
    for shape in ((2, 4, 4), (1, 8, 8), (1, 4, 5), (1, 6, 6), (1, 2, 2)):
        with pytest.raises(RenderError, match="an odd number"):
            oversampling(cameras, fragments(*shape))
    fine = dataclasses.replace(cameras, image_size=12)
    assert barycentrics(mesh, fine, fragments(1, 12, 12)).shape == (1, 12, 12, 3)
