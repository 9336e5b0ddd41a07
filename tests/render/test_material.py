"""Colours, materials and textures, through `shade`."""

import dataclasses

import numpy as np
import pytest

from render.appearance import Appearance, Material, Texture, Wrap
from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Projection
from render.errors import RenderError
from render.rendering import supersampled
from render.shading.shade import shade
from render.shading.shade_config import ShadeConfig
from tests.render.surfaces import FOUR, MATERIAL, camera_above, drawn, quad, textured


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_texture_lies_the_right_way_up(projection: Projection) -> None:
    views = drawn(quad(textured(FOUR)), camera_above(8, projection), MATERIAL)[0]
    for row, column, color in ((0, 0, FOUR[0, 0]), (0, 7, FOUR[0, 1]), (7, 0, FOUR[1, 0]), (7, 7, FOUR[1, 1])):
        assert views[row, column].tolist() == [*color, 255]


def test_a_magnified_texture_is_bilinear() -> None:
    views = drawn(quad(textured(FOUR)), camera_above(8), MATERIAL)[0].astype(float)
    # Pixel centres lie at (i + .5) / 8 of the texture, its texel centres at .25 and .75.
    share = np.clip(((np.arange(8) + 0.5) / 8 - 0.25) * 2, 0, 1)
    across = FOUR[:, None, 0] * (1 - share)[:, None] + FOUR[:, None, 1] * share[:, None]  # (2, 1, 8, 3)
    expected = across[0] * (1 - share)[:, None, None] + across[1] * share[:, None, None]
    np.testing.assert_allclose(views[..., :3], expected, atol=0.5001)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("size", [256, 200, 333])
def test_a_minified_checkerboard_is_mid_grey(size: int, projection: Projection) -> None:
    checker = (np.indices((size, size)).sum(axis=0) % 2 * 255).astype(np.uint8)
    appearance = textured(np.repeat(checker[..., None], 3, axis=2), wrap="repeat")
    for tilt in (0, 50):
        views = drawn(quad(appearance, tilt), camera_above(16, projection), MATERIAL)
        grey = views[views[..., 3] > 0][:, :3].astype(int)
        assert len(grey) > 100
        assert np.abs(grey - 127.5).max() < 4


@pytest.mark.parametrize(
    ("wrap", "expected"), [("repeat", [1, 0, 1, 0]), ("clamp", [0, 0, 1, 1]), ("mirror", [0, 0, 1, 1])]
)
def test_wrap_modes_on_a_quad(wrap: Wrap, expected: list[int]) -> None:
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    # Texture coordinates from -.5 to 1.5; pixel centres at -.25, .25, .75, 1.25, which are texel centres.
    views = drawn(quad(textured(ends, 2, wrap, -0.5)), camera_above(4), MATERIAL)
    assert (views[0, 1, :, 0] / 255).tolist() == expected


def test_perspective_textures_do_not_swim() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[::-1, None, None], 3, axis=2).repeat(4, axis=1)
    cameras = camera_above(32, "perspective")
    mesh = quad(textured(ramp), tilt=50)
    views = drawn(mesh, cameras, MATERIAL)[0, :, 16]
    rows = np.flatnonzero(views[:, 3])[1:-1]
    # The line of sight (x, y, 1) t meets y' = y t = s cos, z = 2 - s sin, where s is the way up the tilted square.
    tilt, y = np.deg2rad(50), -(rows + 0.5 - 16) / 32
    s = 2 * y / (np.cos(tilt) + y * np.sin(tilt))
    np.testing.assert_allclose(views[rows, 0], (s + 1) / 2 * 256 - 0.5, atol=1.5)


def test_a_palette_does_not_bleed() -> None:
    palette = np.zeros((64, 64, 3), np.uint8)
    palette[:32, :32] = 255, 128, 0
    spot = np.full((2, 3, 2), [16 / 64, 1 - 16 / 64], np.float32)
    flat = Appearance((Material(texture=Texture(palette)),), np.zeros(2, np.int32), spot)
    for tilt in (0, 86):
        views = drawn(quad(flat, tilt), camera_above(32, "perspective"), MATERIAL)
        assert np.unique(views[views[..., 3] > 0], axis=0).tolist() == [[255, 128, 0, 255]]
    # A gradient within one swatch, seen at a grazing angle, may not blur across the palette.
    whole = textured(palette).corner_uv
    assert whole is not None
    gradient = (spot + np.float32(4 / 64) * whole).astype(np.float32)
    near = dataclasses.replace(flat, corner_uv=gradient)
    views = drawn(quad(near, 86), camera_above(32, "perspective"), MATERIAL)
    assert views[..., 3].any()
    assert np.unique(views[views[..., 3] > 0], axis=0).tolist() == [[255, 128, 0, 255]]


