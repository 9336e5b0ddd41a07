"""The one frame of all clouds."""

import numpy as np
import pytest

from render.mesh import Mesh
from render.normalization import normalize
from tap.datasets.frame import to_our_frame
from tap.errors import TapError
from tests.tap.datasets.tiny_sets import shape

SQUARE = np.array([[1.0, 0, 0], [1, 0, 2], [3, 0, 0], [3, 0, 2]])


def test_a_square_by_hand() -> None:
    normals = np.array([[0.0, 2, 0], [0, 0, 0.5], [3, 0, 0], [0, 0, 0]])
    points, turned = to_our_frame(SQUARE, normals, "y")
    half = np.sqrt(0.5)  # the corners of a square about the origin, at distance 1
    np.testing.assert_allclose(
        points, [[-half, half, 0], [-half, -half, 0], [half, half, 0], [half, -half, 0]], atol=1e-7
    )
    np.testing.assert_array_equal(turned, [[0, 0, 1], [0, -1, 0], [1, 0, 0], [0, 0, 0]])
    assert turned is not None
    assert points.dtype == turned.dtype == np.float32
    points, none = to_our_frame(SQUARE, None, "z")
    np.testing.assert_allclose(
        points, [[-half, 0, -half], [-half, 0, half], [half, 0, -half], [half, 0, half]], atol=1e-7
    )
    assert none is None


@pytest.mark.parametrize("up", ["y", "z"])
def test_it_turns_as_the_renderer_does(up: str) -> None:
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(12, 3))
    faces = np.arange(12).reshape(4, 3)
    world = normalize(Mesh(vertices, faces), up).mesh.vertices  # type: ignore[arg-type]
    ours, _ = to_our_frame(vertices, None, up)  # type: ignore[arg-type]
    # same axes; centre and scale differ, since the renderer's are those of the surface
    ours_edges, world_edges = np.diff(ours, axis=0), np.diff(world, axis=0)
    ratio = np.linalg.norm(world_edges) / np.linalg.norm(ours_edges)
    np.testing.assert_allclose(ours_edges * ratio, world_edges, atol=1e-5)


def test_place_and_unit_do_not_matter() -> None:
    cloud = shape(3)[:, :3].astype(np.float64)
    points, _ = to_our_frame(cloud, None, "y")
    for moved in (cloud * 1e-6, cloud * 1e9, cloud + 1e4):
        np.testing.assert_allclose(to_our_frame(moved, None, "y")[0], points, atol=1e-5)


@pytest.mark.parametrize(
    ("points", "normals", "told"),
    [
        (np.ones((5, 3)), None, "all points are one"),
        (np.zeros((0, 3)), None, "no points"),
        (np.where(np.eye(3) > 0, np.nan, SQUARE[:3]), None, "3 of 3 points are not finite"),
        (SQUARE, np.full((4, 3), np.inf), "4 of 4 normals are not finite"),
    ],
)
def test_what_has_no_frame_is_an_error(points: np.ndarray, normals: np.ndarray | None, told: str) -> None:
    with pytest.raises(TapError, match=told):
        to_our_frame(points, normals, "z")
