import numpy as np
import pytest

from render.appearance import Texture, Wrap
from render.shading.texture_lookup import texture_colors

# Two rows of three texels; the picture's upper row is red, green, blue.
PIXELS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [51, 102, 153]]], np.uint8)


def looked_up(*uv: tuple[float, float], wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")) -> np.ndarray:
    return texture_colors(Texture(PIXELS, wrap), np.array(uv, np.float32)) * 255


def test_texel_centres_have_their_own_colours_and_v_points_upward() -> None:
    us, vs = np.meshgrid((np.arange(3) + 0.5) / 3, [0.75, 0.25])
    colors = texture_colors(Texture(PIXELS), np.stack([us.ravel(), vs.ravel()], axis=1))
    np.testing.assert_allclose(colors * 255, PIXELS.reshape(-1, 3), atol=1e-9)


def test_between_texels_colours_are_mixed_linearly() -> None:
    np.testing.assert_allclose(looked_up((1 / 3, 0.75)), [[127.5, 127.5, 0]], atol=1e-3)
    np.testing.assert_allclose(looked_up((1 / 6, 0.5)), [[127.5, 0, 0]], atol=1e-3)
    np.testing.assert_allclose(looked_up((0.25, 0.75)), [[191.25, 63.75, 0]], atol=1e-3)  # a quarter of a texel on


@pytest.mark.parametrize(
    ("wrap", "beyond", "edge"),
    [
        ("repeat", [255, 0, 0], [127.5, 0, 127.5]),
        ("clamp", [0, 0, 255], [0, 0, 255]),
        ("mirror", [0, 0, 255], [0, 0, 255]),
    ],
)
def test_wrap_modes_along_u(wrap: Wrap, beyond: list[float], edge: list[float]) -> None:
    colors = looked_up((1 + 1 / 6, 0.75), (1.0, 0.75), (-1e-7, 0.75), wrap=(wrap, "clamp"))
    np.testing.assert_allclose(colors[0], beyond, atol=1e-3)
    np.testing.assert_allclose(colors[1], edge, atol=1e-3)
    np.testing.assert_allclose(colors[2], edge if wrap == "repeat" else [255, 0, 0], atol=1e-3)


def test_wrap_modes_along_v_and_far_away() -> None:
    centre = 1 / 6
    np.testing.assert_allclose(looked_up((centre, 1.25)), [[0, 0, 0]], atol=1e-3)  # repeated: the lower row again
    np.testing.assert_allclose(looked_up((centre, 1.25), wrap=("repeat", "mirror")), [[255, 0, 0]], atol=1e-3)
    np.testing.assert_allclose(looked_up((centre, -99.0), wrap=("repeat", "clamp")), [[0, 0, 0]], atol=1e-3)
    far = looked_up((1e30, -1e30), (np.nan, np.inf), (3e6, 0.25))
    assert np.isfinite(far).all()
    np.testing.assert_allclose(far[2], looked_up((0.0, 0.25))[0], atol=1e-3)
