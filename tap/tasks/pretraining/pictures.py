"""Generated beside true views, as one picture a person can judge at a glance. Knows arrays, no model.

Legend: V views, C channels of all targets, H W pixels.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tap.targets import TARGETS, channel_slices

FloatArray = npt.NDArray[np.float32]
BLOCKS = 2  # objects side by side
INK, FAINT = "#222222", "#888888"


@dataclasses.dataclass(frozen=True)
class Pair:
    """One target of an object.

    Attributes:
        target: its name.
        generated: (V, 3, H, W) float32 in [0, 1].
        true: (V, 3, H, W) float32 in [0, 1].
    """

    target: str
    generated: FloatArray
    true: FloatArray


@dataclasses.dataclass(frozen=True)
class Shown:
    """One object.

    Attributes:
        name: its category.
        pairs: what is shown of it, from top to bottom.
        labels: V names of the views.
    """

    name: str
    pairs: Sequence[Pair]
    labels: Sequence[str]


def pictures_of(images: FloatArray, mask: npt.NDArray[np.bool_], targets: Sequence[str]) -> dict[str, FloatArray]:
    """Pictures of each target, by target.

    Args:
        images: (V, C, H, W) float32 in [0, 1].
        mask: (V, H, W), the true silhouettes.
        targets: names, in the order of the channels.

    Returns:
        (V, 3, H, W) float32 each: depth from bright (near) to dark (far), normals with xyz as red, green, blue, the
        silhouette black. What a model is asked for on the silhouette alone is shown there alone, over white.
    """
    from matplotlib import colormaps

    pictures: dict[str, FloatArray] = {}
    for name, part in channel_slices(targets).items():
        picture = images[:, part]
        if name == "depth":
            picture = colormaps["viridis"](1.0 - picture[:, 0])[..., :3].astype(np.float32).transpose(0, 3, 1, 2)
        elif name == "mask":
            picture = np.repeat(1.0 - picture, 3, axis=1)
        if not TARGETS[name].background_weight:
            picture = np.where(mask[:, None], picture, np.float32(1.0))
        pictures[name] = picture
    return pictures


def view_labels(world_to_camera: FloatArray) -> list[str]:
    """Where each camera stands: azimuth from +x toward +y, degrees.

    Args:
        world_to_camera: (V, 4, 4) float32.
    """
    backward = -world_to_camera[:, 2, :3]
    azimuth = np.rad2deg(np.arctan2(backward[:, 1], backward[:, 0])).round().astype(int) % 360
    return [f"{angle}°" for angle in azimuth]


def draw_views(file: Path, shown: Sequence[Shown], title: str) -> None:
    """Writes a PNG: of each object the generated views above the true ones, two objects side by side.

    Args:
        file: where to; its folder is made.
        shown: objects with the same targets and equally many views of one size.
        title: stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    views, _, height, width = shown[0].pairs[0].true.shape
    num_pairs = len(shown[0].pairs)
    rows, row_height = -(-len(shown) // BLOCKS), 2 * num_pairs + 0.25
    blocks = min(BLOCKS, len(shown))
    figure = Figure(figsize=(blocks * (views + 0.7) * 1.0, rows * row_height + 0.6), facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, blocks, squeeze=False)
    figure.subplots_adjust(
        left=0.05,
        right=0.995,
        bottom=0.01,
        top=1 - 0.55 / (rows * row_height + 0.6),
        wspace=0.1,
        hspace=0.315 / row_height,
    )
    figure.suptitle(title, fontsize=11, color=INK, y=0.995, va="top")
    for panel in grid.flat:
        panel.axis("off")
    for panel, one in zip(grid.flat, shown, strict=False):
        _draw_object(panel, one, height, width)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def _draw_object(panel: Any, one: Shown, height: int, width: int) -> None:
    """Fills one panel: a row of generated and one of true views for each target, with their names at the left."""
    strips = [_row(images) for pair in one.pairs for images in (pair.generated, pair.true)]
    panel.imshow(np.concatenate(strips).clip(0, 1), interpolation="nearest")
    for number, label in enumerate(one.labels):
        panel.text((number + 0.5) * width, -0.03 * height, label, ha="center", va="bottom", fontsize=7, color=FAINT)
    upright = {"rotation": 90, "ha": "center", "va": "center"}
    panel.text(-0.3 * width, len(one.pairs) * height, one.name, fontsize=10, color=INK, **upright)
    for number, pair in enumerate(one.pairs):
        if len(one.pairs) == 1 or number:  # between the two rows, or between two targets
            panel.axhline((2 * number + (len(one.pairs) == 1)) * height - 0.5, color=FAINT, lw=0.6)
        for row, kind in enumerate(("generated", "true")):
            text = kind if len(one.pairs) == 1 else f"{kind} {pair.target}"
            panel.text(-0.08 * width, (2 * number + row + 0.5) * height, text, fontsize=7, color=FAINT, **upright)


def _row(images: FloatArray) -> FloatArray:
    """(V, 3, H, W) as one strip (H, V W, 3)."""
    return np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1)
