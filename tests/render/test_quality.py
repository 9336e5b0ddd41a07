import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import Cameras, Projection, look_at
from render.mesh import Mesh
from render.normalization import face_areas, normalize
from render.quality import FLAGS, Quality, measure_quality
from render.randomness import generator_for
from render.sample import SAMPLERS, points_with_normals, sample_surface

SIZE = 224
FLAG = "points_off_surface"


def around(projection: Projection = "parallel", size: int = SIZE, num_views: int = 12) -> Cameras:
    """Cameras at elevation 30, the unit sphere within the frame."""
    turns = np.deg2rad(np.arange(num_views) * 360 / num_views)
    level, height = 4 * np.cos(np.deg2rad(30)), 4 * np.sin(np.deg2rad(30))
    poses = [look_at(np.array([level * np.cos(t), level * np.sin(t), height]), np.zeros(3)) for t in turns]
    focal = 0.47 * size if projection == "parallel" else 1.8 * size
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(
        np.stack(poses).astype(np.float32), np.tile(intrinsics, (num_views, 1, 1)).astype(np.float32), projection, size
    )


def frontal(size: int, num_views: int = 1) -> Cameras:
    """Cameras at the origin that look along +z; a world unit is a pixel and (0, 0) the corner."""
    pose, lens = np.eye(4, dtype=np.float32), np.eye(3, dtype=np.float32)
    return Cameras(np.stack([pose] * num_views), np.stack([lens] * num_views), "parallel", size)


def points_of(mesh: Mesh, num_points: int = 8192) -> np.ndarray:
    return sample_surface(mesh, face_areas(mesh.vertices, mesh.faces), num_points, generator_for(0, "k"))


def quality_of(mesh: Mesh, cameras: Cameras, points: np.ndarray) -> Quality:
    fragments = rasterize_cpu(mesh, cameras)
    return measure_quality(fragments.face >= 0, fragments.depth, points, cameras, 0.002)


def boxes(*places: tuple[float, float, float, float, float, float]) -> Mesh:
    """Boxes from one corner to the other, normalised."""
    made = trimesh.util.concatenate([trimesh.creation.box(bounds=np.reshape(place, (2, 3))) for place in places])
    return normalize(Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int64))).mesh


def test_silhouettes_by_hand() -> None:
    alpha = np.zeros((4, 10, 10), np.bool_)
    alpha[0, 2:4, 3:6] = True
    alpha[1, 9, 4] = True  # at the lower edge
    alpha[3, 1:9, 1:9] = True
    depth = np.where(alpha, np.float32(1), np.float32(np.inf))
    quality = measure_quality(alpha, depth, np.ones((1, 3), np.float32), frontal(10, 4), 0.02)
    assert (quality.smallest_silhouette, quality.blank_views, quality.cut_views) == (0.01, 1, 1)
    assert quality.flags[:2] == ("blank_view", "cut_by_frame")
    assert "small_silhouette" in quality.flags
    kept = measure_quality(alpha[[0, 3]], depth[[0, 3]], np.ones((1, 3), np.float32), frontal(10, 2), 0.06)
    assert (kept.smallest_silhouette, kept.blank_views, kept.cut_views) == (0.06, 0, 0)
    assert not {"blank_view", "cut_by_frame", "small_silhouette"} & set(kept.flags)


@pytest.mark.parametrize("pixel", [(0, 4), (9, 4), (4, 0), (4, 9)])
def test_each_edge_of_the_frame_cuts(pixel: tuple[int, int]) -> None:
    alpha = np.zeros((1, 10, 10), np.uint8)
    alpha[(0, *pixel)] = 255
    depth = np.where(alpha > 0, np.float32(1), np.float32(np.inf))
    assert measure_quality(alpha, depth, np.ones((1, 3), np.float32), frontal(10), 0).cut_views == 1


def test_all_views_blank() -> None:
    alpha, depth = np.zeros((2, 8, 8), np.bool_), np.full((2, 8, 8), np.inf, np.float32)
    quality = measure_quality(alpha, depth, np.full((9, 3), 4, np.float32), frontal(8, 2), 0.5)
    assert quality.values == {
        "smallest_silhouette": 0.0,
        "blank_views": 2,
        "cut_views": 0,
        "points_off": 1.0,
        "points_hidden": 1.0,
        "points_short": 0.0,
    }
    assert quality.flags == ("blank_view", FLAG)


