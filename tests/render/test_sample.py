import numpy as np
import trimesh

from render.mesh import Mesh
from render.normalization import face_areas
from render.sample import generator_for, sample_surface


def sampled(mesh: Mesh, num_points: int, seed: int = 0, key: str = "k") -> np.ndarray:
    return sample_surface(mesh, face_areas(mesh.vertices, mesh.faces), num_points, generator_for(seed, key))


def test_points_lie_on_the_surface_with_its_normals() -> None:
    box = trimesh.creation.box()
    points = sampled(Mesh(np.asarray(box.vertices), np.asarray(box.faces, np.int64)), 500)
    assert points.shape == (500, 6)
    assert points.dtype == np.float32
    side = np.abs(points[:, :3]).argmax(axis=1)
    rows = np.arange(500)
    np.testing.assert_allclose(np.abs(points[rows, side]), 0.5, atol=1e-6)
    assert np.abs(points[:, :3]).max() <= 0.5 + 1e-6
    expected = np.zeros((500, 3))
    expected[rows, side] = np.sign(points[rows, side])
    np.testing.assert_allclose(points[:, 3:], expected, atol=1e-6)
    assert set(side) == {0, 1, 2}


def test_counts_follow_area_and_faces_without_area_get_none() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 5], [1, 0, 5], [0, 2, 5.0]])
    mesh = Mesh(vertices, np.array([[0, 0, 1], [0, 1, 2], [1, 1, 1], [3, 4, 5], [0, 0, 1]]))
    points = sampled(mesh, 40_000)
    share = (points[:, 2] == 0).mean()
    assert abs(share - 3 / 4) < 0.01  # areas 3 and 1; five standard deviations
    low = points[points[:, 2] == 0]
    np.testing.assert_allclose(low[:, :2].mean(axis=0), [1, 2 / 3], atol=0.03)  # uniform inside: its centroid


def test_samples_follow_seed_and_key() -> None:
    box = trimesh.creation.box()
    mesh = Mesh(np.asarray(box.vertices), np.asarray(box.faces, np.int64))
    np.testing.assert_array_equal(sampled(mesh, 10), sampled(mesh, 10))
    assert (sampled(mesh, 10) != sampled(mesh, 10, seed=1)).any()
    assert (sampled(mesh, 10) != sampled(mesh, 10, key="other")).any()
