"""Which classes a classifier takes for which: counts, and their picture.

Legend: K classes, R classes that occur.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tap.tasks.classes.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFUSION = "confusion.png"
MOST_NUMBERED = 40  # classes up to which the cells of the picture tell their counts
INK, FAINT, BAR = "#222222", "#777777", "#3b5bdb"
IntArray = npt.NDArray[np.int64]
_WIDTH, _DPI = 9.2, 130  # inches, and points an inch


def confusion(scores: Scores, num_classes: int) -> IntArray:
    """How many samples of each true class (rows) were predicted as each class (columns), (K, K) int64."""
    pairs = (scores.truth * num_classes + scores.predicted).numpy()
    counts: IntArray = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return counts


def draw_confusion(file: Path, counts: IntArray, classes: Sequence[str], samples: str = "samples") -> None:
    """Draws a confusion matrix, a row a true class, each cell's darkness its share of the row; beside it the right ones.

    Args:
        file: the picture, PNG.
        counts: (K, K) int64, rows the truth; classes without a sample are left out of the rows.
        classes: K names.
        samples: what was classified, for the title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    present = np.flatnonzero(counts.sum(1))
    shown = counts[present]  # (R, K)
    row_height = min(0.4, max(0.17, 8.0 / len(present)))
    longest = max(map(len, classes))
    height = row_height * len(present) + 0.075 * longest + 1.0  # room for the names below, the title above
    figure = Figure(figsize=(_WIDTH, max(2.6, height)), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    matrix, bars = figure.subplots(1, 2, sharey=True, width_ratios=(5, 1))
    small = len(classes) > MOST_NUMBERED // 2
    _draw_matrix(matrix, shown, present, small)
    size = 6.5 if small else 8
    matrix.set_xticks(range(len(classes)), [*map(plain, classes)], rotation=90, fontsize=size)
    matrix.set_yticks(range(len(present)), [plain(classes[row]) for row in present.tolist()], fontsize=size)
    _draw_bars(bars, shown[np.arange(len(present)), present], shown.sum(1), size)
    right, total = int(np.trace(counts)), int(counts.sum())
    figure.suptitle(f"{total:,} {samples}: {right / total:.1%} are right", fontsize=10.5, color=INK)
    figure.savefig(file, metadata={"Software": None})  # the bytes depend on the picture alone


def plain(name: str) -> str:
    """A name as matplotlib draws it letter by letter: between two dollars it would read a formula."""
    return name.replace("$", r"\$")


def _draw_matrix(axes: "Axes", counts: IntArray, present: IntArray, small: bool) -> None:
    """Counts (R, K), the row of each class framed at its own column."""
    from matplotlib.patches import Rectangle

    shares = counts / counts.sum(1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    axes.set_xticks(np.arange(-0.5, counts.shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, counts.shape[0]), minor=True)
    axes.grid(which="minor", color="#e8e8e8", lw=0.4)
    for row, column in enumerate(present.tolist()):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec="#9a9a9a", lw=0.7))
    axes.tick_params(which="both", length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", fontsize=9, color=FAINT)
    axes.set_ylabel("true", fontsize=9, color=FAINT)
    if counts.shape[1] <= MOST_NUMBERED:
        for i, j in zip(*np.nonzero(counts), strict=True):
            ink = "white" if shares[i, j] > 0.55 else INK
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=5.5 if small else 8, color=ink)


def _draw_bars(axes: "Axes", right: IntArray, total: IntArray, size: float) -> None:
    """Beside each row the share of its samples that are right, and of how many."""
    rows = range(len(right))
    axes.barh(rows, np.ones(len(rows)), color="#f0f0f0", height=0.7)
    axes.barh(rows, right / total, color=BAR, height=0.7)
    for row in rows:
        axes.text(1.05, row, f"{right[row]} of {total[row]}", va="center", fontsize=size, color=FAINT)
    axes.set(xlim=(0, 1), xticks=[])
    axes.set_xlabel("right", fontsize=9, color=FAINT)
    axes.tick_params(which="both", length=0, labelleft=False)
    axes.spines[:].set_visible(False)
