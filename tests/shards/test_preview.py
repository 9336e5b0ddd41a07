import base64
import io

import numpy as np
import pytest
from PIL import Image

from shards.pages.preview import (
    MAX_POINTS,
    MAX_SIDE,
    PALETTE,
    UNLABELLED,
    camera_angles,
    drawn_points,
    label_colors,
    packed_cloud,
    small_picture,
    visible_channel,
)


def test_cloud_in_whole_numbers() -> None:
    points = np.array([[1, 2, 3, 0, 0, 1], [3, 2, 3, 0, -1, 0], [2, 2, 3, 1, 0, 0]], np.float32)
    cloud = packed_cloud({"points": points, "part": np.array([0, -1, 1], np.int32)})
    assert (cloud["count"], cloud["total"]) == (3, 3)
    xyz = np.frombuffer(base64.b64decode(cloud["xyz"]), "<i2").reshape(3, 3)
    assert xyz.tolist() == [[-32767, 0, 0], [32767, 0, 0], [0, 0, 0]]
    normal = np.frombuffer(base64.b64decode(cloud["normal"]), np.int8).reshape(3, 3)
    assert normal.tolist() == [[0, 0, 127], [0, -127, 0], [127, 0, 0]]
    [(name, colors)] = cloud["layers"]
    assert name == "Parts"
    assert list(base64.b64decode(colors)) == [*PALETTE[0], *UNLABELLED, *PALETTE[1]]


@pytest.mark.parametrize(
    ("total", "count"), [(0, 0), (1, 1), (MAX_POINTS, MAX_POINTS), (3 * MAX_POINTS + 7, MAX_POINTS)]
)
def test_large_clouds_are_thinned_evenly(total: int, count: int) -> None:
    points = np.zeros((total, 6), np.float32)
    points[:, 0] = np.arange(total)
    cloud = packed_cloud({"points": points})
    assert (cloud["count"], cloud["total"], cloud["layers"]) == (count, total, [])
    x = np.frombuffer(base64.b64decode(cloud["xyz"]), "<i2").reshape(-1, 3)[:, 0].astype(int)
    assert len(x) == count
    assert (np.diff(x) >= 0).all()
    if count > 1:
        assert x[0] == -32767
        assert x[-1] > 32600


def test_angles_of_known_cameras() -> None:
    from_front = [[0, 1, 0, 0], [0, 0, -1, 0], [-1, 0, 0, 3], [0, 0, 0, 1]]  # at +x, looks along -x, up is +z
    rolled = [[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 3], [0, 0, 0, 1]]  # the same, its right side up
    above = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]]  # at +z, looks down
    angles = camera_angles(np.array([from_front, rolled, above], np.float32))
    assert angles[0] == [0, 0, 0]
    assert angles[1] == pytest.approx([0, 0, np.pi / 2], abs=1e-4)
    assert angles[2][1] == pytest.approx(np.pi / 2, abs=1e-4)


def test_labels_start_over_and_grey_has_no_label() -> None:
    colors = label_colors(np.array([0, len(PALETTE), -1, 1]))
    assert (colors[0] == colors[1]).all()
    assert tuple(colors[2]) == UNLABELLED
    assert (colors[3] != colors[0]).any()


def test_depth_is_stretched_over_the_object() -> None:
    depth = np.array([[0, 100], [200, 65535]], np.uint16)
    picture = visible_channel("depth", depth, None)
    assert picture[..., 3].tolist() == [[0, 255], [255, 0]]
    assert picture[0, 1, 0] == 235
    assert picture[1, 0, 0] == 45
    view = np.zeros((2, 2, 2), np.uint8)
    view[0, 0, 1] = 255
    assert visible_channel("depth", depth, view)[..., 3].tolist() == [[255, 0], [0, 0]]  # the view's alpha wins
    assert not visible_channel("depth", np.zeros((2, 2), np.uint16), None).any()


def test_labels_and_normals_as_pictures() -> None:
    parts = visible_channel("part", np.array([[0, 3]], np.uint16), None)
    assert parts[0, 1].tolist() == [*PALETTE[2], 255]  # pixels hold label + 1
    assert parts[0, 0, 3] == 0
    view = np.full((1, 2, 2), 255, np.uint8)
    assert visible_channel("part", np.array([[0, 3]], np.uint16), view)[0, 0].tolist() == [*UNLABELLED, 255]
    normal = np.full((1, 2, 3), 90, np.uint8)
    assert visible_channel("normal", normal, None)[0, 1].tolist() == [90, 90, 90, 255]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_small_pictures(channels: int) -> None:
    data = small_picture(np.full((400, 200, channels), 255, np.uint8))
    with Image.open(io.BytesIO(data), formats=("WEBP",)) as picture:
        assert picture.size == (MAX_SIDE // 2, MAX_SIDE)
    assert small_picture(np.full((400, 200, channels), 255, np.uint8)) == data


def test_drawn_points_hide_what_lies_behind() -> None:
    # Seen from azimuth 0 and elevation 30 degrees, two points on one line of sight: the nearer one faces the viewer.
    toward = np.array([np.cos(np.pi / 6), 0, np.sin(np.pi / 6)])
    near, far = np.hstack([toward, toward]), np.hstack([-toward, [0, 1, 0]])
    image = drawn_points(np.stack([near, far]).astype(np.float32), 0.0, 65)
    assert image.shape == (65, 65, 2)
    assert (image[..., 1] > 0).sum() == 4
    assert set(image[..., 0][image[..., 1] > 0].tolist()) == {210}
    assert not drawn_points(np.zeros((0, 6), np.float32), 0.0, 8)[..., 1].any()
