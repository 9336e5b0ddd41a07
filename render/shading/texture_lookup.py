"""The colour of a texture at single places, at full resolution: between texels, with its wrap modes.

For points of a surface. Pictures see many texels in a pixel and filter them first: see `render.shading.texturing`, whose lookup
this is.
"""

from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from numba import njit

from render.appearance import Texture, Wrap
from render.shading.texturing import sample_texture


def texture_colors(texture: Texture, uv: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """The colours of a texture at some places, between its texels' centres.

    Args:
        texture: (h, w, 3) uint8 pixels and the wrap modes.
        uv: (P, 2) floating, v upward: (0, 0) is the lower left corner of the picture and (1, 1) the upper right one. What
            is not finite counts as 0.

    Returns:
        (P, 3) float64 sRGB in 0..1.
    """
    height, width = texture.pixels.shape[:2]
    texels = np.ascontiguousarray(texture.pixels).reshape(-1, 3)
    levels = np.array([[0, height, width]], np.int64)  # the texture itself and none of its smaller copies
    wrap_u, wrap_v = (get_args(Wrap).index(way) for way in texture.wrap)
    colors = np.empty((len(uv), 3), np.float64)
    _look_up(texels, levels, wrap_u, wrap_v, np.ascontiguousarray(uv, np.float64), colors)
    return colors


@njit(nogil=True, cache=True, error_model="numpy")
def _look_up(texels, levels, wrap_u, wrap_v, uv, colors):  # type: ignore[no-untyped-def]
    for i in range(len(uv)):
        red, green, blue = sample_texture(texels, levels, wrap_u, wrap_v, uv[i, 0], uv[i, 1], 0.0)
        colors[i, 0], colors[i, 1], colors[i, 2] = red / 255.0, green / 255.0, blue / 255.0
