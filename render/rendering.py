"""From a mesh to posed views and surface points: the rendering stage as one function. Arrays out, no files."""

import dataclasses

import numpy as np
import numpy.typing as npt

from render.camera import Cameras
from render.config import RenderConfig
from render.mesh import Mesh
from render.normalization import Normalized, normalize
from render.quality import view_flags
from render.rasterizers import load_rasterizer
from render.rig import Rig, Viewpoint, checked_cameras, load_rig
from render.sample import generator_for, sample_surface
from render.shade import SUPERSAMPLING, shade_flat


@dataclasses.dataclass(frozen=True)
class Rendering:
    """One object, photographed.

    Attributes:
        views: (V, H, W, 2) uint8 straight grey and alpha, composited on white.
        points: (P, 6) float32 xyz and unit normals, world frame.
        cameras: the V cameras.
        normalized: the mesh in the world frame, and the way back to the file's.
        flags: quality flags, sorted.
    """

    views: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float32]
    cameras: Cameras
    normalized: Normalized
    flags: tuple[str, ...]


def render_mesh(
    mesh: Mesh, config: RenderConfig, key: str = "", where: str = "mesh", rig: Rig | None = None
) -> Rendering:
    """Views, points and cameras of a mesh.

    Args:
        mesh: file coordinates.
        config: all settings.
        key: the sample's key; with ``config.seed`` it seeds the points and whatever the rig draws.
        where: the source, for messages.
        rig: the rig that ``config.rig`` names, if already loaded.

    Returns:
        Rendering; equal input gives equal arrays.

    Raises:
        RenderError: the mesh cannot be drawn (no extent, no area), or rig or backend are unknown.

    Source: Take-A-Photo, section 4.1 (twelve surrounding views); MVCNN (shading).
    """
    rig = rig or load_rig(config.rig)
    rasterize = load_rasterizer(config.backend)
    normalized = normalize(mesh, config.up, config.normalize, where)
    cameras = checked_cameras(config.rig, rig, Viewpoint(config.image_size, config.projection, config.seed, key))
    fine = supersampled(cameras) if config.antialias else cameras
    views = shade_flat(normalized.mesh, cameras, rasterize(normalized.mesh, fine), config.shade)
    points = sample_surface(normalized.mesh, normalized.face_areas, config.num_points, generator_for(config.seed, key))
    return Rendering(views, points, cameras, normalized, tuple(view_flags(views)))


def supersampled(cameras: Cameras) -> Cameras:
    """The same cameras with three pixels where there was one along each side."""
    scale = np.array([[SUPERSAMPLING], [SUPERSAMPLING], [1]], np.float32)
    return dataclasses.replace(
        cameras, intrinsics=cameras.intrinsics * scale, image_size=cameras.image_size * SUPERSAMPLING
    )
