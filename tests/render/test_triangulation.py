"""Polygons are split without gaps or overlaps, convex or not, however they lie and whatever their size."""

import numpy as np
import numpy.typing as npt
import pytest

from render.reading.triangulation import triangulate


def area_vectors(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(F, 3) half cross products of (F, 3, 3) triangles."""
    crosses: npt.NDArray[np.float64] = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    return crosses


def star(num_points: int, inner: float) -> npt.NDArray[np.float64]:
    angle = np.arange(2 * num_points) * np.pi / num_points
    radius = np.where(np.arange(2 * num_points) % 2, inner, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros_like(angle)], axis=1)


SPIRAL = np.array(
    [[0, 0], [6, 0], [6, 6], [1, 6], [1, 2], [4, 2], [4, 4], [3, 4], [3, 3], [2, 3], [2, 5], [5, 5], [5, 1], [0, 1]]
)
SHAPES = {
    "square": np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]),
    "arrow": np.array([[0, 0, 0], [2, 1, 0], [0, 2, 0], [1, 1, 0.0]]),
    "star": star(5, 0.3),
    "gear": star(200, 0.9),
    "comb": np.array([[x, 5.0 * (x % 2), 0] for x in range(20)] + [[19, -1, 0], [0, -1, 0]]),
    "spiral": np.column_stack([SPIRAL, np.zeros(len(SPIRAL))]),
    "straight corners": np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 2, 0], [1, 1, 0], [0, 2, 0.0]]),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_the_triangles_cover_the_polygon_once(shape: npt.NDArray[np.float64], turned: bool, size: float) -> None:
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    polygon = shape[::-1] if turned else shape
    vertices = np.ascontiguousarray(size * (polygon @ rotation.T))
    triangles, owner = triangulate(vertices, np.arange(len(vertices)), np.array([len(vertices)]))
    assert owner.tolist() == [0] * (len(vertices) - 2)
    areas = area_vectors(vertices[triangles])
    whole = np.cross(vertices, np.roll(vertices, -1, axis=0)).sum(axis=0) / 2
    # Winding is kept, and areas of one sign that add up to the polygon's leave no room for gaps or overlaps.
    along = areas @ (whole / np.linalg.norm(whole))
    assert along.min() >= -1e-12 * size**2
    assert along.sum() == pytest.approx(np.linalg.norm(whole), rel=1e-9)


def test_a_convex_polygon_is_a_fan_from_its_first_corner() -> None:
    vertices = star(3, 1.0)  # a hexagon
    triangles, _ = triangulate(vertices, np.arange(6), np.array([6]))
    assert triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]


def test_polygons_keep_their_order_and_those_without_surface_are_not_numbered() -> None:
    vertices = SHAPES["square"]
    corners = np.array([0, 1, 2, 0, 1, 0, 1, 2, 3, 3, 1, 2, 3])
    triangles, owner = triangulate(vertices, corners, np.array([3, 2, 4, 1, 3]))
    assert corners[triangles].tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [1, 2, 3]]
    assert owner.tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_what_has_no_right_answer_still_ends(bad: float) -> None:
    vertices = np.concatenate([star(50, 0.2), np.random.default_rng(0).normal(size=(200, 3))])
    vertices[7] = bad
    triangles, _ = triangulate(vertices, np.arange(300), np.array([300]))
    assert triangles.shape == (298, 3)
    assert triangles.min() == 0
    assert triangles.max() == 299
