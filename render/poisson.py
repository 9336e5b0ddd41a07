"""Poisson-disk sampling of a surface: thinning many random points to a few that keep their distance, by Open3D.

Open3D eliminates; the points it starts from are ours, so their faces are known, faces that must not be sampled are not, and
nothing is left to chance: the result is a function of the points alone, whatever the number of threads.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from render.errors import RenderError

_NUM_PROBES = 128
_MOST_NEIGHBORS = 20.0
_MOST_STEPS = 20


def poisson_subset(points: npt.NDArray[np.float64], area: float, num_samples: int) -> npt.NDArray[np.int64]:
    """Indices of points that keep about the same distance from each other (blue noise).

    Args:
        points: (N, 3) float64, finite, uniformly random on a surface; four times num_samples, as the authors have it.
        area: of that surface, in square units of the points, above 0.
        num_samples: S, at most N.

    Returns:
        (S,) int64, ascending.

    Raises:
        RenderError: Open3D does not import.

    Source: Yuksel, Sample Elimination for Generating Poisson Disk Sample Sets (Eurographics 2015), in Open3D.
    """
    open3d = _open3d()
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    # Colours go with their points untouched: they carry the index.
    numbers = np.repeat(np.arange(len(points), dtype=np.float64)[:, None], 3, axis=1)
    cloud.colors = open3d.utility.Vector3dVector(numbers)
    # When the cloud is given, Open3D asks the mesh for nothing but its area: one right triangle serves.
    legs = np.array([[0.0, 0.0, 0.0], [2.0 * _flat_area(area, points, num_samples), 0.0, 0.0], [0.0, 1.0, 0.0]])
    triangle = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(legs), open3d.utility.Vector3iVector(np.array([[0, 1, 2]], np.int32))
    )
    kept = np.asarray(triangle.sample_points_poisson_disk(num_samples, pcl=cloud).colors)[:, 0].astype(np.int64)
    if len(kept) < num_samples:  # nothing promises the full number for degenerate points: top up with the first others
        others = np.setdiff1d(np.arange(len(points)), kept)
        kept = np.sort(np.concatenate([kept, others[: num_samples - len(kept)]]))
    return kept


def _flat_area(area: float, points: npt.NDArray[np.float64], num_samples: int) -> float:
    """The area that the surface would have if its layers were one: the given one, or less.

    Open3D takes the distance to keep from the area, as if the surface lay flat. Where layers lie close together, as in models
    with insides, no such distance can be kept, and the elimination then keeps none: neighbours came nearer than in
    area-weighted sampling, and a thicket of faces took minutes. So the distance is reduced, through the area, until about as
    many points lie within it as on a flat surface (15.5). This departs from the authors for layered surfaces alone.
    """
    every = max(1, len(points) // _NUM_PROBES)
    for _ in range(_MOST_STEPS):  # points that coincide stay neighbours for ever
        neighbors = _mean_neighbors(points, 4 * area / (num_samples * 2 * np.sqrt(3)), every)
        if neighbors <= _MOST_NEIGHBORS:
            break
        # Their number grows with the radius squared on a surface, and cubed in a thicket: the shorter step.
        area *= float((0.9 * _MOST_NEIGHBORS / neighbors) ** (2 / 3))
    return area


@njit(nogil=True, cache=True, error_model="numpy")
def _mean_neighbors(points, squared_radius, step):  # type: ignore[no-untyped-def]
    """How many points lie within the radius of a point, itself included; the mean over each step-th point."""
    found, asked = 0, 0
    for i in range(0, len(points), step):
        asked += 1
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for j in range(len(points)):
            dx, dy, dz = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
            found += dx * dx + dy * dy + dz * dz <= squared_radius
    return found / asked


def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:  # OSError: a system library that it links is missing
        raise RenderError(
            f"points=poisson: Open3D does not import ({error}); install it, or use points=area or points=farthest"
        ) from error
    return open3d
