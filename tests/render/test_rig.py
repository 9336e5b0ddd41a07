import pickle
from pathlib import Path

import numpy as np
import pytest

from render.camera import PROJECTIONS, Cameras, Projection, project
from render.errors import RenderError
from render.rig import RIG_FAMILIES, RIGS, Rig, Viewpoint, checked_cameras, load_rig, mvcnn12, rig_names
from render.viewpoint import SPHERE_FILL

SPECS = [*RIGS, *(f"{name}:{family.example}" for name, family in RIG_FAMILIES.items())]


def unit_sphere(num_points: int) -> np.ndarray:
    sphere = np.random.default_rng(0).normal(size=(num_points, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    return sphere


def three_views(viewpoint: Viewpoint) -> Cameras:
    """A rig of a user's own; found by its import path below."""
    cameras = mvcnn12(viewpoint)
    return Cameras(cameras.world_to_camera[:3], cameras.intrinsics[:3], cameras.projection, cameras.image_size)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("spec", SPECS)
def test_every_rig_keeps_its_contract(spec: str, projection: Projection) -> None:
    viewpoint = Viewpoint(96, projection, seed=3, key="a")
    rig = load_rig(spec)
    cameras = rig(viewpoint)
    again = pickle.loads(pickle.dumps(rig))(viewpoint)  # worker processes carry it
    num_views = cameras.num_views
    assert cameras.world_to_camera.shape == (num_views, 4, 4)
    assert cameras.intrinsics.shape == (num_views, 3, 3)
    assert cameras.world_to_camera.dtype == cameras.intrinsics.dtype == np.float32
    assert (cameras.image_size, cameras.projection) == (96, projection)
    np.testing.assert_array_equal(cameras.world_to_camera, again.world_to_camera)
    np.testing.assert_array_equal(cameras.intrinsics, again.intrinsics)
    rotation = cameras.world_to_camera[:, :3, :3].astype(np.float64)
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (num_views, 1, 1)), atol=1e-6)

    pixel, depth = project(np.zeros((1, 1, 3)), cameras.world_to_camera, cameras.intrinsics, projection == "parallel")
    np.testing.assert_allclose(pixel, 48, atol=1e-4)  # it looks at the origin
    assert (depth > 1).all(), "the unit sphere lies wholly before every camera"

    pixels, _ = project(unit_sphere(20_000), cameras.world_to_camera, cameras.intrinsics, projection == "parallel")
    half = SPHERE_FILL * 48
    np.testing.assert_allclose(pixels.min(axis=1), 48 - half, atol=0.05)
    np.testing.assert_allclose(pixels.max(axis=1), 48 + half, atol=0.05)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_mvcnn12_shows_the_unit_sphere_in_200_of_224_pixels(projection: Projection) -> None:
    cameras = mvcnn12(Viewpoint(224, projection))
    pixels, _ = project(
        unit_sphere(200_000)[None], cameras.world_to_camera, cameras.intrinsics, projection == "parallel"
    )
    assert pixels.min(axis=(0, 1)) == pytest.approx([12, 12], abs=0.02)
    assert pixels.max(axis=(0, 1)) == pytest.approx([212, 212], abs=0.02)


MY_RIGS = '''\
import numpy as np

from render import Cameras
from render.rig import Viewpoint, cameras_around


def tilted(viewpoint: Viewpoint) -> Cameras:
    """Six cameras from above and six from below, in turn."""
    azimuths = np.arange(12) * 30.0
    elevations = np.where(np.arange(12) % 2, -20.0, 40.0)
    return cameras_around(azimuths, elevations, viewpoint)
'''


def test_a_rig_in_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's example, found by its import path."""
    (tmp_path / "my_rigs_of_a_test.py").write_text(MY_RIGS)
    monkeypatch.syspath_prepend(str(tmp_path))
    rig = load_rig("my_rigs_of_a_test:tilted")
    cameras = checked_cameras("tilted", pickle.loads(pickle.dumps(rig)), Viewpoint(224, "parallel"))
    heights = -cameras.world_to_camera[:, 2, 2]  # of the direction that a camera looks from
    np.testing.assert_allclose(heights, np.tile(np.sin(np.deg2rad([40, -20])), 6), atol=1e-6)


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
    ["nowhere.at_all:rig", "render.rig:nothing", "render.rig:FIELD_OF_VIEW", "mvcnn13", ":f", ".a:f", "5", ""],
)
def test_an_unknown_rig_is_refused(spec: str) -> None:
    with pytest.raises(RenderError, match="rig"):
        load_rig(spec)


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(RenderError) as caught:
        load_rig("mvcnn13")
    assert rig_names() == [*RIGS, "orbit:N,ELEVATION", "fibonacci:N", "random:N"]
    assert all(name in str(caught.value) for name in rig_names())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("orbit", "rig 'orbit': wants orbit:N,ELEVATION, e.g. orbit:12,30"),
        ("orbit:12", "rig 'orbit:12': wants orbit:N,ELEVATION, e.g. orbit:12,30"),
        ("orbit:12,30,1", "rig 'orbit:12,30,1': wants orbit:N,ELEVATION, e.g. orbit:12,30"),
        ("orbit:12,up", "e.g. orbit:12,30 (ELEVATION is 'up', not a number from -89 to 89)"),
        ("orbit:12,90", "(ELEVATION is '90', not a number from -89 to 89)"),
        ("orbit:12,nan", "(ELEVATION is 'nan', not a number from -89 to 89)"),
        ("orbit:2.5,30", "(N is '2.5', not a whole number from 1 to 1000)"),
        ("fibonacci:0", "(N is '0', not a whole number from 1 to 1000)"),
        ("fibonacci:1001", "(N is '1001', not a whole number from 1 to 1000)"),
        ("random:", "wants random:N, e.g. random:8 (N is '', not a whole number from 1 to 1000)"),
        ("mvcnn12:3", "rig 'mvcnn12:3': mvcnn12 takes no arguments; leave out ':3'"),
    ],
)
def test_wrong_arguments_are_told_with_the_form(spec: str, message: str) -> None:
    with pytest.raises(RenderError) as caught:
        load_rig(spec)
    assert message in str(caught.value)


@pytest.mark.parametrize("spec", ["orbit:1,-89", "orbit:1000,89", "fibonacci:1", "random:1000"])
def test_the_bounds_are_allowed(spec: str) -> None:
    num_views = load_rig(spec)(Viewpoint(32, "parallel")).num_views
    assert num_views == int(spec.partition(":")[2].split(",")[0])
