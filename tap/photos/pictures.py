"""Pictures of photos: generated beside true views, and the points that a cell looked at. Knows arrays, no model.

Legend: P points, V views, H W pixels.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float32]
INK, FAINT, LINE = "#222222", "#777777", 0.86
CELL_COLORS = ("#1f77b4", "#e6550d", "#2ca25f", "#9e3d9e", "#b8860b", "#c51b50")
MOST_SHOWN = 96  # views of the overview; of more, some evenly among them
_TILE_INCHES, _DPI = 1.3, 150
_PANEL_INCHES = 2.5
_LEAST_INCHES = 4.0  # of the overview's width, for the title


@dataclasses.dataclass(frozen=True)
class Look:
    """Where one cell of a view looked.

    Attributes:
        cell: (row, column).
        spread: (P,) float32 in [0, 1], how much each point was looked at, see `tap.photos.photographer.spread_over_points`.
        share: of all attention, that on the points' tokens, in [0, 1].
    """

    cell: tuple[int, int]
    spread: FloatArray
    share: float


@dataclasses.dataclass(frozen=True)
class LookedView:
    """A view with some of its cells.

    Attributes:
        image: (3, H, W) float32 in [0, 1], generated.
        pixels: (P, 2) float32, where the points lie in it.
        depth: (P,) float32, how far away they are.
        cells: along a side.
        looks: of some cells.
    """

    image: FloatArray
    pixels: FloatArray
    depth: FloatArray
    cells: int
    looks: Sequence[Look]


def draw_photos(file: Path, rows: Mapping[str, FloatArray], labels: Sequence[str], title: str) -> None:
    """Writes a PNG of all views in blocks, of each view one picture a row.

    Args:
        file: where to; its folder is made.
        rows: name to images (V, 1 or 3, H, W) float32, in the order from top to bottom.
        labels: V names of the views.
        title: stands above.
    """
    shown = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), MOST_SHOWN)).round().astype(int))
    columns, size = _num_columns(len(shown)), next(iter(rows.values())).shape[-1]
    gap, head = max(2, size // 28), size // 5
    blocks = -(-len(shown) // columns)
    step = (len(rows) * (size + gap) + head, size + gap)
    canvas = np.ones((blocks * step[0], columns * step[1] - gap + 2, 3), np.float32)
    inches = _TILE_INCHES / size
    width, height = canvas.shape[1] * inches, canvas.shape[0] * inches
    free = max(0.0, _LEAST_INCHES - width) / 2
    margins = (free + (0.32 if len(rows) > 1 else 0.08), free + 0.08, 0.42, 0.06)  # left, right, top, bottom
    figure, axes = _sheet(width, height, margins)
    for place, view in enumerate(shown):
        block, column = divmod(place, columns)
        corner = (block * step[0] + head, column * step[1] + 1)
        for row, images in enumerate(rows.values()):
            _paste(canvas, images[view], corner[0] + row * (size + gap), corner[1])
        axes.text(
            corner[1] + size / 2,
            corner[0] - 0.04 * size,
            labels[view],
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=FAINT,
        )
    if len(rows) > 1:
        for block in range(blocks):
            for row, name in enumerate(rows):
                middle = block * step[0] + head + row * (size + gap) + size / 2
                axes.text(-0.06 * size, middle, name, rotation=90, ha="right", va="center", fontsize=8.5, color=INK)
    axes.imshow(canvas, interpolation="antialiased")
    few = f" ({len(shown)} of {len(labels)} shown)" if len(shown) < len(labels) else ""
    figure.text(0.5, 1 - 0.12 / figure.get_figheight(), title + few, ha="center", va="top", fontsize=10, color=INK)
    _save(figure, file)


def draw_attention(file: Path, views: Mapping[str, LookedView], title: str) -> None:
    """Writes a PNG, a row a view: the generated view with some cells marked, and for each of them the points it looked at.

    Args:
        file: where to; its folder is made.
        views: by label, with images of one size.
        title: stands above.
    """
    columns = 1 + max(len(view.looks) for view in views.values())
    head, foot, side, between = 0.68, 0.6, 0.1, 0.3  # inches
    height = len(views) * (_PANEL_INCHES + between) - between + head + foot
    width = columns * (_PANEL_INCHES + side) + side
    figure = _figure(width, height)
    grid = figure.subplots(len(views), columns, squeeze=False)
    figure.subplots_adjust(
        left=side / width,
        right=1 - side / width,
        bottom=foot / height,
        top=1 - head / height,
        wspace=side / _PANEL_INCHES,
        hspace=between / _PANEL_INCHES,
    )
    for row, (label, view) in zip(grid, views.items(), strict=True):
        _draw_view(row[0], view, label)
        for number, panel in enumerate(row[1:]):
            if number < len(view.looks):
                _draw_look(panel, view, view.looks[number], _cell_color(number))
            else:
                panel.axis("off")
    figure.text(0.5, 1 - 0.14 / figure.get_figheight(), title, ha="center", va="top", fontsize=10.5, color=INK)
    _draw_key(figure)
    _save(figure, file)


def _num_columns(number: int) -> int:
    """Columns that fill their last row, where they can: 12 views are two rows of 6."""
    most = 6 if number <= 24 else 8 if number <= 48 else 10
    return -(-number // math.ceil(number / most))


def _sheet(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple["Figure", "Axes"]:
    """A figure with axes of so many inches, and margins left, right, top and bottom around them."""
    left, right, top, bottom = margins
    whole = (width + left + right, height + top + bottom)
    figure = _figure(*whole)
    axes = figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))
    axes.axis("off")
    return figure, axes


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _paste(canvas: FloatArray, image: FloatArray, top: int, left: int) -> None:
    """Puts an image (1 or 3, H, W) on the canvas, with a line around it."""
    size = image.shape[-1]
    canvas[max(top - 1, 0) : top + size + 1, max(left - 1, 0) : left + size + 1] = LINE
    canvas[top : top + size, left : left + size] = image.transpose(1, 2, 0).clip(0.0, 1.0)


def _draw_view(axes: "Axes", view: LookedView, label: str) -> None:
    axes.imshow(view.image.transpose(1, 2, 0).clip(0.0, 1.0), interpolation="antialiased")
    _frame(axes, f"{LINE}", 1.0)
    for number, look in enumerate(view.looks):
        _mark(axes, view, look.cell, _cell_color(number))
    axes.set_title(label, fontsize=9, color=INK, pad=4)


def _draw_look(axes: "Axes", view: LookedView, look: Look, color: str) -> None:
    """The cloud as the camera sees it, farther points below nearer ones, and the cell that looked."""
    size = view.image.shape[-1]
    order = np.argsort(-view.depth, kind="stable")
    # Looked-at points come last: what a cell attends to may lie on the far side.
    order = order[np.argsort(look.spread[order].round(1), kind="stable")]
    points = view.pixels[order]
    axes.scatter(
        points[:, 0] - 0.5,
        points[:, 1] - 0.5,
        c=look.spread[order],
        cmap=_palette(),
        vmin=0.0,
        vmax=1.0,
        s=6.0 + 8.0 * look.spread[order],
        linewidths=0,
    )
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
    _frame(axes, color, 1.6)
    _mark(axes, view, look.cell, color)
    row, column = look.cell
    axes.set_title(f"cell {row},{column}: {look.share:.0%} on the object", fontsize=9, color=color, pad=4)


def _mark(axes: "Axes", view: LookedView, cell: tuple[int, int], color: str) -> None:
    from matplotlib.patches import Rectangle

    side = view.image.shape[-1] / view.cells
    corner = (cell[1] * side - 0.5, cell[0] * side - 0.5)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=3.4))
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=2.0))


def _frame(axes: "Axes", color: str, width: float) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=width)


def _draw_key(figure: "Figure") -> None:
    """What the colours of points mean."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.5 - 0.9 / width, 0.36 / height, 1.8 / width, 0.1 / height))
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_palette(), aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for place, words, align in ((-8, "not looked at", "right"), (263, "looked at most", "left")):
        axes.text(place, 0, words, ha=align, va="center", fontsize=8, color=FAINT)


def _palette() -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    stops = ["#d9d9de", "#fec44f", "#ec7014", "#a8270a", "#4a0d05"]
    return LinearSegmentedColormap.from_list("looked", stops)


def _cell_color(number: int) -> str:
    return CELL_COLORS[number % len(CELL_COLORS)]


def _save(figure: "Figure", file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Without matplotlib's version, so that the bytes depend on the picture alone.
    figure.savefig(file, metadata={"Software": None})