def test_points_before_on_and_behind_a_wall_by_hand() -> None:
    """A wall at depth 5 across most of the frame, and points over an extent of 10."""
    alpha = np.zeros((1, 12, 12), np.bool_)
    alpha[0, 1:11, 1:11] = True
    depth = np.where(alpha, np.float32(5), np.float32(np.inf))

    def measured(*points: tuple[float, float, float]) -> tuple[float, float]:
        corners = [(1.0, 1.0, 5.0), (11.0, 11.0, 5.0)]  # on the wall
        quality = measure_quality(alpha, depth, np.array([*corners, *points], np.float32), frontal(12), 0)
        return quality.points_off, quality.points_hidden

    assert measured((6, 6, 5), (3, 8, 5.01)) == (0, 0)
    assert measured((6, 6, 4.85), (6, 6, 5.5)) == (0, 0.5)  # nearer by less than 2 %; behind: unseen, but not off
    assert measured((6, 6, 4.75), (6, 6, 1)) == (0.5, 0.5)
    assert measured((0.5, 0.5, 5), (0.5, 11.5, 5)) == (0, 0)  # within a pixel of what is drawn
    assert measured((-1, 3, 5), (3, 12.5, 5)) == (0, 0.5)  # outside the frame: nothing is known
    assert measured((np.nan, 3, 5), (3, 3, np.inf))[1] == 1  # an extent that is no number


def test_a_point_that_any_view_pictures_is_not_off() -> None:
    """A structure thinner than a pixel is drawn in some views and missing from others."""
    alpha = np.ones((2, 8, 8), np.bool_)
    depth = np.full((2, 8, 8), 3, np.float32)
    points = np.array([[1, 1, 3], [7, 7, 3], [4, 4, 3]], np.float32)
    alpha[1, 2:6, 2:6] = False
    assert measure_quality(alpha, depth, points, frontal(8, 2), 0).points_off == 0
    alpha[0, 2:6, 2:6] = False
    assert measure_quality(alpha, depth, points, frontal(8, 2), 0).points_off == pytest.approx(1 / 3)


def test_shortfall_by_hand() -> None:
    """Pixels 2 to 9 are covered, so 2.5 to 9.5 surely is, and 8 is its size."""
    alpha = np.zeros((1, 12, 12), np.bool_)
    alpha[0, 2:10, 2:10] = True
    depth = np.where(alpha, np.float32(5), np.float32(np.inf))

    def measured(*places: float) -> float:
        points = np.array([[place, place, 5] for place in places], np.float32)
        return measure_quality(alpha, depth, points, frontal(12), 0).points_short

    # Either half of the points stays .8 inside on every side.
    assert measured(3.3, 3.3, 8.7, 8.7) == pytest.approx(0.8 / 8, abs=1e-6)
    # One half stays .8 inside and the other 1.2, so half of the points cost .2: all of them still lack .2 / (sqrt 2 - 1).
    assert measured(3.3, 3.7, 8.7, 8.3) == pytest.approx((0.8 - 0.2 / 0.41421356) / 8, abs=1e-6)
    assert measured(1.5, 1.5, 10.5, 10.5) == pytest.approx(-1 / 8, abs=1e-6)
    assert measured(6) == 0


@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_right_points_are_not_flagged(shapes: list[Mesh], projection: Projection) -> None:
    cameras = around(projection)
    for mesh in shapes:
        quality = quality_of(mesh, cameras, points_of(mesh))
        assert quality.flags == ()
        assert quality.points_off <= 0.004
        assert quality.points_short < 0.006


@pytest.mark.parametrize("how", sorted(SAMPLERS))
def test_points_of_every_sampler_and_any_number_are_right(how: str, shapes: list[Mesh]) -> None:
    if how == "poisson":
        pytest.importorskip("open3d")
    mesh, cameras = shapes[0], around()
    for num_points in (16, 512, 1024):
        drawn = SAMPLERS[how](mesh, face_areas(mesh.vertices, mesh.faces), num_points, generator_for(0, "k"))
        assert quality_of(mesh, cameras, points_with_normals(mesh, drawn)).flags == ()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: p - [-0.05, 0, 0],
        lambda p: p - [0, 0.05, 0],
        lambda p: p - [0, 0, -0.05],
        lambda p: p * 1.05,
        lambda p: p * 0.95,
        lambda p: p * 0.5,
        lambda p: p * 100,
        lambda p: p[:, [0, 2, 1]],
        lambda p: p[:, [1, 0, 2]],
    ],
    ids=["shift x", "shift y", "shift z", "larger", "smaller", "half", "in file units", "swap y z", "swap x y"],
)
@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_points_in_a_wrong_frame_are_flagged(wrong: Callable[[np.ndarray], np.ndarray], projection: Projection) -> None:
    for mesh in (
        boxes((0, 0, 0, 3, 2, 1)),
        boxes((0, 0, 0, 3, 0.2, 0.2), (0, 0, 0, 0.2, 1.5, 0.2), (0, 0, 0, 0.2, 0.2, 2)),
        boxes((0, 0, 1, 3, 2, 1.2), (0, 0, 0, 0.2, 0.2, 1), (2.8, 0, 0, 3, 0.2, 1), (1, 1.8, 0, 1.2, 2, 1)),
    ):
        points = points_of(mesh)[:, :3]
        cameras = around(projection)
        assert quality_of(mesh, cameras, points).flags == ()
        assert FLAG in quality_of(mesh, cameras, wrong(points).astype(np.float32)).flags


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_points_are_flagged(axis: int) -> None:
    mesh = boxes((0, 0, 0, 3, 0.2, 0.2), (0, 0, 0, 0.2, 1.5, 0.2), (0, 0, 0, 0.2, 0.2, 2))
    points = points_of(mesh)
    points[:, axis] *= -1
    assert FLAG in quality_of(mesh, around(), points).flags


