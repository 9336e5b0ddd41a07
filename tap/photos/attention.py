"""Which cells of a photo to show, and how much each of them looked at each point; made ready for `tap.photos.pictures`.

Legend: P points, V views, G tokens, h w cells.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from render.camera import Cameras, project
from tap.errors import TapError
from tap.ops import interpolate, three_nearest
from tap.photos.clouds import Cloud
from tap.photos.photographer import Attention, FloatArray
from tap.photos.pictures import Look, LookedView

NUM_VIEWS, NUM_CELLS = 4, 3  # shown where none are named


def looked_views(
    attention: Attention,
    photos: FloatArray,
    cloud: Cloud,
    cameras: Cameras,
    views: Sequence[int] = (),
    cells: Sequence[tuple[int, int]] = (),
) -> dict[int, LookedView]:
    """Some views with some of their cells, for `tap.photos.pictures.draw_attention`.

    Args:
        attention: of the photos.
        photos: (V, 3, H, W) float32.
        cloud: that was photographed, world frame.
        cameras: V that took them.
        views: which; empty for some spread over all.
        cells: (row, column) of each view; empty for some that show the object.

    Returns:
        By the number of the view.

    Raises:
        TapError: a view or a cell that there is not.
    """
    num_views, side = attention.weights.shape[:2]
    spread = np.linspace(0, num_views, min(NUM_VIEWS, num_views), endpoint=False).astype(int).tolist()
    chosen = list(dict.fromkeys(views)) or spread
    for view in chosen:
        if not 0 <= view < num_views:
            raise TapError(f"--view {view}: there are the views 0 to {num_views - 1}")
    for row, column in cells:
        if not (0 <= row < side and 0 <= column < side):
            raise TapError(f"--cell {row},{column}: rows and columns go from 0 to {side - 1}")
    scale = photos.shape[-1] / cameras.image_size
    looked = {}
    for view in chosen:
        pixels, depth = _projected(cloud, cameras, view)
        shown = list(dict.fromkeys(cells)) or object_cells(cloud, cameras, view, side, NUM_CELLS)
        looks = [_look(attention, cloud, view, cell) for cell in shown]
        looked[view] = LookedView(photos[view], pixels * scale, depth, side, looks)
    return looked


def _look(attention: Attention, cloud: Cloud, view: int, cell: tuple[int, int]) -> Look:
    share = float(attention.weights[view, cell[0], cell[1]].sum())
    return Look(cell, spread_over_points(attention, cloud.points, view, cell), share)


def object_cells(cloud: Cloud, cameras: Cameras, view: int, cells: int, number: int) -> list[tuple[int, int]]:
    """Cells of a view that show the object, far from each other.

    Args:
        cloud: P points in the world frame.
        cameras: V of them.
        view: which.
        cells: along a side.
        number: of cells wanted; fewer come back where the object covers fewer.

    Returns:
        (row, column) each, in the order of rows.
    """
    pixels, depth = _projected(cloud, cameras, view)
    place = np.floor(pixels[depth > 0] * (cells / cameras.image_size)).astype(np.int64)  # (P, 2) column, row
    place = place[((place >= 0) & (place < cells)).all(axis=1)]
    counts = np.zeros((cells, cells), np.int64)
    np.add.at(counts, (place[:, 1], place[:, 0]), 1)
    if not counts.any():
        return []
    candidates = np.argwhere(counts >= 0.5 * counts[counts > 0].mean())  # a cell at the rim shows little of it
    chosen = [int(counts[candidates[:, 0], candidates[:, 1]].argmax())]
    while len(chosen) < min(number, len(candidates)):
        distances = np.linalg.norm(candidates[:, None] - candidates[chosen], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    return sorted((int(row), int(column)) for row, column in candidates[chosen])


def spread_over_points(attention: Attention, points: FloatArray, view: int, cell: tuple[int, int]) -> FloatArray:
    """How much each point was looked at: its three nearest tokens' weights, nearer ones counting for more.

    Args:
        attention: of some photos.
        points: (P, 3) float32, world frame.
        view: of the photos.
        cell: (row, column).

    Returns:
        (P,) float32, over the largest weight of any token: 1 at the token that was looked at most.
    """
    weights = torch.from_numpy(attention.weights[view, cell[0], cell[1]])[None, :, None]  # (1, G, 1)
    index, weight = three_nearest(torch.from_numpy(points)[None], torch.from_numpy(attention.centers)[None])
    spread: FloatArray = (interpolate(weights, index, weight) / weights.max().clamp(min=1e-12))[0, :, 0].numpy()
    return spread


def _projected(cloud: Cloud, cameras: Cameras, view: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Where the points lie in the image, (P, 2), and how far away, (P,)."""
    parallel = np.array(float(cameras.projection == "parallel"))
    return project(cloud.points, cameras.world_to_camera[view], cameras.intrinsics[view], parallel)
