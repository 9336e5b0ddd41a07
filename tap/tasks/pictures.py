"""Generated beside true views, as one picture a person can judge at a glance. Knows arrays, no model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BLOCKS = 2  # objects side by side
INK, FAINT = "#222222", "#888888"


@dataclasses.dataclass(frozen=True)
class Shown:
    """One object.

    Attributes:
        name: its category.
        generated: (V, 3, H, W) float32 in [0, 1].
        true: (V, 3, H, W) float32 in [0, 1].
        labels: V names of the views.
    """

    name: str
    generated: FloatArray
    true: FloatArray
    labels: Sequence[str]


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
        shown: objects with equally many views of one size.
        title: stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    views, _, height, width = shown[0].true.shape
    rows = -(-len(shown) // BLOCKS)
    blocks = min(BLOCKS, len(shown))
    figure = Figure(figsize=(blocks * (views + 0.7) * 1.0, rows * 2.25 + 0.6), facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, blocks, squeeze=False)
    figure.subplots_adjust(
        left=0.05, right=0.995, bottom=0.01, top=1 - 0.55 / (rows * 2.25 + 0.6), wspace=0.1, hspace=0.14
    )
    figure.suptitle(title, fontsize=11, color=INK, y=0.995, va="top")
    for panel in grid.flat:
        panel.axis("off")
    for panel, one in zip(grid.flat, shown, strict=False):
        sheet = np.concatenate([_row(one.generated), _row(one.true)])
        panel.imshow(sheet.clip(0, 1), interpolation="nearest")
        panel.axhline(height - 0.5, color=FAINT, lw=0.6)
        for number, label in enumerate(one.labels):
            place = ((number + 0.5) * width, -0.03 * height)
            panel.text(*place, label, ha="center", va="bottom", fontsize=7, color=FAINT)
        panel.text(-0.3 * width, height, one.name, rotation=90, ha="center", va="center", fontsize=10, color=INK)
        for row, kind in enumerate(("generated", "true")):
            panel.text(
                -0.08 * width,
                (row + 0.5) * height,
                kind,
                rotation=90,
                ha="center",
                va="center",
                fontsize=7,
                color=FAINT,
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def _row(images: FloatArray) -> FloatArray:
    """(V, 3, H, W) as one strip (H, V W, 3)."""
    return np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1)
