import sys

import numpy as np
import pytest
import trimesh

from render.errors import RenderError
from render.poisson import poisson_subset


def points_on(mesh: trimesh.Trimesh, num_points: int, seed: int = 1) -> np.ndarray:
    points, _ = trimesh.sample.sample_surface(mesh, num_points, seed=seed)
    return np.asarray(points, np.float64)


def nearest(points: np.ndarray) -> np.ndarray:
    """The distance of each point to its nearest neighbour."""
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    distances: np.ndarray = np.sqrt(squares.min(axis=1))
    return distances


def test_it_keeps_what_open3d_keeps_of_the_whole_mesh() -> None:
    open3d = pytest.importorskip("open3d")
    box = trimesh.creation.box((1, 1, 1))
    points = points_on(box, 2000)
    whole = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(box.vertices), open3d.utility.Vector3iVector(box.faces)
    )
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    expected = np.asarray(whole.sample_points_poisson_disk(500, pcl=cloud).points)
    kept = poisson_subset(points, 6.0, 500)
    np.testing.assert_array_equal(points[kept], expected)
    assert (np.diff(kept) > 0).all()


def test_points_keep_their_distance() -> None:
    pytest.importorskip("open3d")
    points = points_on(trimesh.creation.icosphere(3), 2000)
    kept = nearest(points[poisson_subset(points, 4 * np.pi, 500)])
    # 500 points in a hexagonal grid would be .17 apart; random ones come as near as they like.
    assert kept.min() > 0.1
    assert nearest(points[:500]).min() < 0.02


def test_layers_and_thickets_keep_their_distance_too() -> None:
    pytest.importorskip("open3d")
    skin = trimesh.creation.icosphere(3)
    layers = np.concatenate([points_on(skin, 1000, seed) * (1 + 1e-3 * seed) for seed in range(4)])
    layers = np.random.default_rng(0).permutation(layers)
    assert nearest(layers[poisson_subset(layers, 16 * np.pi, 1000)]).min() > 0.06  # by the area alone: .001
    filled = np.random.default_rng(0).random((4000, 3))
    assert nearest(filled[poisson_subset(filled, 1e6, 1000)]).min() > 0.05


@pytest.mark.parametrize("num_samples", [1, 2, 100])
def test_the_number_is_exact_where_points_coincide(num_samples: int) -> None:
    pytest.importorskip("open3d")
    kept = poisson_subset(np.zeros((4 * num_samples, 3)), 1e-12, num_samples)
    assert len(np.unique(kept)) == num_samples


def test_without_open3d_the_message_names_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(RenderError, match=r"points=poisson: Open3D does not import .* points=area or points=farthest"):
        poisson_subset(np.zeros((4, 3)), 1.0, 1)
