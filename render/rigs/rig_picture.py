"""A picture of a rig: its cameras around an object, and what the first of them see."""

import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from render.camera import Cameras
from render.config import UpAxis
from render.mesh import Mesh
from render.rigs.rig_scene import draw_scene, object_views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_VIEWS = 12
_VIEW_PIXELS = 600  # drawn larger than shown, so that edges are smooth
_INCHES, _DPI = (12.8, 7.2), 125


def rig_picture(cameras: Cameras, mesh: Mesh, up: UpAxis = "z", title: str = "") -> bytes:
    """The cameras around the object as a PNG of 1600 x 900 pixels.

    To the left the scene: frusta (perspective) or boxes (parallel; their size stands for nothing), numbered and coloured in
    the order of the views, with a triangle at the upper side of each camera's image, and the world's axes. To the right the
    object as the first twelve cameras see it.

    Args:
        cameras: what a rig returned.
        mesh: file coordinates; drawn with its centroid at the origin and in the unit sphere.
        up: the file's up axis.
        title: a line above the scene.

    Returns:
        PNG bytes; equal input gives equal bytes.

    Raises:
        RenderError: the mesh cannot be drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    colors = _view_colors(cameras.num_views)
    scene = figure.add_axes((0.0, 0.0, 0.5625, 1.0))  # a square
    draw_scene(scene, cameras, mesh, up, colors)
    figure.text(0.012, 0.972, title, fontsize=15, fontweight="bold", va="top")
    about = f"{cameras.num_views} view{'s' * (cameras.num_views > 1)}, {cameras.projection}"
    figure.text(0.012, 0.925, about, fontsize=11, va="top", color="0.35")
    _draw_views(figure, cameras, mesh, up, colors)
    stream = io.BytesIO()
    # Without matplotlib's version, so that the bytes depend on the picture alone.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _view_colors(num_views: int) -> npt.NDArray[np.float64]:
    """A colour a view along the order, (V, 3); the palette's last tenth is too pale on white."""
    import matplotlib

    palette = matplotlib.colormaps["viridis"]
    return np.asarray(palette(np.linspace(0.0, 0.9, num_views)))[:, :3]


def _draw_views(figure: "Figure", cameras: Cameras, mesh: Mesh, up: UpAxis, colors: npt.NDArray[np.float64]) -> None:
    """What the first cameras see, framed in their colours, as large as the space allows."""
    shown = min(cameras.num_views, _SHOWN_VIEWS)
    few = dataclasses.replace(
        cameras, world_to_camera=cameras.world_to_camera[:shown], intrinsics=cameras.intrinsics[:shown]
    )
    images = object_views(mesh, few, up, _VIEW_PIXELS)
    left, top, width, height = 0.5725, 0.93, 0.415, 0.9
    words = f"what the first {shown} of {cameras.num_views} see" if shown < cameras.num_views else "what is seen"
    figure.text(left, 0.972, words, fontsize=11, va="top", color="0.35")
    ratio = _INCHES[0] / _INCHES[1]
    columns = max(range(1, 5), key=lambda count: min(width * ratio / count, height / -(-shown // count)))
    side = min(width * ratio / columns, height / -(-shown // columns))
    for view, image in enumerate(images):
        row, column = divmod(view, columns)
        box = (left + column * side / ratio, top - (row + 1) * side, 0.95 * side / ratio, 0.95 * side)
        axes = figure.add_axes(box)
        axes.imshow(image, interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=colors[view], linewidth=2.0)
        number = axes.text(0.04, 0.96, str(view), transform=axes.transAxes, va="top", fontsize=11, fontweight="bold")
        number.set_color(tuple(0.65 * colors[view]))
