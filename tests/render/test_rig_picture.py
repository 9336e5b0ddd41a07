import io

import numpy as np
import pytest
from PIL import Image

from render.camera import Projection
from render.rig import Viewpoint, load_rig
from render.rigs.rig_picture import rig_picture
from render.rigs.rig_scene import object_views, view_label, view_places
from render.shapes.families import make_shape

MESH = make_shape("chair", np.random.default_rng(1))


def picture(spec: str, projection: Projection) -> np.ndarray:
    content = rig_picture(load_rig(spec)(Viewpoint(48, projection)), MESH, title=spec)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.float64)


@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_a_picture_shows_cameras_object_and_views(projection: Projection) -> None:
    image = picture("axes6", projection)
    assert image.shape == (900, 1600, 3)
    assert (image[[0, -1]] == 255).all()  # nothing is cut off above and below
    assert (image[:, [0, -1]] == 255).all()
    colourful = image.max(axis=-1) - image.min(axis=-1) > 40
    ink = image.min(axis=-1) < 250
    assert colourful[:, :900].mean() > 0.005  # glyphs and axes
    assert (ink & ~colourful)[:, :900].mean() > 0.01  # the grey object
    for row in range(3):  # six framed views in two columns
        for column in range(2):
            top, left = 80 + 270 * row, 920 + 270 * column
            inside = ink[top + 60 : top + 220, left + 40 : left + 220]
            assert inside.mean() > 0.05, (row, column)


def test_equal_input_gives_equal_bytes() -> None:
    cameras = load_rig("random:3")(Viewpoint(48, "perspective"))
    assert rig_picture(cameras, MESH, title="a") == rig_picture(cameras, MESH, title="a")


def test_object_views_have_the_pixels_asked_for() -> None:
    cameras = load_rig("axes6")(Viewpoint(48, "parallel"))
    views = object_views(MESH, cameras, "z", 96)
    assert views.shape == (6, 96, 96, 4)
    assert views.dtype == np.uint8
    rows = np.flatnonzero(views[0, ..., 3].any(axis=1))  # the chair's height within the sphere's 200 / 224
    assert 5 <= rows.min() <= 30
    assert 65 <= rows.max() <= 91


def test_views_from_one_place_share_a_label() -> None:
    places = view_places(load_rig("mvcnn80")(Viewpoint(48, "perspective")))
    assert places == [[4 * vertex + roll for roll in range(4)] for vertex in range(20)]
    assert view_places(load_rig("axes6")(Viewpoint(48, "parallel"))) == [[view] for view in range(6)]


@pytest.mark.parametrize(
    ("views", "label"),
    [([7], "7"), ([3, 4], "3, 4"), ([4, 5, 6, 7], "4-7"), ([0, 2, 9], "0, 2, 9"), ([0, 2, 4, 6, 8], "0, 2, 4, 6, ...")],
)
def test_labels_name_their_views(views: list[int], label: str) -> None:
    assert view_label(views) == label
