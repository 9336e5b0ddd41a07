"""Solids have their analytic volume; families give sound, varied, reproducible meshes; a collection is real files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, Mesh, read_mesh
from render.shapes.families import FAMILIES, make_shape, write_shape_collection
from render.shapes.placement import grounded, joined, mirrored, rotated, scaled, subdivided, translated
from render.shapes.solids import (
    box,
    circle,
    cylinder,
    frustum,
    lathe,
    prism,
    rectangle,
    rounded_box,
    smoothed,
    sphere,
    torus,
    tube,
)

POLYGON = 64 / 2 * np.sin(2 * np.pi / 64)  # area of the 64-gon in the unit circle
SEEDS = range(6)
ALL_FAMILIES = pytest.mark.parametrize("family", sorted(FAMILIES))


def signed_volumes(mesh: Mesh) -> np.ndarray:
    """Of each connected part."""
    edges = mesh.faces[:, [[0, 1], [1, 2]]].reshape(-1, 2).T
    graph = coo_matrix((np.ones(edges.shape[1]), tuple(edges)), shape=(len(mesh.vertices),) * 2)
    part = connected_components(graph, directed=False)[1][mesh.faces[:, 0]]
    corners = mesh.vertices[mesh.faces] - mesh.vertices.mean(axis=0)
    return np.bincount(part, np.linalg.det(corners) / 6)


def areas(mesh: Mesh) -> np.ndarray:
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(np.linalg.norm(normals, axis=1) / 2)


def is_closed(mesh: Mesh) -> bool:
    """Every edge is used once in each direction."""
    edges = mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    forward = {tuple(edge) for edge in edges.tolist()}
    return len(forward) == len(edges) and forward == {(b, a) for a, b in forward}


SOLIDS: dict[str, tuple[Callable[[], Mesh], float, float]] = {  # solid, analytic volume, relative tolerance
    "box": (lambda: box((1, 2, 3), (5, 6, 7)), 6.0, 1e-12),
    "prism": (lambda: prism(rectangle(2, 1), 3), 6.0, 1e-12),
    "pyramid stump": (lambda: prism(rectangle(2, 2), 3, top_scale=0.5), 7.0, 1e-12),
    "cylinder": (lambda: cylinder(2, 3, 64), 12 * POLYGON, 1e-12),
    "cone": (lambda: frustum(2, 0, 3, 64), 4 * POLYGON, 1e-12),
    "cone on its tip": (lambda: frustum(0, 2, 3, 64), 4 * POLYGON, 1e-12),
    "frustum": (lambda: frustum(2, 1, 3, 64), 7 * POLYGON, 1e-12),
    "sphere": (lambda: sphere(2, 64, 64), 32 / 3 * np.pi, 5e-3),
    "torus": (lambda: torus(3, 1, 64, 64), 6 * np.pi**2, 5e-3),
    "torus arc": (lambda: torus(3, 1, 64, 64, degrees=90), 1.5 * np.pi**2, 5e-3),
    "straight tube": (lambda: tube([(0, 0, 0), (1, 2, 2)], 0.5, 64), 0.75 * POLYGON, 1e-12),
    "bar": (lambda: tube([(0, 0, 0), (0, 0, 2)], np.sqrt(0.5), 4), 2.0, 1e-12),
    "cup": (lambda: lathe([(0, 0), (2, 0), (2, 3), (1, 3), (1, 1), (0, 1)], 64), 10 * POLYGON, 1e-12),
    "shell": (lambda: lathe([(2, 0), (2, 3), (1, 3), (1, 0)], 64, closed=True), 9 * POLYGON, 1e-12),
    "sharp rounded box": (lambda: rounded_box((1, 2, 3), 1e-4), 6.0, 1e-3),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed_and_have_their_analytic_volume(name: str) -> None:
    build, volume, tolerance = SOLIDS[name]
    mesh = build()
    assert is_closed(mesh)
    assert areas(mesh).min() > 0
    assert signed_volumes(mesh) == pytest.approx([volume], rel=tolerance)


def test_rounding_a_box_takes_a_little_from_its_edges_only() -> None:
    plain, soft = box((2, 2, 2)), rounded_box((2, 2, 2), 0.4)
    assert is_closed(soft)
    assert 0.85 * 8 < signed_volumes(soft)[0] < 8
    np.testing.assert_allclose(soft.vertices.max(axis=0), plain.vertices.max(axis=0))


def test_tube_keeps_its_radius_around_a_bend_out_of_the_plane() -> None:
    path = smoothed([(0, 0, 0), (2, 0, 0), (2, 2, 0), (2, 2, 2)], 5)
    mesh = tube(path, 0.1, 16)
    rings = mesh.vertices[:-2].reshape(len(path), 16, 3)
    np.testing.assert_allclose(np.linalg.norm(rings - path[:, None], axis=-1), 0.1)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    assert signed_volumes(mesh)[0] == pytest.approx(0.01 * 8 * np.sin(np.pi / 8) * length, rel=0.01)


def test_smoothed_keeps_the_ends_and_stays_in_the_hull() -> None:
    line = smoothed([(0, 0), (1, 1), (2, 0)], 3)
    assert line[0].tolist() == [0, 0]
    assert line[-1].tolist() == [2, 0]
    assert 0.5 < line[:, 1].max() < 1
    assert (line[:, 1] <= 1 - np.abs(line[:, 0] - 1) + 1e-12).all()


def test_placement() -> None:
    brick = translated(box((1, 1, 1)), (2, 0, 0))
    np.testing.assert_allclose(rotated(brick, "z", 90).vertices.mean(axis=0), (0, 2, 0), atol=1e-12)
    np.testing.assert_allclose(rotated(brick, "y", 90).vertices.mean(axis=0), (0, 0, -2), atol=1e-12)
    up = translated(brick, (-2, 0, 2))
    np.testing.assert_allclose(rotated(up, "x", 90).vertices.mean(axis=0), (0, -2, 0), atol=1e-12)
    assert signed_volumes(scaled(brick, (-2, 1, 3))) == pytest.approx([6])
    assert signed_volumes(mirrored(brick, "x")) == pytest.approx([1, 1])
    assert signed_volumes(joined(brick, up, box((2, 2, 2)))) == pytest.approx([1, 1, 8])
    low, high = grounded(up).vertices.min(axis=0), grounded(up).vertices.max(axis=0)
    assert (low.tolist(), high.tolist()) == ([-0.5, -0.5, 0], [0.5, 0.5, 1])


def test_subdivided_keeps_the_surface_and_quadruples_the_faces() -> None:
    coarse = cylinder(1, 2, 7)
    fine = subdivided(coarse)
    assert len(fine.faces) == 4 * len(coarse.faces)
    assert is_closed(fine)
    assert signed_volumes(fine) == pytest.approx(signed_volumes(coarse))
    assert areas(fine).sum() == pytest.approx(areas(coarse).sum())


def test_circle_looks_flat_towards_x() -> None:
    np.testing.assert_allclose(circle(np.sqrt(2), 4), [[1, 1], [-1, 1], [-1, -1], [1, -1]])


@ALL_FAMILIES
def test_family_meshes_are_sound(family: str) -> None:
    for seed in SEEDS:
        mesh = make_shape(family, np.random.default_rng(seed))
        assert mesh.vertices.dtype == np.float64
        assert mesh.faces.dtype == np.int64
        assert np.isfinite(mesh.vertices).all()
        assert 200 <= len(mesh.faces) <= 4000
        assert set(np.unique(mesh.faces).tolist()) == set(range(len(mesh.vertices)))
        extent = np.ptp(mesh.vertices, axis=0)
        assert 0.02 < extent.min() <= extent.max() < 40
        assert areas(mesh).min() > 1e-8 * extent.max() ** 2
        assert mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-12)


@ALL_FAMILIES
def test_family_parts_are_closed_and_wound_outward(family: str) -> None:
    for seed in SEEDS:
        mesh = make_shape(family, np.random.default_rng(seed))
        assert is_closed(mesh)
        assert signed_volumes(mesh).min() > 0


@ALL_FAMILIES
def test_family_depends_on_the_generator_alone_and_varies_with_it(family: str) -> None:
    first, again = (make_shape(family, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
    extents = np.array([np.ptp(make_shape(family, np.random.default_rng(seed)).vertices, axis=0) for seed in range(10)])
    shares = extents / extents.max(axis=1, keepdims=True)  # what is left after the renderer's normalisation
    assert len(np.unique(extents, axis=0)) == 10
    assert shares.std(axis=0).max() > 0.02


def test_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(RenderError, match=r"'chiar'.*chair.*table"):
        make_shape("chiar", np.random.default_rng(0))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_collection_is_laid_out_in_mixed_formats(tmp_path: Path) -> None:
    assert write_shape_collection(tmp_path, 8, seed=1, families=["mug", "chair"]) == 16
    files = files_of(tmp_path)
    assert len(files) == 16
    for family in ("mug", "chair"):
        own = sorted(name for name in files if name.startswith(f"{family}/"))
        assert sum(name.startswith(f"{family}/test/") for name in own) == 2
        assert {Path(name).suffix for name in own} == set(MESH_SUFFIXES)
        assert sorted(Path(name).stem for name in own) == [f"{family}_{number:04d}" for number in range(1, 9)]
        assert f"{family}/test/{family}_0008" in {name.rsplit(".", 1)[0] for name in own}
    for name in files:
        assert len(read_mesh(tmp_path / name).faces) >= 200


def test_collection_follows_the_seed_and_grows_at_its_end(tmp_path: Path) -> None:
    write_shape_collection(tmp_path / "a", 3, seed=1, families=["stool"], test_share=0)
    write_shape_collection(tmp_path / "b", 5, seed=1, families=["stool"], test_share=0)
    write_shape_collection(tmp_path / "c", 3, seed=2, families=["stool"], test_share=0)
    small, large, other = (files_of(tmp_path / name) for name in "abc")
    assert small.items() <= large.items()
    assert small.keys() == other.keys()
    assert all(small[name] != other[name] for name in small)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_per_family": 0}, "num_per_family 0"),
        ({"seed": -1}, "seed -1"),
        ({"test_share": 1.5}, "test_share 1.5"),
        ({"families": ["chair", "sofa"]}, "'sofa'; known"),
    ],
)
def test_collection_refuses_wrong_settings_before_writing(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    settings: dict[str, object] = {"num_per_family": 1, "seed": 0, "families": ["chair"], "test_share": 0.25} | changes
    with pytest.raises(RenderError, match=message):
        write_shape_collection(tmp_path, **settings)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_collection_reports_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "chair").write_text("in the way")
    with pytest.raises(RenderError, match="cannot make the folder"):
        write_shape_collection(tmp_path, 1, seed=0, families=["chair"])
