"""The features of samples laid out in the plane by t-SNE, before and after training, coloured by class.

Legend: S samples, D channels, K classes.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shards.stream import IntArray
from tap.tasks.classes.confusion import INK, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEATURE_MAP = "tsne.png"
LEAST_SHOWN = 10  # fewer samples make no picture
PERPLEXITY = 30.0
COLORS = (
    "#1f77b4", "#e6550d", "#2ca25f", "#c51b50", "#8756b8", "#8c564b", "#e377c2", "#7f7f7f", "#b5a300", "#17becf",
    "#9ecae1", "#fdae6b", "#a1d99b", "#fb8f9b", "#c5b0d5", "#c49c94", "#f9c6e1", "#c7c7c7", "#e3de6b", "#1a1a6b",
)  # fmt: skip
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")  # the colours come again with the next marker
_WIDTH, _DPI = 9.2, 130  # inches, and points an inch
_LETTER = 0.062  # inches of a letter of the legend


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """Samples in the plane.

    Attributes:
        title: whose features they are.
        places: (S, 2) float32, in units that mean nothing.
        agreement: share of the samples whose nearest neighbour, among the features themselves, is of the same class.
    """

    title: str
    places: npt.NDArray[np.float32]
    agreement: float


def make_panel(title: str, vectors: npt.NDArray[np.float32], labels: IntArray, seed: int) -> Panel:
    """Features in the plane.

    Args:
        title: whose they are.
        vectors: (S, D), S at least `LEAST_SHOWN`; each channel counts by its deviation from its mean, in units of its spread.
        labels: (S,) class indices.
        seed: of what t-SNE draws.
    Source: t-SNE (JMLR 2008).
    """
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(vectors.astype(np.float64))
    neighbors = NearestNeighbors(n_neighbors=1).fit(scaled).kneighbors(return_distance=False)[:, 0]
    agreement = float((labels[neighbors] == labels).mean())
    if not scaled.any():  # all are the same, which t-SNE would divide by
        return Panel(title, np.zeros((len(vectors), 2), np.float32), agreement)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
    return Panel(title, places.astype(np.float32), agreement)


def draw_feature_map(
    file: Path, panels: Sequence[Panel], labels: IntArray, classes: Sequence[str], samples: str
) -> None:
    """Draws panels side by side, a dot a sample in the colour of its class, and a legend of the classes that occur.

    Args:
        file: the picture, PNG.
        panels: one or two.
        labels: (S,) class indices.
        classes: K names.
        samples: what is shown, for the title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = np.unique(labels).tolist()
    columns = max(1, math.floor(_WIDTH / (_LETTER * max(len(classes[label]) for label in shown) + 0.45)))
    rows = math.ceil(len(shown) / columns)
    height = 5.3 + 0.16 * rows
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    bottom, top = (0.16 * rows + 0.3) / height, 1 - 0.72 / height
    grid = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.04})[0]
    figure.subplots_adjust(left=0.02, right=0.98, bottom=bottom, top=top)
    for axes, panel in zip(grid, panels, strict=True):
        _draw(axes, panel, labels)
    handles = [
        Line2D([], [], ls="", ms=5, mew=0, marker=marker, color=color, label=plain(classes[label]))
        for label in shown
        for color, marker in [_style(label)]
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=7, labelcolor=INK,
        handletextpad=0.1, columnspacing=1.0, bbox_to_anchor=(0.5, 0.0),
    )  # fmt: skip
    figure.text(
        0.5,
        1 - 0.1 / height,
        f"Features of {len(labels):,} {samples} (t-SNE)",
        ha="center",
        va="top",
        fontsize=10.5,
        color=INK,
    )
    figure.savefig(file, metadata={"Software": None})  # the bytes depend on the picture alone


def _draw(axes: "Axes", panel: Panel, labels: IntArray) -> None:
    for label in np.unique(labels).tolist():
        color, marker = _style(label)
        x, y = panel.places[labels == label].T
        axes.scatter(x, y, s=15, c=color, marker=marker, alpha=0.85, linewidths=0)
    axes.set_title(
        f"{plain(panel.title)}\nnearest neighbour of the same class: {panel.agreement:.0%}", fontsize=8.5, color=INK
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#d8d8d8")


def _style(label: int) -> tuple[str, str]:
    """Colour and marker of a class, the same in every panel and whichever others occur."""
    return COLORS[label % len(COLORS)], MARKERS[label // len(COLORS) % len(MARKERS)]
