"""The scene of a rig's picture: cameras as frusta or boxes around the object, seen from outside."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from render.camera import Cameras, look_at, project
from render.config import RenderConfig, UpAxis
from render.mesh import Mesh
from render.rendering import render_mesh
from render.viewpoint import camera_centers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELLED_PLACES = 60  # more numbers than these would cover each other; then every second, third, ... place has one
_SCENE_PIXELS = 1800
# The way to the observer: azimuth -45 degrees, between two cameras of mvcnn12, and elevation 24.
_OBSERVER = np.array([0.646, -0.646, 0.407])
_AXES = (("x", "#d62728"), ("y", "#2ca02c"), ("z", "#1f77b4"))
_TURN = np.linspace(0, 2 * np.pi, 97)
# Round the unit sphere, in the plane of x and y; the axes end on it.
_CIRCLE = 1.45 * np.stack([np.cos(_TURN), np.sin(_TURN), np.zeros_like(_TURN)], axis=-1)
# Around a drawn camera, in half its width: mark, body, label.
_GLYPH_REACH = np.array([[-1.5, -1.5, 0], [1.5, -1.5, 0], [1.5, 1.5, 0], [-1.5, 1.5, 0], [0, 0, -1.8]])


def object_views(mesh: Mesh, cameras: Cameras, up: UpAxis, image_size: int) -> npt.NDArray[np.uint8]:
    """What cameras see of an object in the unit sphere, drawn with another number of pixels: (V, H, W, 4) RGBA."""
    scale = np.array([[image_size / cameras.image_size], [image_size / cameras.image_size], [1]], np.float32)
    drawn = dataclasses.replace(cameras, intrinsics=cameras.intrinsics * scale, image_size=image_size)
    config = RenderConfig(up=up, projection=drawn.projection, image_size=image_size, num_points=1)
    views = render_mesh(mesh, config, where="the picture's mesh", rig=lambda viewpoint: drawn).views
    return views if views.shape[-1] == 4 else views[..., [0, 0, 0, 1]]


def draw_scene(axes: "Axes", cameras: Cameras, mesh: Mesh, up: UpAxis, colors: npt.NDArray[np.float64]) -> None:
    """Draws cameras, object and the world's axes into a square.

    Args:
        axes: matplotlib's axes, square and empty.
        cameras: V cameras.
        mesh: file coordinates; drawn with its centroid at the origin and in the unit sphere.
        up: the file's up axis.
        colors: (V, 3) RGB in 0 to 1.
    """
    centers = camera_centers(cameras)
    size = _glyph_size(centers)
    parts = np.concatenate([_camera_to_world(cameras, view, size * _GLYPH_REACH) for view in range(cameras.num_views)])
    observer = _Observer.seeing(axes, np.concatenate([parts, 1.15 * _CIRCLE, [[0, 0, 1.65], [0, 0, -1]]]))
    axes.set(xlim=(0, _SCENE_PIXELS), ylim=(_SCENE_PIXELS, 0), aspect="equal")
    axes.axis("off")
    _, middle = observer.pixels(np.zeros((1, 3)))
    axes.imshow(
        object_views(mesh, observer.cameras, up, _SCENE_PIXELS)[0],
        extent=(0, _SCENE_PIXELS, _SCENE_PIXELS, 0),
        zorder=middle,
        interpolation="antialiased",
    )
    _draw_world(observer, middle)
    paler = _faded(colors, observer, centers)
    places = view_places(cameras)
    for views in places:
        _draw_body(observer, cameras, views[0], size, paler[views[0]])
        for view in views:
            _draw_mark(observer, cameras, view, size, paler[view])
    step = -(-len(places) // _LABELLED_PLACES)
    for views in places[::step]:
        behind = _camera_to_world(cameras, views[0], np.array([[0, 0, -1.1 * size]]))[0]
        observer.text(
            behind, view_label(views), color=0.65 * colors[views[0]], fontsize=9 if len(places) > 24 else 10.5
        )


@dataclasses.dataclass(frozen=True)
class _Observer:
    """The camera that looks at the scene, and the axes it draws into; what is nearer to it covers what is farther."""

    axes: "Axes"
    pose: npt.NDArray[np.float64]
    intrinsics: npt.NDArray[np.float64]

    @classmethod
    def seeing(cls, axes: "Axes", points: npt.NDArray[np.float64]) -> "_Observer":
        """An observer who sees the points (N, 3), the world's origin among them, as large as the scene allows."""
        pose = look_at(4.5 * np.linalg.norm(points, axis=1).max() * _OBSERVER, np.zeros(3)).astype(np.float64)
        sensor, _ = project(points, pose, np.eye(3), False)
        low, high = sensor.min(axis=0), sensor.max(axis=0)
        room = _SCENE_PIXELS * np.array([[0.03, 0.13], [0.97, 0.98]])  # the title stands above
        focal = float(((room[1] - room[0]) / (high - low)).min())
        middle = room.mean(axis=0) - focal * (low + high) / 2
        return cls(axes, pose, np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]]))

    @property
    def cameras(self) -> Cameras:
        """The same camera as a rig of one."""
        return Cameras(
            self.pose[None].astype(np.float32), self.intrinsics[None].astype(np.float32), "perspective", _SCENE_PIXELS
        )

    def pixels(self, points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
        """Where points (N, 3) lie in the picture, (N, 2), and the order in which to draw them: nearer is higher."""
        pixels, depth = project(points, self.pose, self.intrinsics, False)
        return pixels, -float(depth.mean())

    def line(self, points: npt.NDArray[np.float64], order: float | None = None, **style: Any) -> None:
        """An open line through the points, drawn in their order of depth or in another one."""
        pixels, by_depth = self.pixels(points)
        self.axes.plot(*pixels.T, zorder=by_depth if order is None else order, solid_capstyle="round", **style)

    def face(self, points: npt.NDArray[np.float64], **style: Any) -> None:
        """A filled polygon."""
        pixels, order = self.pixels(points)
        self.axes.fill(*pixels.T, zorder=order, **style)

    def text(self, point: npt.NDArray[np.float64], words: str, **style: Any) -> None:
        """Words centred on a point and over everything: half a number is no number."""
        from matplotlib.patheffects import withStroke

        u, v = self.pixels(point[None])[0][0]
        halo = [withStroke(linewidth=2.5, foreground="white")]
        self.axes.text(u, v, words, ha="center", va="center", clip_on=True, path_effects=halo, zorder=1, **style)


def _faded(
    colors: npt.NDArray[np.float64], observer: _Observer, centers: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The views' colours, (V, 3), paler for what is farther away."""
    order = np.array([observer.pixels(center[None])[1] for center in centers])
    near, far = order.max(), order.min()
    share = 0.45 * (near - order) / max(near - far, 1.0)
    paler: npt.NDArray[np.float64] = colors + share[:, None] * (1 - colors)
    return paler


def view_places(cameras: Cameras) -> list[list[int]]:
    """The views that look from one place in one direction, in the order of their first."""
    stands = np.column_stack([camera_centers(cameras), cameras.world_to_camera[:, 2, :3]])
    places: dict[tuple[float, ...], list[int]] = {}
    for view, stand in enumerate(np.round(stands, 4) + 0.0):
        places.setdefault(tuple(stand), []).append(view)
    return list(places.values())


def view_label(views: list[int]) -> str:
    """The numbers of views as a label: a run by its ends, else the first four."""
    if len(views) > 2 and views[-1] - views[0] == len(views) - 1:
        return f"{views[0]}-{views[-1]}"
    return ", ".join(map(str, views[:4])) + (", ..." if len(views) > 4 else "")


def _draw_world(observer: _Observer, middle: float) -> None:
    """The world's axes, and a circle in the plane of x and y."""
    for part in range(0, 96, 4):  # in pieces, so that each is before or behind the object
        observer.line(_CIRCLE[part : part + 5], color="0.8", linewidth=1.0)
    for way, (name, color) in zip(np.eye(3), _AXES, strict=True):
        # Up to the unit sphere an axis runs inside the object, which covers it.
        observer.line(np.array([0 * way, 1.05 * way]), color=color, linewidth=1.2, alpha=0.6, order=middle - 1e-3)
        observer.line(np.array([1.05 * way, 1.45 * way]), color=color, linewidth=2.0)
        observer.text(1.57 * way, f"+{name}", color=color, fontsize=12, fontweight="bold")


def _glyph_size(centers: npt.NDArray[np.float64]) -> float:
    """Half the width of a drawn camera in world units: as large as its neighbours allow."""
    reach = max(float(np.linalg.norm(centers, axis=1).max()), 1.0)
    places = np.unique(np.round(centers, 5), axis=0)
    if len(places) == 1:
        return 0.09 * reach
    squares = (places**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * places @ places.T
    np.fill_diagonal(distances, np.inf)
    spacing = float(np.sqrt(np.median(distances.min(axis=1)).clip(0)))
    return float(np.clip(0.3 * spacing, 0.02 * reach, 0.09 * reach))


def _camera_to_world(cameras: Cameras, view: int, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points (N, 3) of a camera's frame in the world."""
    pose = cameras.world_to_camera[view].astype(np.float64)
    world: npt.NDArray[np.float64] = (points - pose[:3, 3]) @ pose[:3, :3]
    return world


def _draw_body(observer: _Observer, cameras: Cameras, view: int, size: float, color: npt.NDArray[np.float64]) -> None:
    """A frustum with the camera's field of view, or a box; a dotted line runs toward the object."""
    depth = _body_depth(cameras, view, size)
    square = size * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    back = np.column_stack([square * (cameras.projection == "parallel"), np.zeros(4)])
    front = np.column_stack([square, np.full(4, depth)])
    back, front = _camera_to_world(cameras, view, back), _camera_to_world(cameras, view, front)
    for corner in range(4):
        following = (corner + 1) % 4
        side = np.stack([back[corner], front[corner], front[following], back[following]])
        observer.face(side, facecolor=(*color, 0.2), edgecolor=(*color, 0.9), linewidth=1.0, joinstyle="round")
    if cameras.projection == "parallel":
        observer.face(back, facecolor=(*color, 0.45), edgecolor="none")  # the closed end of the box
    observer.face(front, facecolor=(*color, 0.12), edgecolor=color, linewidth=1.3, joinstyle="round")
    sight = _camera_to_world(cameras, view, np.array([[0, 0, depth], [0, 0, depth + 3 * size]]))
    observer.line(sight, color=color, linewidth=1.0, linestyle=(0, (2, 2)))


def _draw_mark(observer: _Observer, cameras: Cameras, view: int, size: float, color: npt.NDArray[np.float64]) -> None:
    """A triangle at the upper side of the camera's image."""
    depth = _body_depth(cameras, view, size)
    mark = np.array([[-0.55 * size, -1.15 * size, depth], [0.55 * size, -1.15 * size, depth], [0, -1.75 * size, depth]])
    observer.face(_camera_to_world(cameras, view, mark), facecolor=color, edgecolor="none")


def _body_depth(cameras: Cameras, view: int, size: float) -> float:
    """How long a camera is drawn, in world units."""
    if cameras.projection == "parallel":
        return 1.6 * size
    spread = cameras.image_size / 2 / float(cameras.intrinsics[view, 0, 0])
    return size / min(max(spread, 0.2), 1.2)  # very long and very short frusta are drawn less so
