"""A square and a sphere, a camera above them, and looks to lay on them."""

import numpy as np
import numpy.typing as npt

from render.appearance import Appearance, Material, Texture, Wrap
from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import Cameras, Projection
from render.mesh import Mesh
from render.shading.shade import shade
from render.shading.shade_config import ShadeConfig

MATERIAL = ShadeConfig(appearance="material", ambient=1, diffuse=0)  # colours as they are
FOUR = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)  # red green / blue yellow


def camera_above(size: int = 8, projection: Projection = "parallel") -> Cameras:
    """One camera that looks down from (0, 0, 2) on the square from -1 to 1, world +y upward; its plane fills the image."""
    pose = np.array([[[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]]], np.float32)
    focal = size / 2 if projection == "parallel" else float(size)
    lens = np.array([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]], np.float32)
    return Cameras(pose, lens, projection, size)


def quad(appearance: Appearance | None = None, tilt: float = 0.0) -> Mesh:
    """The square from -1 to 1 at z = 0, two faces; tilted about x by so many degrees."""
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
    vertices[:, 2], vertices[:, 1] = (
        vertices[:, 1] * np.sin(np.deg2rad(tilt)),
        vertices[:, 1] * np.cos(np.deg2rad(tilt)),
    )
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), appearance)


def textured(
    pixels: npt.NDArray[np.uint8], repeats: float = 1.0, wrap: Wrap = "clamp", shift: float = 0.0
) -> Appearance:
    """The appearance of `quad` with a texture laid over it so many times."""
    corner = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * repeats + np.float32(shift)
    return Appearance(
        (Material(texture=Texture(pixels, (wrap, wrap))),),
        np.zeros(2, np.int32),
        np.stack([corner[[0, 1, 2]], corner[[0, 2, 3]]]),
    )


def drawn(mesh: Mesh, cameras: Cameras, config: ShadeConfig) -> npt.NDArray[np.uint8]:
    return shade(mesh, cameras, rasterize_cpu(mesh, cameras), config)


def sphere(num_rings: int) -> Mesh:
    """A unit sphere of 2 R^2 quads, split; each pole is many vertices at one position, with faces without area."""
    polar = np.linspace(0, np.pi, num_rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, 2 * num_rings, endpoint=False)[None]
    grid = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around], axis=-1
    )
    grid[0], grid[-1] = [0, 0, 1], [0, 0, -1]
    index = np.arange(grid[..., 0].size).reshape(grid.shape[:2])
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    c, d = np.roll(index, -1, axis=1)[1:], index[1:]
    return Mesh(grid.reshape(-1, 3), np.stack([np.stack([a, d, c], -1), np.stack([a, c, b], -1)]).reshape(-1, 3))
