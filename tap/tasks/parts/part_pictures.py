"""Shapes coloured by part, truth above prediction, as one picture. Knows arrays, no model. Legend: N points."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#222222", "#777777"
PART_COLORS = (
    "#1f77b4", "#e6550d", "#2ca25f", "#9e3d9e", "#e3b505", "#c51b50", "#17becf", "#8c564b", "#7f7f7f", "#98df8a", "#ff9896",
)  # fmt: skip
AZIMUTH, ELEVATION = 35.0, 20.0  # degrees, of the camera from +x toward +y and above the ground
_INCHES, _DPI = 1.6, 130


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentedShape:
    """One shape.

    Attributes:
        name: its category.
        points: (N, 3) float32, +z up.
        truth: (N,) integers from 0, the place of each point's part among those of the category.
        predicted: (N,) integers, likewise.
        iou: of the prediction.
    """

    name: str
    points: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    iou: float


def draw_parts(file: Path, shapes: Sequence[SegmentedShape], title: str) -> None:
    """Writes a PNG, a column a shape: the true parts above the predicted ones.

    Args:
        file: where to; its folder is made.
        shapes: at least one.
        title: stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    head, side = 0.62, 0.3  # inches
    width, height = max(4.5, len(shapes) * _INCHES + side), 2 * _INCHES + head
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(shapes), squeeze=False)
    figure.subplots_adjust(left=side / width, right=1.0, bottom=0.0, top=1 - head / height, wspace=0.02, hspace=0.02)
    for column, shape in zip(grid.T, shapes, strict=True):
        place, nearness = _seen(shape.points)
        for axes, labels in zip(column, (shape.truth, shape.predicted), strict=True):
            _draw(axes, place, nearness, labels)
        column[0].set_title(f"{shape.name}  {shape.iou:.0%}", fontsize=8, color=INK, pad=2)
    for axes, name in zip(grid[:, 0], ("true", "predicted"), strict=True):
        axes.text(
            -0.02, 0.5, name, rotation=90, ha="right", va="center", fontsize=8, color=FAINT, transform=axes.transAxes
        )
    figure.text(0.5, 1 - 0.08 / height, title, ha="center", va="top", fontsize=9.5, color=INK)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(
        file, metadata={"Software": None}
    )  # without matplotlib's version: the bytes depend on the picture alone


def _seen(points: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places (N, 2) to the right and up, and nearness (N,), in parallel projection."""
    azimuth, elevation = np.deg2rad([AZIMUTH, ELEVATION])
    backward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    up = np.cross(backward, right)
    return points @ np.stack([right, up], axis=1), points @ backward


def _draw(
    axes: "Axes", place: npt.NDArray[np.float64], nearness: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> None:
    order = np.argsort(nearness, kind="stable")  # nearer points cover farther ones
    colors = [PART_COLORS[label % len(PART_COLORS)] for label in labels[order].tolist()]
    axes.scatter(place[order, 0], place[order, 1], c=colors, s=max(1.0, 4000.0 / len(place)), linewidths=0)
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axes.axis("off")
