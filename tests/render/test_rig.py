import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from render.camera import PROJECTIONS, Cameras, Projection, project
from render.errors import RenderError
from render.rig import RIGS, Rig, Viewpoint, checked_cameras, load_rig, mvcnn12


def three_views(viewpoint: Viewpoint) -> Cameras:
    """A rig of a user's own; found by its import path below."""
    cameras = mvcnn12(viewpoint)
    return Cameras(cameras.world_to_camera[:3], cameras.intrinsics[:3], cameras.projection, cameras.image_size)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("name", sorted(RIGS))
def test_every_rig_keeps_its_contract(name: str, projection: Projection) -> None:
    viewpoint = Viewpoint(96, projection, seed=3, key="a")
    cameras, again = RIGS[name](viewpoint), RIGS[name](viewpoint)
    assert cameras.world_to_camera.dtype == np.float32
    assert cameras.image_size == 96
    np.testing.assert_array_equal(cameras.world_to_camera, again.world_to_camera)
    _, depth = project(np.zeros((1, 1, 3)), cameras.world_to_camera, cameras.intrinsics, projection == "parallel")
    assert (depth > 1).all(), "the unit sphere lies wholly before every camera"


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_mvcnn12_shows_the_unit_sphere_in_200_of_224_pixels(projection: Projection) -> None:
    cameras = mvcnn12(Viewpoint(224, projection))
    sphere = np.random.default_rng(0).normal(size=(200_000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    pixels, _ = project(sphere[None], cameras.world_to_camera, cameras.intrinsics, projection == "parallel")
    assert pixels.min(axis=(0, 1)) == pytest.approx([12, 12], abs=0.02)
    assert pixels.max(axis=(0, 1)) == pytest.approx([212, 212], abs=0.02)


def test_mvcnn12_stands_where_the_paper_says() -> None:
    cameras = mvcnn12(Viewpoint(224, "perspective"))
    pose = cameras.world_to_camera.astype(np.float64)
    centers = -np.einsum("vji,vj->vi", pose[:, :3, :3], pose[:, :3, 3])
    azimuth = np.rad2deg(np.arctan2(centers[:, 1], centers[:, 0])) % 360
    elevation = np.rad2deg(np.arcsin(centers[:, 2] / np.linalg.norm(centers, axis=1)))
    np.testing.assert_allclose(azimuth, np.arange(0, 360, 30), atol=1e-4)
    np.testing.assert_allclose(elevation, 30, atol=1e-4)
    assert 2 * np.rad2deg(np.arctan(112 / cameras.intrinsics[0, 0, 0])) == pytest.approx(40)


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
    ],
)
def test_a_broken_rig_file_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "rig.json"
    path.write_text(content)
    with pytest.raises(RenderError, match=message):
        load_rig(str(path))(Viewpoint(64, "parallel"))


def test_a_rig_by_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert load_rig("test_rig:three_views")(Viewpoint(32, "parallel")).num_views == 3


def returns_nothing(viewpoint: Viewpoint) -> None:
    """Not a rig."""


def fails(viewpoint: Viewpoint) -> Cameras:
    """A rig with a bug."""
    raise ZeroDivisionError("no views today")


@pytest.mark.parametrize(
    ("rig", "message"), [(returns_nothing, "returns NoneType"), (fails, "ZeroDivisionError: no views today")]
)
def test_a_users_mistakes_are_told_as_such(rig: Rig, message: str) -> None:
    with pytest.raises(RenderError, match=f"rig 'mine': .*{message}"):
        checked_cameras("mine", rig, Viewpoint(32, "parallel"))


@pytest.mark.parametrize(
    "spec",
    ["nowhere.at_all:rig", "render.rig:nothing", "render.rig:FIELD_OF_VIEW", "mvcnn13", ":f", ".a:f", "5"],
)
def test_an_unknown_rig_is_refused(spec: str) -> None:
    with pytest.raises(RenderError, match="rig"):
        load_rig(spec)
