"""Colours of mesh files as the sRGB bytes and fractions that `render.appearance` holds."""

import numpy as np
import numpy.typing as npt


def color_bytes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours as sRGB bytes, the shape of ``values``.

    Files write colours as 0..1 or as 0..255 and do not say which: a file with any number above 1 means 0..255. What lies
    outside is clipped, and NaN is 0.
    """
    finite = np.nan_to_num(values, nan=0.0, posinf=1e9, neginf=0.0)
    scale = 1.0 if finite.size and finite.max() > 1 else 255.0
    scaled: npt.NDArray[np.uint8] = np.rint(np.clip(finite * scale, 0, 255)).astype(np.uint8)
    return scaled


def srgb_from_linear(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Linear light as sRGB fractions, clipped to 0..1, the shape of ``values``.

    Source: IEC 61966-2-1.
    """
    linear = np.clip(np.nan_to_num(values, nan=0.0), 0, 1)
    curve: npt.NDArray[np.float64] = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055
    )
    return curve
