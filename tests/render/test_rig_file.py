import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from render.errors import RenderError
from render.rig import Viewpoint, load_rig, mvcnn12
from render.viewpoint import camera_angles


def test_a_rig_from_toml_and_json_by_angles(tmp_path: Path) -> None:
    toml, text = tmp_path / "rig.toml", tmp_path / "rig.json"
    toml.write_text("[[views]]\nazimuth = 0\nelevation = 30\n[[views]]\nazimuth = 90\nelevation = 30\nroll = 0\n")
    text.write_text(json.dumps({"views": [{"azimuth": 0, "elevation": 30}, {"azimuth": 90, "elevation": 30}]}))
    expected = mvcnn12(Viewpoint(64, "parallel"))
    for path in (toml, text):
        rig = pickle.loads(pickle.dumps(load_rig(str(path))))  # worker processes carry it
        cameras = rig(Viewpoint(64, "parallel"))
        np.testing.assert_allclose(cameras.world_to_camera, expected.world_to_camera[[0, 3]], atol=1e-6)
        np.testing.assert_array_equal(cameras.intrinsics, expected.intrinsics[:2])


def test_a_rig_file_may_roll_its_cameras(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text("[[views]]\nazimuth = 40\nelevation = -10\nroll = 15\n")
    angles = camera_angles(load_rig(str(path))(Viewpoint(64, "parallel")))
    np.testing.assert_allclose(angles, [[40, -10, 15, 2]])


def test_a_rig_from_json_by_matrices(tmp_path: Path) -> None:
    expected = mvcnn12(Viewpoint(64, "perspective"))
    path = tmp_path / "rig.json"
    views = [
        {"world_to_camera": pose.tolist(), "intrinsics": intrinsics.tolist()}
        for pose, intrinsics in zip(expected.world_to_camera, expected.intrinsics, strict=True)
    ]
    path.write_text(json.dumps({"image_size": 64, "views": views}))
    cameras = load_rig(str(path))(Viewpoint(64, "perspective"))
    np.testing.assert_array_equal(cameras.world_to_camera, expected.world_to_camera)
    with pytest.raises(RenderError, match="image_size 64, the render asks for 32"):
        load_rig(str(path))(Viewpoint(32, "perspective"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read the rig"),
        ("{}", "needs a list 'views'"),
        ('{"views": [], "image-size": 3}', "unknown key 'image-size'"),
        ('{"views": [{"azimuth": 3}]}', "view 0 has"),
        ('{"views": [{"azimuth": 3, "elevation": 0, "zoom": 1}]}', "view 0 has"),
        ('{"views": [{"azimuth": "north", "elevation": 0}]}', "rig.json"),
        ('{"views": [{"azimuth": 1e400, "elevation": 0}]}', "rig.json: an angle is not a finite number"),
        ('{"views": [{"azimuth": ' + "9" * 400 + ', "elevation": 0}]}', "rig.json: int too large"),
        ("[" * 100_000, "cannot read the rig: maximum recursion depth"),
    ],
)
def test_a_broken_rig_file_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "rig.json"
    path.write_text(content)
    with pytest.raises(RenderError, match=message):
        load_rig(str(path))(Viewpoint(64, "parallel"))
