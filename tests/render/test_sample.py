import numpy as np
import pytest
import trimesh

from render.appearance import Appearance, Material, Texture
from render.errors import RenderError
from render.mesh import Mesh
from render.normalization import face_areas
from render.randomness import generator_for
from render.sample import (
    SAMPLERS,
    SurfacePoints,
    point_colors,
    point_parts,
    points_with_normals,
    positions,
    sample_surface,
)


def areas_of(mesh: Mesh) -> np.ndarray:
    return face_areas(mesh.vertices, mesh.faces)


def box() -> Mesh:
    made = trimesh.creation.box((1, 1, 1))
    return Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int64))


def soup(num_faces: int) -> Mesh:
    """Triangles whose areas span four orders of magnitude."""
    generator = np.random.default_rng(3)
    corners = generator.normal(size=(num_faces, 3, 3)) * generator.uniform(0.01, 1, (num_faces, 1, 1))
    return Mesh(corners.reshape(-1, 3), np.arange(3 * num_faces, dtype=np.int64).reshape(-1, 3))


def square(appearance: Appearance | None = None, part: np.ndarray | None = None) -> Mesh:
    """The unit square in x and y, face 0 below its diagonal and face 1 above."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), appearance, part)


def places(mesh: Mesh, num_points: int, how: str = "area", areas: np.ndarray | None = None) -> SurfacePoints:
    if how == "poisson":
        pytest.importorskip("open3d")
    return SAMPLERS[how](mesh, areas_of(mesh) if areas is None else areas, num_points, generator_for(0, "k"))


@pytest.mark.parametrize("how", sorted(SAMPLERS))
def test_every_sampler_gives_places_on_the_surface_with_its_normals(how: str) -> None:
    mesh = box()
    drawn = places(mesh, 500, how)
    assert drawn.face.shape == (500,)
    assert drawn.face.dtype == np.int64
    assert drawn.weights.min() >= 0
    np.testing.assert_allclose(drawn.weights.sum(axis=1), 1, atol=1e-12)
    points = points_with_normals(mesh, drawn)
    assert points.shape == (500, 6)
    assert points.dtype == np.float32
    side = np.abs(points[:, :3]).argmax(axis=1)
    rows = np.arange(500)
    np.testing.assert_allclose(np.abs(points[rows, side]), 0.5, atol=1e-6)
    assert np.abs(points[:, :3]).max() <= 0.5 + 1e-6
    expected = np.zeros((500, 3))
    expected[rows, side] = np.sign(points[rows, side])
    np.testing.assert_allclose(points[:, 3:], expected, atol=1e-6)
    counts = np.bincount(drawn.face, minlength=12)
    assert counts.min() > 20  # of 42 on average
    np.testing.assert_allclose(positions(mesh, drawn), points[:, :3], atol=1e-7)


@pytest.mark.parametrize("how", sorted(SAMPLERS))
def test_every_sampler_follows_its_generator_alone(how: str) -> None:
    mesh = soup(50)
    first, again = places(mesh, 64, how), places(mesh, 64, how)
    np.testing.assert_array_equal(first.face, again.face)
    np.testing.assert_array_equal(first.weights, again.weights)
    other = SAMPLERS[how](mesh, areas_of(mesh), 64, generator_for(1, "k"))
    assert (other.face != first.face).any()


@pytest.mark.parametrize("how", sorted(SAMPLERS))
def test_a_face_without_area_is_never_sampled(how: str) -> None:
    """Later copies of a face have their area set to 0, so that a doubled wall does not get twice its points."""
    mesh = square()
    doubled = Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:1, ::-1], mesh.faces[:1]]))
    areas = areas_of(doubled)
    areas[2:] = 0
    drawn = places(doubled, 2000, how, areas)
    assert set(drawn.face.tolist()) == {0, 1}
    assert abs((drawn.face == 0).mean() - 0.5) < 0.06  # five standard deviations of 2,000 draws


@pytest.mark.parametrize("how", sorted(SAMPLERS))
@pytest.mark.parametrize("num_points", [1, 7])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_single_triangle_of_any_size_gives_the_exact_number(how: str, num_points: int, scale: float) -> None:
    mesh = Mesh(np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0.0]]) * scale, np.array([[0, 1, 2]]))
    points = points_with_normals(mesh, places(mesh, num_points, how))
    assert points.shape == (num_points, 6)
    np.testing.assert_array_equal(points[:, 3:], [[0, 0, 1]] * num_points)


@pytest.mark.parametrize("how", sorted(SAMPLERS))
def test_nothing_to_sample_is_an_error(how: str) -> None:
    mesh = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2], [0, 1, 2]]))
    with pytest.raises(RenderError, match="none of the mesh's 2 faces has an area"):
        SAMPLERS[how](mesh, areas_of(mesh), 10, generator_for(0, "k"))


def test_counts_follow_area() -> None:
    mesh = soup(300)
    areas = areas_of(mesh)
    num_points = 200_000
    found = np.bincount(places(mesh, num_points).face, minlength=300)
    expected = num_points * areas / areas.sum()
    some = expected > 5
    statistic = ((found - expected)[some] ** 2 / expected[some]).sum()
    freedom = int(some.sum()) - 1
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)  # chi-square: mean freedom, variance twice that


def test_points_are_uniform_within_a_face() -> None:
    weights = places(Mesh(np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0.0]]), np.array([[0, 1, 2]])), 40_000).weights
    # Halving the edges makes four triangles of one size: a corner's when its weight is above one half.
    shares = [(weights[:, corner] > 0.5).mean() for corner in range(3)]
    np.testing.assert_allclose(shares, 0.25, atol=0.011)  # five standard deviations
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.006)


def test_faces_without_area_get_none_wherever_they_stand() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 5], [1, 0, 5], [0, 2, 5.0]])
    mesh = Mesh(vertices, np.array([[0, 0, 1], [0, 1, 2], [1, 1, 1], [3, 4, 5], [0, 0, 1]]))
    found = np.bincount(places(mesh, 40_000).face, minlength=5)
    assert found[[0, 2, 4]].tolist() == [0, 0, 0]
    assert abs(found[1] / 40_000 - 3 / 4) < 0.011  # areas 3 and 1


def test_fewer_points_are_the_first_of_more() -> None:
    mesh = box()
    np.testing.assert_array_equal(places(mesh, 100).weights[:10], places(mesh, 10).weights)


def test_the_short_form_draws_by_area() -> None:
    mesh = box()
    points = sample_surface(mesh, areas_of(mesh), 50, generator_for(0, "k"))
    np.testing.assert_array_equal(points, points_with_normals(mesh, places(mesh, 50)))


def test_poisson_and_farthest_points_keep_their_distance() -> None:
    def nearest(how: str) -> np.ndarray:
        points = positions(box(), places(box(), 600, how))
        squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        np.fill_diagonal(squares, np.inf)
        distances: np.ndarray = np.sqrt(squares.min(axis=1))
        return distances

    # In a hexagonal grid over an area of 6, 600 points are .107 apart.
    assert nearest("area").min() < 0.01
    assert nearest("poisson").min() > 0.06
    assert nearest("farthest").min() > 0.06


def test_parts_are_those_of_the_faces() -> None:
    mesh = square(part=np.array([7, -1], np.int32))
    drawn = places(mesh, 200)
    parts = point_parts(mesh, drawn)
    assert parts.dtype == np.int32
    x, y, _ = positions(mesh, drawn).T
    np.testing.assert_array_equal(parts, np.where(x > y, 7, -1))
    assert point_parts(square(), drawn).tolist() == [-1] * 200


def test_colors_are_those_of_the_materials() -> None:
    materials = (Material((1.0, 0.5, 0.0)), Material((0.0, 0.2, 1.0)))
    mesh = square(Appearance(materials, np.array([1, 0], np.int32)))
    drawn = places(mesh, 200)
    colors = point_colors(mesh, drawn)
    assert colors.dtype == np.uint8
    x, y, _ = positions(mesh, drawn).T
    np.testing.assert_array_equal(colors, np.where((x > y)[:, None], [0, 51, 255], [255, 128, 0]))
    assert np.unique(point_colors(square(), drawn)).tolist() == [217]


def test_corner_colors_are_mixed_by_place_and_tinted() -> None:
    corner = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 0], [0, 255, 0]], np.uint8)  # red is x and green is y
    mesh = square(Appearance((Material((1.0, 0.5, 1.0)),), np.zeros(2, np.int32), corner_color=corner[square().faces]))
    drawn = places(mesh, 200)
    x, y, _ = positions(mesh, drawn).T
    expected = np.stack([x * 255, y * 127.5, 0 * x], axis=1)
    np.testing.assert_allclose(point_colors(mesh, drawn), expected, atol=0.51)


def test_textures_land_where_their_coordinates_say() -> None:
    """Four quadrants on the square, through each material's own texture; a plain material beside them."""
    quadrants = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    fine = quadrants.repeat(64, axis=0).repeat(64, axis=1)
    uv = square().vertices[:, :2].astype(np.float32)[square().faces]
    textured, plain = Material((0.5, 1.0, 1.0), Texture(fine)), Material((0.2, 0.4, 0.6))
    mesh = square(Appearance((plain, textured), np.array([1, 0], np.int32), corner_uv=uv))
    drawn = places(mesh, 500)
    colors = point_colors(mesh, drawn)
    x, y, _ = positions(mesh, drawn).T
    inner = (np.abs(x - 0.5) > 0.01) & (np.abs(y - 0.5) > 0.01) & (np.minimum(x, y) > 0.01) & (np.maximum(x, y) < 0.99)
    expected = quadrants[(y < 0.5).astype(int), (x > 0.5).astype(int)] * [0.5, 1, 1]  # v = 1 is the upper row
    below = inner & (x > y)
    assert below.sum() > 100
    np.testing.assert_allclose(colors[below], expected[below], atol=0.51)
    np.testing.assert_array_equal(colors[x < y], np.tile([51, 102, 153], (int((x < y).sum()), 1)))
