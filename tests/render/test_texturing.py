from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from render.appearance import Texture, Wrap
from render.errors import RenderError
from render.shading.texturing import mip_level, pyramids_of, sample_texture


def sampled(texture: Texture, u: float, v: float, level: float = 0.0) -> npt.NDArray[np.float64]:
    pyramids = pyramids_of([texture])
    return np.array(sample_texture(pyramids.texels, pyramids.level[0], *pyramids.wrap[0], u, v, level))


def copy_of(texture: Texture, level: int) -> npt.NDArray[np.uint8]:
    pyramids = pyramids_of([texture])
    start, height, width = pyramids.level[0, level]
    return pyramids.texels[start : start + height * width].reshape(height, width, 3)


def grey(rows: list[list[int]], wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")) -> Texture:
    return Texture(np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2), wrap)


def test_a_pyramid_by_hand() -> None:
    texture = grey([[0, 4, 10, 10], [8, 4, 10, 12], [1, 1, 2, 1], [0, 0, 2, 1]])
    # Means 4, 10.5, 0.5, 1.5: halves go to the even neighbour.
    assert copy_of(texture, 1)[..., 0].tolist() == [[4, 10], [0, 2]]
    assert copy_of(texture, 2)[..., 0].tolist() == [[4]]
    pyramids = pyramids_of([texture, grey([[7]])])
    assert pyramids.last.tolist() == [2, 0]
    assert pyramids.level[1].tolist() == [[21, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_odd_sides_give_each_texel_its_share() -> None:
    assert copy_of(grey([[30, 60, 90]]), 1)[..., 0].tolist() == [[60]]
    # Five to two: [a, b, half of c], [half of c, d, e], each over 2.5.
    row = [10, 20, 100, 200, 250]
    assert copy_of(grey([row]), 1)[0, :, 0].tolist() == [round((10 + 20 + 50) / 2.5), round((50 + 200 + 250) / 2.5)]


@pytest.mark.parametrize("shape", [(64, 64), (1, 33), (37, 1), (100, 7), (255, 129)])
def test_every_copy_keeps_the_mean(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    pyramids = pyramids_of([Texture(pixels)])
    for level in range(int(pyramids.last[0]) + 1):
        copy = copy_of(Texture(pixels), level).astype(float)
        assert copy.shape[:2] == tuple(max(side >> level, 1) for side in shape)
        np.testing.assert_allclose(copy.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=1.5)


def test_texel_centres_and_the_way_up() -> None:
    texture = grey([[10, 20], [30, 40]])  # the first row is the top, where v = 1
    assert sampled(texture, 0.25, 0.75)[0] == 10
    assert sampled(texture, 0.75, 0.75)[0] == 20
    assert sampled(texture, 0.25, 0.25)[0] == 30
    assert sampled(texture, 0.75, 0.25)[0] == 40
    assert sampled(texture, 0.5, 0.75)[0] == 15
    assert sampled(texture, 0.5, 0.5)[0] == 25
    assert sampled(texture, 0.625, 0.75)[0] == 17.5


def test_channels_stay_apart() -> None:
    texture = Texture(np.array([[[10, 20, 30], [50, 40, 70]]], np.uint8))
    np.testing.assert_allclose(sampled(texture, 0.5, 0.1), [30, 30, 50])


@pytest.mark.parametrize(
    ("wrap", "u", "expected"),
    [
        ("repeat", 1.125, 10), ("repeat", -0.125, 40), ("repeat", 0.0, 25), ("repeat", 7.375, 20), ("repeat", 1.0, 25),
        ("clamp", 1.7, 40), ("clamp", -9.0, 10), ("clamp", 0.0, 10), ("clamp", 1.0, 40),
        ("mirror", 1.125, 40), ("mirror", -0.125, 10), ("mirror", 1.375, 30), ("mirror", 0.0, 10), ("mirror", 2.375, 20),
        ("mirror", -1.125, 40), ("repeat", float("nan"), 25), ("clamp", float("inf"), 10), ("repeat", -1e-18, 25),
    ],
)  # fmt: skip
def test_wrap_modes(wrap: Wrap, u: float, expected: float) -> None:
    texture = grey([[10, 20, 30, 40]], (wrap, "clamp"))
    assert sampled(texture, u, 0.5)[0] == pytest.approx(expected)
    upright = grey([[40], [30], [20], [10]], ("clamp", wrap))
    assert sampled(upright, 0.5, u)[0] == pytest.approx(expected)


def test_levels_are_mixed() -> None:
    texture = grey([[0, 0, 200, 200]] * 4, ("clamp", "clamp"))
    assert sampled(texture, 0.1, 0.5, 0)[0] == 0
    assert sampled(texture, 0.1, 0.5, 2)[0] == 100
    assert sampled(texture, 0.1, 0.5, 1.25)[0] == pytest.approx(25)


@pytest.mark.parametrize(
    ("u_x", "u_y", "v_x", "v_y", "extent", "expected"),
    [
        (4, 0, 0, 4, 1e9, 2), (8, 0, 0, 2, 1e9, 3), (0, 2, -2, 0, 1e9, 1),
        (0.3, 0, 0, 0.9, 1e9, 0), (0, 0, 0, 0, 0, 0),
        (4 * 0.6, -4 * 0.8, 4 * 0.8, 4 * 0.6, 1e9, 2),  # turned
        (1024, 0, 0, 2, 64.0, 3),  # edge-on: not beyond the 8 texels of the face
        (1024, 0, 0, 16, 64.0, 4),  # but as far as the short side
        (float("inf"), 0, 0, float("nan"), 16.0, 2),
    ],
)  # fmt: skip
def test_levels_by_hand(u_x: float, u_y: float, v_x: float, v_y: float, extent: float, expected: float) -> None:
    assert mip_level(float(u_x), float(u_y), float(v_x), float(v_y), float(extent)) == pytest.approx(expected)


def test_pixels_of_another_kind_are_refused() -> None:
    wrong: list[npt.NDArray[Any]] = [np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3))]
    for pixels in wrong:
        with pytest.raises(RenderError, match=r"must be \(h, w, 3\) uint8"):
            pyramids_of([Texture(pixels)])
    with pytest.raises(RenderError, match="no pixels"):
        pyramids_of([Texture(np.zeros((0, 2, 3), np.uint8))])