def test_corner_colours_interpolate_and_multiply() -> None:
    corner = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    colors = np.stack([corner[[0, 1, 2]], corner[[0, 2, 3]]])
    appearance = Appearance((Material((1.0, 0.5, 0.25)),), np.zeros(2, np.int32), corner_color=colors)
    views = drawn(quad(appearance), camera_above(8), MATERIAL)[0]
    # Row 6, column 5: x = .375, y = -.625, in the lower right face.
    weights = np.array([1 - (1.375 / 2), 1.375 / 2 - 0.375 / 2, 0.375 / 2])
    np.testing.assert_allclose(views[6, 5, :3], weights * 255 * [1, 0.5, 0.25], atol=0.5001)
    tinted = Material((0.2, 0.4, 1), Texture(FOUR, ("clamp", "clamp")))
    both = dataclasses.replace(textured(FOUR), materials=(tinted,), corner_color=colors)
    views = drawn(quad(both), camera_above(8), MATERIAL)[0]
    # Row 7, column 7 shows the yellow texel: x = .875, y = -.875.
    np.testing.assert_allclose(views[7, 7, :3], [255 * 0.2 / 16, 255 * 0.4 * 14 / 16, 0], atol=0.5001)


def test_each_face_has_its_material() -> None:
    appearance = Appearance((Material((1, 0, 0)), Material((0, 0, 1))), np.array([1, 0], np.int32))
    for normals in ("flat", "smooth"):
        config = MATERIAL.model_copy(update={"normals": normals})
        views = drawn(quad(appearance), camera_above(8), config)[0]
        assert views[6, 7].tolist() == [0, 0, 255, 255]
        assert views[1, 0].tolist() == [255, 0, 0, 255]


def test_light_multiplies_the_colours() -> None:
    views = drawn(quad(textured(FOUR), tilt=60), camera_above(8), ShadeConfig(appearance="material"))[0]
    assert views[2, 0].tolist() == [round(255 * 0.6), 0, 0, 255]


def test_antialiased_textures_take_finer_levels() -> None:
    stripes = np.zeros((8, 24, 3), np.uint8)
    stripes[:, ::2] = 255
    cameras = camera_above(8)
    mesh = quad(textured(stripes))
    plain = drawn(mesh, cameras, MATERIAL)[0, 4, 1:7, 0]
    soft = shade(mesh, cameras, rasterize_cpu(mesh, supersampled(cameras)), MATERIAL)[0, 4, 1:7, 0]
    # Three stripes a pixel: nine samples see one stripe each, while the filter blurs over more than a pixel.
    assert soft.tolist() == [170, 85, 170, 85, 170, 85][::-1]
    assert np.ptp(plain.astype(int)) < 85


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"face_material": np.array([0, 1], np.int32)}, "names material 1 of 1"),
        ({"face_material": np.array([-1, 0], np.int32)}, "names material -1 of 1"),
        ({"face_material": np.zeros(3, np.int32)}, r"face_material is \(3,\)"),
        ({"corner_uv": np.zeros((2, 3), np.float32)}, r"corner_uv is \(2, 3\)"),
        ({"corner_uv": None}, "needs corner_uv"),
        ({"corner_color": np.zeros((1, 3, 3), np.uint8)}, r"corner_color is \(1, 3, 3\)"),
        ({"corner_color": np.zeros((2, 3, 3), np.float32)}, "must be uint8"),
        ({"materials": (Material(texture=Texture(FOUR[..., :2])),)}, r"must be \(h, w, 3\) uint8"),
    ],
)
def test_an_appearance_that_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    appearance = dataclasses.replace(textured(FOUR), **change)  # type: ignore[arg-type]
    with pytest.raises(RenderError, match=message):
        drawn(quad(appearance), camera_above(), MATERIAL)
