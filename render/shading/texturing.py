"""Reading textures with a filter: pyramids of ever smaller copies, sampled between texels and between copies.

Texel centres lie at +0.5, v points upward, row 0 is the top. All averages are taken of sRGB values, as old renderers do.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from render.appearance import Texture
from render.errors import RenderError

_WRAPS = {"repeat": 0, "clamp": 1, "mirror": 2}


class Pyramids(NamedTuple):
    """Some textures, each with its smaller copies down to one texel, as compiled loops take them.

    Attributes:
        texels: (T, 3) uint8 sRGB, one copy after the other.
        level: (num_textures, num_levels, 3) int64: where a copy starts, its height, its width; 0 beyond the last.
        last: (num_textures,) int64, the coarsest level.
        wrap: (num_textures, 2) int64 along u and v: 0 repeat, 1 clamp, 2 mirror.
    """

    texels: npt.NDArray[np.uint8]
    level: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    wrap: npt.NDArray[np.int64]


def pyramids_of(textures: Sequence[Texture]) -> Pyramids:
    """The textures with all their smaller copies.

    Args:
        textures: any sizes, not only powers of two.

    Returns:
        Pyramids; each copy has half the size (rounded down) and is the exact average of the one before.

    Raises:
        RenderError: pixels that are not (h, w, 3) uint8, or none.
    """
    rows: list[list[tuple[int, int, int]]] = []
    start = 0
    for texture in textures:
        if texture.pixels.ndim != 3 or texture.pixels.shape[2] != 3 or texture.pixels.dtype != np.uint8:
            raise RenderError(f"texture {texture.pixels.shape} {texture.pixels.dtype}: must be (h, w, 3) uint8")
        if not texture.pixels.size:
            raise RenderError(f"texture {texture.pixels.shape}: it has no pixels")
        height, width = texture.pixels.shape[:2]
        rows.append([])
        while True:
            rows[-1].append((start, height, width))
            start += height * width
            if height == width == 1:
                break
            height, width = max(height // 2, 1), max(width // 2, 1)
    texels = np.empty((start, 3), np.uint8)
    level = np.zeros((len(rows), max((len(row) for row in rows), default=0), 3), np.int64)
    for i, (texture, row) in enumerate(zip(textures, rows, strict=True)):
        level[i, : len(row)] = row
        texels[row[0][0] : row[0][0] + row[0][1] * row[0][2]] = texture.pixels.reshape(-1, 3)
        for fine, coarse in itertools.pairwise(row):
            _halve(texels, *fine, *coarse)
    last = np.array([len(row) - 1 for row in rows], np.int64)
    wrap = np.array([[_WRAPS[way] for way in texture.wrap] for texture in textures], np.int64).reshape(-1, 2)
    return Pyramids(texels, level, last, wrap)


@njit(nogil=True, cache=True)
def _halve(texels, start, height, width, to, to_height, to_width):  # type: ignore[no-untyped-def]
    """Average one copy into the next; halves are rounded to even, since rounding up would brighten every level."""
    if height % 2 == 0 and width % 2 == 0:
        for row in range(to_height):
            upper, lower, target = start + 2 * row * width, start + (2 * row + 1) * width, to + row * to_width
            for column in range(to_width):
                left, right = 2 * column, 2 * column + 1
                for channel in range(3):
                    above = np.int32(texels[upper + left, channel]) + np.int32(texels[upper + right, channel])
                    below = np.int32(texels[lower + left, channel]) + np.int32(texels[lower + right, channel])
                    texels[target + column, channel] = (above + below + 1 + (((above + below) >> 2) & 1)) >> 2
        return
    for row in range(to_height):
        for column in range(to_width):
            for channel in range(3):
                total, weight = 0, 0
                for i in range(2 + height % 2 if height > 1 else 1):
                    across = _share(height, to_height, row, i)
                    for j in range(2 + width % 2 if width > 1 else 1):
                        share = across * _share(width, to_width, column, j)
                        total += share * int(texels[start + (2 * row + i) * width + 2 * column + j, channel])
                        weight += share
                whole, rest = total // weight, 2 * (total % weight)
                texels[to + row * to_width + column, channel] = whole + (
                    rest > weight or (rest == weight and whole & 1)
                )


@njit(nogil=True, cache=True)
def _share(size, half, target, tap):  # type: ignore[no-untyped-def]
    """The share, as an integer, of texel 2 target + tap in a texel of the next copy."""
    if size % 2 == 0 or size == 1:
        return 1
    if tap == 1:
        return half
    return half - target if tap == 0 else target + 1


@njit(nogil=True, cache=True, error_model="numpy")
def mip_level(u_x, u_y, v_x, v_y, extent):  # type: ignore[no-untyped-def]
    """The level whose texels are as large as a pixel's footprint; 0 where the texture is magnified.

    The footprint's long side decides, but it blurs no farther than the face's own patch of the texture reaches, unless
    the short side does: palettes would bleed on faces that are seen edge-on.

    Args:
        u_x: texels along u from a pixel to the next along x; likewise ``u_y``, ``v_x``, ``v_y``.
        u_y: see ``u_x``.
        v_x: see ``u_x``.
        v_y: see ``u_x``.
        extent: square of the face's longest edge on the texture, texels.
    """
    total, area = u_x * u_x + u_y * u_y + v_x * v_x + v_y * v_y, u_x * v_y - u_y * v_x
    if not total < 1e30:  # seen edge-on
        footprint = extent
    else:
        root = np.sqrt(max(total * total - 4.0 * area * area, 0.0))
        footprint = min((total + root) / 2.0, max((total - root) / 2.0, extent))
    return 0.5 * np.log2(footprint) if footprint > 1.0 else 0.0


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def sample_texture(texels, sizes, wrap_u, wrap_v, u, v, level):  # type: ignore[no-untyped-def]
    """Red, green, blue (0..255) at (u, v), linear between texels and between the two nearest levels.

    Args:
        texels: of the `Pyramids`, all of them.
        sizes: (num_levels, 3) of one texture, see `Pyramids.level`.
        wrap_u: what lies outside 0..1 along u; likewise ``wrap_v``.
        wrap_v: see ``wrap_u``.
        u: texture coordinate; likewise ``v``.
        v: see ``u``.
        level: 0 to the coarsest.
    """
    u, v = _wrapped(u, wrap_u), _wrapped(v, wrap_v)
    base = int(level)
    share = level - base
    red, green, blue, weight = 0.0, 0.0, 0.0, 1.0 - share
    for i in range(base, base + (2 if share > 0.0 else 1)):
        r, g, b = _bilinear(texels, sizes[i, 0], sizes[i, 1], sizes[i, 2], wrap_u == 0, wrap_v == 0, u, v)
        red, green, blue = red + weight * r, green + weight * g, blue + weight * b
        weight = share
    return red, green, blue


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _wrapped(coordinate, wrap):  # type: ignore[no-untyped-def]
    """The coordinate that shows the same, within 0..1."""
    if not abs(coordinate) < 1e15:  # NaN, or beyond any texture
        return 0.0
    if wrap == 1:
        return min(max(coordinate, 0.0), 1.0)
    if wrap == 2:
        return 1.0 - abs(coordinate - 2.0 * np.floor(coordinate / 2.0) - 1.0)
    return coordinate - np.floor(coordinate)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _bilinear(texels, start, height, width, joins_u, joins_v, u, v):  # type: ignore[no-untyped-def]
    """One copy between its texels; where its ends join, the neighbour of the last texel is the first, else itself."""
    place_x, place_y = u * width + 0.5, (1.0 - v) * height + 0.5  # row 0 is the top, where v = 1
    right, below = int(place_x), int(place_y)  # of the four texels around; at least 0
    x, y = place_x - right, place_y - below
    left, above = right - 1, below - 1
    if left < 0:
        left = width - 1 if joins_u else 0
    if right >= width:
        right = 0 if joins_u else width - 1
    if above < 0:
        above = height - 1 if joins_v else 0
    if below >= height:
        below = 0 if joins_v else height - 1
    upper, lower = start + above * width, start + below * width
    a, b, c, d = upper + left, upper + right, lower + left, lower + right
    wa, wb, wc, wd = (1.0 - x) * (1.0 - y), x * (1.0 - y), (1.0 - x) * y, x * y
    return (
        wa * texels[a, 0] + wb * texels[b, 0] + wc * texels[c, 0] + wd * texels[d, 0],
        wa * texels[a, 1] + wb * texels[b, 1] + wc * texels[c, 1] + wd * texels[d, 1],
        wa * texels[a, 2] + wb * texels[b, 2] + wc * texels[c, 2] + wd * texels[d, 2],
    )
