"""Quality of a sample, measured on what is stored: pictures against points, through the cameras. Flags never stop a render."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from render.camera import Cameras

BLANK_VIEW = "blank_view"
CUT_BY_FRAME = "cut_by_frame"
SMALL_SILHOUETTE = "small_silhouette"
POINTS_OFF_SURFACE = "points_off_surface"
MISSING_TEXTURE = "missing_texture"
FLAGS = {
    BLANK_VIEW: "a view shows nothing",
    CUT_BY_FRAME: "a silhouette touches the edge of its image",
    SMALL_SILHOUETTE: "a view covers less than min_silhouette of its pixels",
    POINTS_OFF_SURFACE: "points and pictures do not belong together",
    MISSING_TEXTURE: "a picture that a material names could not be read",
}

_NUM_CHECKED = 512
_IN_FRONT = 0.02  # share of the object's extent by which a point may float before the pictured surface
_AT_SURFACE = 0.002  # the same for a point that counts as pictured: rounding, and curvature within a pixel
# Of 1,207 psb29 meshes at 224 pixels and 8,192 points, right points have at most .004 off, .74 hidden, and none short; 99 % are
# flagged when their points are shifted by 5 % of the radius, 96 % when enlarged by 5 %, 94 % when shrunk.
_MOST_OFF = 0.02
_MOST_HIDDEN = 0.95
_MOST_SHORT = 0.006
_SHORT_BY_CHANCE = 30.0  # over the number of points: few points seldom lie near the very ends of the object


@dataclasses.dataclass(frozen=True)
class Quality:
    """What was measured of a sample, and what is worth a look.

    Attributes:
        smallest_silhouette: share of pixels covered in the view that covers least, blank ones aside; 0 if all are blank.
        blank_views: how many views show nothing.
        cut_views: how many silhouettes touch the edge of their image.
        points_off: share of the checked points that no view pictures and some view contradicts.
        points_hidden: share of the checked points that no view pictures: inside, below, or not where they should be.
        points_short: how far inside the silhouettes the points would stay on a side, were there more of them, as a share of
            the silhouettes' size; median over sides and uncut views; below 0 where they go beyond.
        flags: keys of ``FLAGS``, sorted.
    """

    smallest_silhouette: float
    blank_views: int
    cut_views: int
    points_off: float
    points_hidden: float
    points_short: float
    flags: tuple[str, ...]

    @property
    def values(self) -> dict[str, float]:
        """The measured values by name, rounded to six digits: they are stored as text with each sample."""
        named = dataclasses.asdict(self)
        del named["flags"]
        return {name: round(value, 6) for name, value in named.items()}


def measure_quality(
    alpha: npt.NDArray[Any],
    depth: npt.NDArray[np.float32],
    points: npt.NDArray[np.float32],
    cameras: Cameras,
    min_silhouette: float,
    missing_textures: Sequence[str] = (),
) -> Quality:
    """Quality of one sample.

    Args:
        alpha: (V, H, W) bool or uint8, 0 where the picture is empty; need not be contiguous.
        depth: (V, H, W) float32 camera z in world units, inf where empty; or an odd number of times finer along each side.
        points: (P, 3 or more) float32, xyz first, world.
        cameras: the V cameras of the pictures, H pixels a side.
        min_silhouette: share of a view's pixels below which its silhouette is small.
        missing_textures: of the mesh's appearance.

    Returns:
        Quality. Up to 512 points, evenly by index, are held against each view. A view contradicts a point inside its frame
        when it draws nothing within a pixel of it, or only what lies farther by more than 2 % of the object's extent; it
        pictures a point whose depth lies between those drawn around it. ``points_off_surface`` is set when more than 2 %
        are off, more than 95 % hidden, or all points together short by more than .006 + 30 / P. (Points of structures thinner
        than a pixel are contradicted by some views and pictured by others, so they are not off.)
    """
    alpha = alpha.view(np.uint8) if alpha.dtype == np.bool_ else alpha
    size = alpha.shape[1]
    covered, boxes = np.zeros(len(alpha), np.int64), np.empty((len(alpha), 4), np.int64)
    _measure_silhouettes(alpha, covered, boxes)
    cut = (covered > 0) & ((boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2:] == size - 1).any(axis=1))
    smallest = float(covered[covered > 0].min() / size**2) if covered.any() else 0.0
    points_off, points_hidden = _contradictions(alpha, depth, points, cameras)
    points_short = _shortfall(points, cameras, boxes[(covered > 0) & ~cut], np.flatnonzero((covered > 0) & ~cut))
    found = {
        BLANK_VIEW: not covered.all(),
        CUT_BY_FRAME: bool(cut.any()),
        SMALL_SILHOUETTE: 0.0 < smallest < min_silhouette,
        POINTS_OFF_SURFACE: points_off > _MOST_OFF
        or points_hidden > _MOST_HIDDEN
        or points_short > _MOST_SHORT + _SHORT_BY_CHANCE / len(points),
        MISSING_TEXTURE: len(missing_textures) > 0,
    }
    flags = tuple(sorted(flag for flag, is_found in found.items() if is_found))
    num_blank, num_cut = int((covered == 0).sum()), int(cut.sum())
    return Quality(smallest, num_blank, num_cut, points_off, points_hidden, points_short, flags)


def _contradictions(
    alpha: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32], points: npt.NDArray[np.float32], cameras: Cameras
) -> tuple[float, float]:
    """The shares of points that are off and hidden."""
    checked = np.ascontiguousarray(points[:: -(-len(points) // _NUM_CHECKED), :3], np.float64)
    extent = float(np.ptp(checked, axis=0).max())
    off, seen = np.zeros(len(checked), np.bool_), np.zeros(len(checked), np.bool_)
    pose, intrinsics = cameras.world_to_camera.astype(np.float64), cameras.intrinsics.astype(np.float64)
    tolerances = (_IN_FRONT * extent, _AT_SURFACE * extent)
    _compare(checked, pose, intrinsics, cameras.projection == "parallel", alpha, depth, tolerances, off, seen)
    return float((off & ~seen).mean()), float((~seen).mean())


def _shortfall(
    points: npt.NDArray[np.float32], cameras: Cameras, boxes: npt.NDArray[np.int64], views: npt.NDArray[np.int64]
) -> float:
    """Median over some views and their four sides of how far inside the silhouette all points stay, over its size."""
    if not len(views) or len(points) < 2:
        return 0.0
    pose, intrinsics, reached = cameras.world_to_camera[views], cameras.intrinsics[views], np.empty((2, len(views), 4))
    _reach(np.ascontiguousarray(points[:, :3].T), pose, intrinsics, cameras.projection == "parallel", reached)
    tells = np.isfinite(reached).all(axis=(0, 2))  # others have half of the points behind them, and say nothing
    if not tells.any():
        return 0.0
    reached, boxes = reached[:, tells], boxes[tells]
    # From the centres of the outermost pixels: the silhouette goes as far at least.
    inside = np.concatenate([reached[..., :2] - (boxes[:, :2] + 0.5), (boxes[:, 2:] + 0.5) - reached[..., 2:]], axis=2)
    of_all, of_half = inside.min(axis=0), inside.mean(axis=0)
    # Few points lie near the tip of a spike. The gap they leave falls with the root of their number: extrapolate it away.
    inside = of_all - (of_half - of_all) / (np.sqrt(2) - 1)
    widths = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) + 1
    return float(np.median(inside / widths[:, None]))


@njit(nogil=True, cache=True, error_model="numpy")
def _measure_silhouettes(alpha, covered, boxes):  # type: ignore[no-untyped-def]
    """The number of covered pixels of each view, and the box around them: left, top, right, bottom pixel."""
    num_views, size = alpha.shape[0], alpha.shape[1]
    for view in range(num_views):
        left, top, right, bottom = size, size, -1, -1
        for row in range(size):
            count = 0
            for column in range(size):
                count += alpha[view, row, column] != 0
            if count == 0:
                continue
            covered[view] += count
            top, bottom = min(top, row), row
            column = 0
            while column < left and alpha[view, row, column] == 0:
                column += 1
            left = min(left, column)
            column = size - 1
            while column > right and alpha[view, row, column] == 0:
                column -= 1
            right = max(right, column)
        boxes[view, 0], boxes[view, 1], boxes[view, 2], boxes[view, 3] = left, top, right, bottom


@njit(nogil=True, cache=True, error_model="numpy")
def _reach(points, pose, intrinsics, parallel, reached):  # type: ignore[no-untyped-def]
    """The least u and v and the largest u and v of every other point (3, P), and of the rest, in each view, in pixels."""
    for half in range(2):
        for view in range(len(pose)):
            to, lens = pose[view], intrinsics[view]
            left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
            for i in range(half, points.shape[1], 2):
                x, y, z = points[0, i], points[1, i], points[2, i]
                u = to[0, 0] * x + to[0, 1] * y + to[0, 2] * z + to[0, 3]
                v = to[1, 0] * x + to[1, 1] * y + to[1, 2] * z + to[1, 3]
                if not parallel:
                    place = to[2, 0] * x + to[2, 1] * y + to[2, 2] * z + to[2, 3]
                    if not place > 0.0:
                        continue
                    u, v = u / place, v / place
                left, right = min(left, u), max(right, u)
                top, bottom = min(top, v), max(bottom, v)
            found = reached[half, view]
            found[0], found[2] = left * lens[0, 0] + lens[0, 2], right * lens[0, 0] + lens[0, 2]
            found[1], found[3] = top * lens[1, 1] + lens[1, 2], bottom * lens[1, 1] + lens[1, 2]


@njit(nogil=True, cache=True, error_model="numpy")
def _compare(points, pose, intrinsics, parallel, alpha, depth, tolerances, off, seen):  # type: ignore[no-untyped-def]
    """Hold each point against each view; the projection is that of `render.camera.project`."""
    size = alpha.shape[1]
    finer = depth.shape[1] // size
    middle = finer // 2
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for view in range(len(pose)):
            to, lens = pose[view], intrinsics[view]
            place = to[2, 0] * x + to[2, 1] * y + to[2, 2] * z + to[2, 3]
            scale = 1.0 if parallel else 1.0 / place
            u = (to[0, 0] * x + to[0, 1] * y + to[0, 2] * z + to[0, 3]) * scale * lens[0, 0] + lens[0, 2]
            v = (to[1, 0] * x + to[1, 1] * y + to[1, 2] * z + to[1, 3]) * scale * lens[1, 1] + lens[1, 2]
            if not (0.0 <= u < size and 0.0 <= v < size and (parallel or place > 0.0)):  # nor where it is not a number
                continue
            nearest, farthest = np.inf, -np.inf
            column, row = int(u), int(v)
            for r in range(max(row - 1, 0), min(row + 2, size)):
                for c in range(max(column - 1, 0), min(column + 2, size)):
                    if alpha[view, r, c] != 0:
                        surface = depth[view, r * finer + middle, c * finer + middle]
                        nearest, farthest = min(nearest, surface), max(farthest, surface)
            rounding = 1e-5 * abs(place)
            seen[i] |= nearest - tolerances[1] - rounding <= place <= farthest + tolerances[1] + rounding
            off[i] |= place < nearest - tolerances[0] - rounding
