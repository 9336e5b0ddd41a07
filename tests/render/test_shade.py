import dataclasses

import numpy as np
import pytest

from render.camera import PROJECTIONS, Cameras, Projection
from render.fragments import Fragments
from render.mesh import Mesh
from render.rasterize_cpu import rasterize_cpu
from render.rendering import supersampled
from render.rig import Viewpoint, mvcnn12
from render.shade import ShadeConfig, face_greys, shade_flat


def camera_above() -> Cameras:
    """One parallel camera that looks down from (0, 0, 2), 4 pixels a unit."""
    pose = np.array([[[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]]], np.float32)
    return Cameras(pose, np.array([[[4, 0, 4], [0, 4, 4], [0, 0, 1]]], np.float32), "parallel", 8)


def test_greys_by_hand() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1.0]])
    faces = np.array([[0, 1, 2], [2, 1, 0], [0, 1, 3], [1, 4, 2], [0, 0, 1]])
    greys = face_greys(Mesh(vertices, faces), camera_above(), ShadeConfig())[0]
    # Seen face on, from behind, edge on, at 45 degrees, and no face at all.
    slanted = np.cross(vertices[4] - vertices[1], vertices[2] - vertices[1])
    cosine = abs(slanted[2]) / np.linalg.norm(slanted)
    np.testing.assert_array_equal(
        greys,
        [
            round((0.3 + 0.6) * 255),
            round((0.3 + 0.6) * 255),
            round(0.3 * 255),
            round((0.3 + 0.6 * cosine) * 255),
            round(0.3 * 255),
        ],
    )


def test_the_perspective_light_stands_at_the_camera() -> None:
    flat = Mesh(np.array([[3.0, 0, 0], [4, 0, 0], [3, 1, 0]]), np.array([[0, 1, 2]]))
    parallel, perspective = camera_above(), dataclasses.replace(camera_above(), projection="perspective")
    center = flat.vertices.mean(axis=0)
    cosine = 2 / np.linalg.norm(center - [0, 0, 2])
    assert face_greys(flat, parallel, ShadeConfig())[0, 0] == round((0.3 + 0.6) * 255)
    assert face_greys(flat, perspective, ShadeConfig())[0, 0] == round((0.3 + 0.6 * cosine) * 255)


def test_alpha_and_white_by_hand() -> None:
    face = np.array([[[0, -1], [-1, 1]]], np.int32)
    fragments = Fragments(face, np.zeros((1, 2, 2, 3), np.float32), np.zeros((1, 2, 2), np.float32))
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2], [0, 1, 2]]))
    cameras = dataclasses.replace(camera_above(), image_size=2)
    views = shade_flat(mesh, cameras, fragments, ShadeConfig(ambient=0.2, diffuse=0.2))
    np.testing.assert_array_equal(views[0], [[[102, 255], [255, 0]], [[255, 0], [102, 255]]])


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_antialiasing_softens_grey_and_leaves_alpha_alone(shapes: list[Mesh], projection: Projection) -> None:
    cameras, config = mvcnn12(Viewpoint(64, projection)), ShadeConfig()
    for mesh in shapes:
        plain = shade_flat(mesh, cameras, rasterize_cpu(mesh, cameras), config)
        soft = shade_flat(mesh, cameras, rasterize_cpu(mesh, supersampled(cameras)), config)
        differs = (plain[..., 1] != soft[..., 1]).mean()
        assert differs < 1e-4  # corners snap to a grid three times finer
        assert set(np.unique(soft[..., 1])) <= {0, 255}
        assert (soft[..., 0][soft[..., 1] == 0] == 255).all()
        assert (plain[..., 0] != soft[..., 0]).any()


def test_one_antialiased_pixel_by_hand() -> None:
    face = -np.ones((1, 3, 3), np.int32)
    face[0, :2] = 0  # six of nine samples, the middle among them
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]]))
    fragments = Fragments(face, np.zeros((1, 3, 3, 3), np.float32), np.zeros((1, 3, 3), np.float32))
    views = shade_flat(mesh, dataclasses.replace(camera_above(), image_size=1), fragments, ShadeConfig())
    assert views[0, 0, 0].tolist() == [round((6 * 229 + 3 * 255) / 9), 255]
