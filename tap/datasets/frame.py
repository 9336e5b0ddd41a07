"""The way of a stored cloud into the one frame that all clouds are trained in.

World frame: +z up, the mean of the points at the origin, the farthest point at distance 1.
"""

import numpy as np
import numpy.typing as npt

from tap.datasets.source import UpAxis
from tap.errors import TapError
from tap.photos.clouds import Cloud, centred

Floats = npt.NDArray[np.float32]


def to_our_frame(
    points: npt.NDArray[np.floating], normals: npt.NDArray[np.floating] | None, up: UpAxis
) -> tuple[Floats, Floats | None]:
    """A cloud with +z up, the mean of its points at the origin and the farthest at distance 1.

    With y up, (x, y, z) becomes (x, -z, y), as `tap render --up y` has it. The renderer takes the centroid of the mesh's
    surface and its farthest vertex, which are not in a file of points. The mean of points drawn evenly from the surface comes
    close (2,048 points of the 1,207 meshes of psb29: .01 from the centroid in the median, .04 at most), that of a cloud that is
    denser on one side does not.

    Args:
        points: (N, 3), the file's frame and units.
        normals: (N, 3) of any length, 0 where a point has none; or None.
        up: the file's up axis.

    Returns:
        Points (N, 3) float32, and normals (N, 3) float32 of length 1, or 0 where a point has none; None where none came.

    Raises:
        TapError: no points, points or normals that are not finite, or all points are one.
    """
    if not len(points):
        raise TapError("the cloud has no points")
    for name, values in (("points", points), ("normals", normals)):
        wrong = 0 if values is None else int((~np.isfinite(values).all(axis=1)).sum())
        if wrong:
            raise TapError(f"{wrong:,} of {len(points):,} {name} are not finite (NaN or infinite)")
    turned = centred(Cloud(points, None if normals is None else _unit(normals)), up)
    return turned.points.astype(np.float32, copy=False), _float32(turned.normals)


def _unit(normals: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = normals.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = wide / np.where(lengths > 0, lengths, 1.0)
    return unit


def _float32(values: npt.NDArray[np.floating] | None) -> Floats | None:
    return None if values is None else values.astype(np.float32, copy=False)