def test_finer_depth_gives_what_its_middle_samples_give() -> None:
    mesh = boxes((0, 0, 0, 3, 2, 1))
    cameras = around(size=60)
    lens = cameras.intrinsics * np.array([[3], [3], [1]], np.float32)
    finer = rasterize_cpu(mesh, dataclasses.replace(cameras, intrinsics=lens, image_size=180))
    alpha = finer.face[:, 1::3, 1::3] >= 0
    points = points_of(mesh)
    whole = measure_quality(alpha, finer.depth, points, cameras, 0)
    assert whole == measure_quality(alpha, np.ascontiguousarray(finer.depth[:, 1::3, 1::3]), points, cameras, 0)
    assert whole.flags == ()


def test_alpha_may_be_a_channel_of_the_views() -> None:
    mesh = boxes((0, 0, 0, 3, 2, 1))
    cameras = around(size=64)
    fragments = rasterize_cpu(mesh, cameras)
    views = np.full((12, 64, 64, 4), 77, np.uint8)
    views[..., 3] = np.where(fragments.face >= 0, 255, 0)
    points = points_of(mesh)
    expected = measure_quality(fragments.face >= 0, fragments.depth, points, cameras, 0.5)
    assert measure_quality(views[..., 3], fragments.depth, points, cameras, 0.5) == expected
    assert expected.flags == ("small_silhouette",)


def test_what_lies_behind_a_camera_says_nothing() -> None:
    """A camera amid the object: it sees some of it, and its frame cuts all silhouettes."""
    mesh = boxes((0, 0, 0, 3, 2, 1))
    pose = look_at(np.array([0.0, 0.0, 0.0]), np.array([1.0, 0.2, 0.1]))
    lens = np.array([[[32, 0, 32], [0, 32, 32], [0, 0, 1]]], np.float32)
    cameras = Cameras(pose[None].astype(np.float32), lens, "perspective", 64)
    quality = quality_of(mesh, cameras, points_of(mesh))
    assert quality.flags == ("cut_by_frame",)
    assert 0.1 < quality.points_hidden < 0.95
    assert (quality.points_off, quality.points_short) == (0, 0)


def test_a_view_with_half_of_the_points_behind_it_leaves_numbers() -> None:
    """A small face before the camera, wholly in the frame, and a large one behind it, which has all the points."""
    vertices = np.array([[-1, -1, -9], [1, -1, -9], [0, 1, -9], [-0.2, -0.2, 2], [0.2, -0.2, 2], [0, 0.2, 2.0]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    lens = np.array([[[32, 0, 32], [0, 32, 32], [0, 0, 1]]], np.float32)
    cameras = Cameras(np.eye(4, dtype=np.float32)[None], lens, "perspective", 64)
    points = np.zeros((4, 6), np.float32)
    points[:, 2] = [-9, -9, -9, 2]  # every other one
    quality = quality_of(mesh, cameras, points)
    assert quality.points_short == 0
    json.dumps(quality.values, allow_nan=False)


def test_values_are_short_in_json_and_flags_are_known() -> None:
    mesh = boxes((0, 0, 0, 3, 2, 1))
    fragments = rasterize_cpu(mesh, around(size=64))
    quality = measure_quality(fragments.face >= 0, fragments.depth, points_of(mesh), around(size=64), 1, ["a.png"])
    assert quality.flags == ("missing_texture", "small_silhouette")
    assert set(quality.flags) <= set(FLAGS)
    text = json.dumps(quality.values)
    assert list(json.loads(text)) == [
        "smallest_silhouette", "blank_views", "cut_views", "points_off", "points_hidden", "points_short",
    ]  # fmt: skip
    assert all(len(str(value).lstrip("-")) <= 8 for value in json.loads(text).values())
