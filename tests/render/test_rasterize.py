"""The CPU rasterizer by hand, against its own rules, and every other rasterizer against it."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, Projection, nearest_to_origin, pixel_centers, pixel_rays
from render.errors import RenderError
from render.mesh import Mesh
from render.rig import Viewpoint, mvcnn12
from render.shading.barycentrics import barycentrics


def frontal(size: int, projection: Projection = "parallel", focal: float = 1.0) -> Cameras:
    """One camera at the origin that looks along +z; parallel, a world unit is `focal` pixels and (0, 0) the corner."""
    intrinsics = np.array([[[focal, 0, 0], [0, focal, 0], [0, 0, 1]]], np.float32)
    if projection == "perspective":
        intrinsics[:, :2, 2] = size / 2
    return Cameras(np.eye(4, dtype=np.float32)[None], intrinsics, projection, size)


def triangles(*corners: Sequence[Sequence[float]]) -> Mesh:
    vertices = np.array(corners, np.float64).reshape(-1, 3)
    return Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3))


def test_a_triangle_by_hand() -> None:
    fragments = rasterize_cpu(triangles([[0, 0, 1], [4, 0, 1], [0, 4, 3]]), frontal(5))
    expected = -np.ones((5, 5), int)
    for row in range(4):
        expected[row, : 4 - row] = 0
    expected[[0, 1, 2, 3], [3, 2, 1, 0]] = -1  # centres on the hypotenuse, which is neither a top nor a left edge
    np.testing.assert_array_equal(fragments.face[0], expected)
    np.testing.assert_allclose(fragments.depth[0, 1, 0], 1 + 1.5 / 2)
    assert np.isinf(fragments.depth[0, 4, 4])


def test_the_top_left_rule_gives_a_centre_on_an_edge_to_one_side() -> None:
    # A square whose edges run exactly through pixel centres: it owns its top and left centres, not bottom and right.
    square = triangles([[0.5, 0.5, 1], [3.5, 0.5, 1], [3.5, 3.5, 1]], [[0.5, 0.5, 1], [3.5, 3.5, 1], [0.5, 3.5, 1]])
    covered = rasterize_cpu(square, frontal(5)).face[0] >= 0
    expected = np.zeros((5, 5), bool)
    expected[0:3, 0:3] = True
    np.testing.assert_array_equal(covered, expected)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("seed", range(5))
def test_a_tiling_has_no_crack_and_no_pixel_twice(seed: int, projection: Projection) -> None:
    """A jittered grid of triangles over the whole image: drawn one by one they cover each pixel exactly once."""
    generator, cells, size = np.random.default_rng(seed), 9, 64
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, cells), np.linspace(-2, 2, cells)), axis=-1)
    grid[1:-1, 1:-1] += generator.uniform(-0.2, 0.2, (cells - 2, cells - 2, 2))
    grid[::2, ::2] = np.round(grid[::2, ::2] * size / 4) / size * 4  # corners on pixel corners and centres too
    depth = (
        generator.uniform(2.0, 2.1, (cells, cells, 1)) if projection == "parallel" else np.full((cells, cells, 1), 2.0)
    )
    vertices = np.concatenate([grid, depth], axis=-1).reshape(-1, 3)
    index = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = (corner.ravel() for corner in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    intrinsics = np.array([[[size / 4, 0, size / 2], [0, size / 4, size / 2], [0, 0, 1]]], np.float32)
    intrinsics[:, :2, :2] *= 1 if projection == "parallel" else 2
    cameras = Cameras(np.eye(4, dtype=np.float32)[None], intrinsics, projection, size)
    times = sum((rasterize_cpu(Mesh(vertices, face[None]), cameras).face[0] >= 0).astype(int) for face in faces)
    np.testing.assert_array_equal(times, 1)


def test_depth_on_a_steep_face_is_that_of_its_own_corners_not_of_the_snapped_ones() -> None:
    generator = np.random.default_rng(3)
    compared = 0
    for _ in range(200):
        corners = np.concatenate([generator.uniform(2, 6, (3, 2)), generator.uniform(1, 40, (3, 1))], axis=1)
        depth = rasterize_cpu(triangles(corners.tolist()), frontal(8)).depth[0]
        plane = np.linalg.solve(np.concatenate([corners[:, :2], np.ones((3, 1))], axis=1), corners[:, 2])
        rows, columns = np.nonzero(np.isfinite(depth))
        expected = plane[0] * (columns + 0.5) + plane[1] * (rows + 0.5) + plane[2]
        within = (expected > corners[:, 2].min()) & (expected < corners[:, 2].max())  # else the snapped edge let it in
        np.testing.assert_allclose(depth[rows, columns][within], expected[within], rtol=3e-6)
        compared += int(within.sum())
    assert compared > 100


def owned_centres(corners: Sequence[tuple[int, int]], size: int, unit: int = 1 << 14) -> set[tuple[int, int]]:
    """(row, column) of the pixel centres that a triangle owns by exact edge functions and the top-left rule."""
    (ax, ay), (bx, by), (cx, cy) = corners
    if (bx - ax) * (cy - ay) - (cx - ax) * (by - ay) < 0:
        (bx, by), (cx, cy) = (cx, cy), (bx, by)
    owned = set()
    for row in range(size):
        for column in range(size):
            x, y = column * unit + unit // 2, row * unit + unit // 2
            inside = True
            for (px, py), (qx, qy) in (((ax, ay), (bx, by)), ((bx, by), (cx, cy)), ((cx, cy), (ax, ay))):
                side = (qx - px) * (y - py) - (qy - py) * (x - px)
                is_top_or_left = qy < py or (qy == py and qx > px)
                inside &= side > 0 or (side == 0 and is_top_or_left)
            if inside and (bx - ax) * (cy - ay) != (cx - ax) * (by - ay):
                owned.add((row, column))
    return owned


@pytest.mark.parametrize("step", [1 << 14, 1 << 13, 1 << 11, 1], ids=["pixels", "half pixels", "eighths", "any"])
def test_coverage_is_that_of_exact_edge_functions(step: int) -> None:
    """Corners on a coarse grid put many centres exactly on edges and corners; some lie far outside the image."""
    generator, size = np.random.default_rng(step), 9
    for _ in range(150):
        reach = size if generator.random() < 0.7 else 40 * size
        corners = generator.integers(-reach * (1 << 14) // step, 2 * reach * (1 << 14) // step, (3, 2)) * step
        mesh = triangles([[x / (1 << 14), y / (1 << 14), 1] for x, y in corners])
        drawn = np.argwhere(rasterize_cpu(mesh, frontal(size)).face[0] >= 0)
        assert {(row, column) for row, column in drawn.tolist()} == owned_centres(corners.tolist(), size)


def test_a_mesh_finer_than_the_pixels_has_no_hole() -> None:
    """Most of its triangles hold no pixel centre and are passed over before they are set up."""
    generator, cells, size = np.random.default_rng(0), 150, 48
    grid = np.stack(np.meshgrid(np.linspace(-1, size + 1, cells), np.linspace(-1, size + 1, cells)), axis=-1)
    grid += generator.uniform(-0.1, 0.1, grid.shape)
    vertices = np.concatenate([grid, np.ones((cells, cells, 1))], axis=-1).reshape(-1, 3)
    index = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = (corner.ravel() for corner in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    face = rasterize_cpu(Mesh(vertices, faces), frontal(size)).face[0]
    assert (face >= 0).all()
    corners = vertices[faces[face]][..., :2]  # (H, W, 3, 2)
    centre = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1)
    edges = np.roll(corners, -1, axis=2) - corners
    to_centre = centre[:, :, None] - corners
    sides = edges[..., 0] * to_centre[..., 1] - edges[..., 1] * to_centre[..., 0]
    # Each centre lies in the face that is drawn there.
    assert ((sides > -1e-3).all(axis=-1) | (sides < 1e-3).all(axis=-1)).all()


def test_the_nearest_wins_and_of_equals_the_lower_index() -> None:
    full = [[-9, -9, 2], [30, -9, 2], [-9, 30, 2]]
    near = [[-9, -9, 1], [30, -9, 1], [-9, 30, 1]]
    assert (rasterize_cpu(triangles(full, near), frontal(4)).face == 1).all()
    assert (rasterize_cpu(triangles(near, full), frontal(4)).face == 0).all()
    assert (rasterize_cpu(triangles(full, full[::-1]), frontal(4)).face == 0).all()


def test_both_sides_are_drawn_and_slivers_without_area_are_not() -> None:
    corners = [[0, 0, 1], [4, 0, 1], [0, 4, 1]]
    front, back = rasterize_cpu(triangles(corners), frontal(5)), rasterize_cpu(triangles(corners[::-1]), frontal(5))
    np.testing.assert_array_equal(front.face, back.face)
    assert (rasterize_cpu(triangles([[0, 0, 1], [2, 2, 1], [4, 4, 1]]), frontal(5)).face == -1).all()


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_nothing_behind_the_camera_is_drawn(projection: Projection) -> None:
    assert (
        rasterize_cpu(triangles([[-9, -9, -1], [30, -9, -1], [-9, 30, -1]]), frontal(4, projection)).face == -1
    ).all()


def test_a_floor_that_passes_under_a_perspective_camera_is_clipped() -> None:
    """A plane one unit below the camera, from behind it to far ahead: every pixel below the horizon sees it."""
    floor = triangles([[-1e4, 1, -1e4], [1e4, 1, -1e4], [0, 1, 2e4]])
    size, focal = 64, 40.0
    fragments = rasterize_cpu(floor, frontal(size, "perspective", focal))
    rows = np.arange(size) + 0.5 - size / 2
    visible = rows > 0.2
    assert (fragments.face[0][visible] == 0).all()
    assert (fragments.face[0][rows < 0] == -1).all()
    expected = np.broadcast_to((focal / rows[visible])[:, None], (visible.sum(), size))
    np.testing.assert_allclose(fragments.depth[0][visible], expected, rtol=2e-3)


def test_a_huge_triangle_is_clipped_to_the_guard_band() -> None:
    fragments = rasterize_cpu(triangles([[-1e9, -1e9, 1], [3e9, -1e9, 1], [-1e9, 3e9, 1]]), frontal(16))
    assert (fragments.face == 0).all()
    np.testing.assert_allclose(fragments.depth, 1)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_the_line_of_a_pixel_meets_the_point_that_depth_and_barycentrics_say(
    shapes: list[Mesh], projection: Projection
) -> None:
    """Renderer and query generator share one camera: the optical line meets the mesh just where the picture says."""
    size = 96
    cameras = mvcnn12(Viewpoint(size, projection))
    parallel = np.array([[projection == "parallel"]])
    pixels = np.tile(pixel_centers(size).astype(np.float64), (cameras.num_views, 1, 1))
    poses = cameras.world_to_camera.astype(np.float64)
    start, direction = pixel_rays(pixels, poses, cameras.intrinsics.astype(np.float64), parallel)
    origin = nearest_to_origin(start, direction)
    for mesh in shapes:
        fragments = rasterize_cpu(mesh, cameras)
        view, pixel = np.nonzero(fragments.face.reshape(cameras.num_views, -1) >= 0)
        chosen = np.random.default_rng(0).choice(len(view), 300, replace=False)
        view, pixel = view[chosen], pixel[chosen]
        face = fragments.face.reshape(cameras.num_views, -1)[view, pixel]
        bary = barycentrics(mesh, cameras, fragments).reshape(cameras.num_views, -1, 3)[view, pixel].astype(np.float64)
        depth = fragments.depth.reshape(cameras.num_views, -1)[view, pixel]
        # Intersect the query's line with the plane of the face, wholly without the rasterizer.
        corners = mesh.vertices[mesh.faces[face]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        line, base = direction[view, pixel], origin[view, pixel]
        cosine = (normal * line).sum(axis=1)
        along = ((corners[:, 0] - base) * normal).sum(axis=1) / cosine
        met = base + along[:, None] * line
        frank = np.abs(cosine) > 0.02  # a face seen edge-on has no well-defined point
        assert frank.mean() > 0.9
        seen = np.einsum("nij,nj->ni", poses[view, :3, :3], met) + poses[view, :3, 3]
        np.testing.assert_allclose(seen[frank, 2], depth[frank], atol=1e-4)
        np.testing.assert_allclose(np.einsum("nk,nkc->nc", bary, corners)[frank], met[frank], atol=1e-4)


def test_equal_input_gives_equal_output_from_many_threads(shapes: list[Mesh]) -> None:
    cameras, results = mvcnn12(Viewpoint(64, "parallel")), {}
    expected = [rasterize_cpu(mesh, cameras) for mesh in shapes]
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: [rasterize_cpu(mesh, cameras) for mesh in shapes]}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fragments in results.values():
        for ours, first in zip(fragments, expected, strict=True):
            np.testing.assert_array_equal(ours.face, first.face)
            np.testing.assert_array_equal(ours.depth, first.depth)
    assert len(results) == 4


def test_a_vertex_in_use_that_is_not_finite_is_refused_and_an_unused_one_is_not() -> None:
    mesh = triangles([[0, 0, 1], [4, 0, 1], [0, 4, 1]])
    spoiled = Mesh(np.concatenate([mesh.vertices, [[np.nan] * 3]]), mesh.faces)
    np.testing.assert_array_equal(rasterize_cpu(spoiled, frontal(5)).face, rasterize_cpu(mesh, frontal(5)).face)
    with pytest.raises(RenderError, match="not finite"):
        rasterize_cpu(Mesh(spoiled.vertices, np.array([[0, 1, 3]])), frontal(5))
