"""Cameras to transforms.json and back: axes by hand, exact matrices, other tools' fields, and what is refused."""

import json
import math
from typing import Any

import numpy as np
import pytest

from shards.errors import ShardError
from shards.exchange.transforms import camera_of, decode_transforms, encode_transforms

# A camera at (0, -3, 0) that looks along +y, with world +z up: right is +x, down is -z, forward is +y.
POSE = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 3], [0, 0, 0, 1]], np.float32)
MATRIX = np.array([[50.1, 0, 8.3], [0, 49.7, 7.9], [0, 0, 1]], np.float32)
IN_OPENGL = [[1, 0, 0, 0], [0, 0, -1, -3], [0, 1, 0, 0], [0, 0, 0, 1]]  # x right, y up (+z), z backwards (-y); at -3 y


def written(is_parallel: bool = False, extent: float = 1.0, focal: float = 50.0) -> dict[str, Any]:
    second = MATRIX.copy()
    second[0, 0] = focal
    pictures = [("view00.png", 16, 12, True), ("view01.png", 16, 12, False)]
    content = encode_transforms(
        np.stack([POSE, POSE]), np.stack([MATRIX, second]), is_parallel, pictures, "points.ply", extent
    )
    told: dict[str, Any] = json.loads(json.dumps(content))
    return told


def foreign(**fields: Any) -> dict[str, Any]:
    frame = {"file_path": "a.png", "transform_matrix": IN_OPENGL} | fields.pop("frame", {})
    return {"frames": [frame], **fields}


def camera(content: dict[str, Any], width: int = 16, height: int = 12, number: int = 0) -> tuple[Any, Any]:
    transforms = decode_transforms(content)
    return camera_of(transforms, transforms.frames[number], width, height)


def test_poses_are_written_in_the_axes_of_opengl() -> None:
    frame = written()["frames"][0]
    assert np.allclose(frame["transform_matrix"], IN_OPENGL, atol=1e-12)
    assert frame["file_path"] == "view00.png"
    assert frame["tap"]["grey"]


def test_lenses_stand_before_the_frames_only_if_all_are_equal() -> None:
    differing, equal = written(), written(focal=float(MATRIX[0, 0]))
    assert "fl_x" not in differing
    assert [frame["fl_x"] for frame in differing["frames"]] == [float(MATRIX[0, 0]), 50.0]
    assert (equal["fl_x"], equal["fl_y"], equal["w"], equal["h"]) == (float(MATRIX[0, 0]), float(MATRIX[1, 1]), 16, 12)
    assert all("fl_x" not in frame for frame in equal["frames"])


@pytest.mark.parametrize("is_parallel", [False, True])
def test_cameras_come_back_to_the_last_bit(is_parallel: bool) -> None:
    content = written(is_parallel)
    assert decode_transforms(content).is_parallel is is_parallel
    pose, matrix = camera(content)
    assert pose.tobytes() == POSE.tobytes()
    assert matrix.tobytes() == MATRIX.tobytes()


def test_parallel_cameras_are_told_as_each_tool_wants_them() -> None:
    content = written(is_parallel=True)
    assert (content["camera_model"], content["orthographic"], content["scale"]) == ("ORTHOPHOTO", True, 1.0)
    assert content["aabb_scale"] == 2  # [-1, 1] at scale 1
    assert written()["camera_model"] == "PINHOLE"
    assert "orthographic" not in written()


@pytest.mark.parametrize(("extent", "expected"), [(0.0, 1), (1.0, 1), (1.6, 2), (10.0, 8), (1e9, 128)])
def test_the_box_of_instant_ngp_holds_the_object(extent: float, expected: int) -> None:
    assert written(extent=extent)["aabb_scale"] == expected


def test_cameras_of_other_tools_are_turned_into_ours() -> None:
    pose, matrix = camera(foreign(camera_angle_x=math.pi / 2))
    assert np.allclose(pose, POSE, atol=1e-6)
    assert np.allclose(matrix, [[8, 0, 8], [0, 8, 6], [0, 0, 1]])
    _, matrix = camera(foreign(fl_x=5, fl_y=6, cx=1, cy=2, frame={"fl_x": 7, "cy": 3}))
    assert np.allclose(matrix, [[7, 0, 1], [0, 6, 3], [0, 0, 1]])
    _, matrix = camera(foreign(fl_x=5, camera_angle_y=math.pi / 2))
    assert np.allclose(matrix, [[5, 0, 8], [0, 6, 6], [0, 0, 1]])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (foreign(), "neither fl_x nor camera_angle_x is given"),
        (foreign(orthographic=True, camera_angle_x=1), "no fl_x is given"),
        (foreign(fl_x=5, w=15), "is 16 x 12 pixels, the file says 15 x 12"),
        (foreign(fl_x=5, frame={"h": 16}), "is 16 x 12 pixels, the file says 16 x 16"),
        (foreign(fl_x=5, k1=0.01), "k1 is given: distorted"),
        (foreign(fl_x=5, frame={"p2": -0.1}), "p2 is given: distorted"),
        (foreign(fl_x=5, distortion_params=[0, 0, 1e-3, 0, 0, 0]), "distortion_params is given"),
        (foreign(fl_x=5, is_fisheye=True), "is_fisheye is given"),
        (foreign(fl_x=5, camera_model="OPENCV_FISHEYE"), "camera_model is OPENCV_FISHEYE; samples are PINHOLE"),
        (foreign(fl_x=0), "fl_x: Input should be greater than 0"),
        (foreign(fl_x=float("nan")), "fl_x: Input should be a finite number"),
        (foreign(fl_x=5, frame={"transform_matrix": [[1, 0], [0, 1]]}), "transform_matrix"),
        (foreign(fl_x=5, frame={"transform_matrix": (2 * np.eye(4)).tolist()}), "not a rotation"),
        (foreign(fl_x=5, frame={"transform_matrix": np.diag([1, 1, -1, 1]).tolist()}), "not a rotation"),
        (foreign(fl_x=5, frame={"transform_matrix": [*np.eye(4).tolist()[:3], [0, 0, 1, 1]]}), "not a rotation"),
        ({"fl_x": 5}, "frames: Field required"),
    ],
)
def test_what_no_sample_can_have_is_told(content: dict[str, Any], told: str) -> None:
    with pytest.raises(ShardError, match=told):
        camera(content)


def test_undistorted_opencv_is_a_pinhole() -> None:
    pose, _ = camera(foreign(fl_x=5, camera_model="OPENCV", k1=0.0, p1=0, is_fisheye=False))
    assert np.allclose(pose, POSE, atol=1e-6)


def test_a_pose_that_was_changed_by_hand_is_not_overruled_silently() -> None:
    content = written()
    content["frames"][1]["transform_matrix"][0][3] += 0.5
    assert camera(content)[0].tobytes() == POSE.tobytes()
    with pytest.raises(ShardError, match=r"view01.png: its matrices under tap say another camera"):
        camera(content, number=1)
