"""From a mesh to posed views and surface points: the rendering stage as one function. Arrays out, no files."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from render.camera import Cameras
from render.config import RenderConfig
from render.fragments import Fragments, Rasterizer
from render.mesh import Mesh
from render.normalization import Normalized, normalize
from render.quality import Quality, measure_quality
from render.randomness import generator_for
from render.rasterizers import load_rasterizer
from render.rig import Rig, Viewpoint, checked_cameras, load_rig
from render.rigs.framing import fit_cameras
from render.rigs.perturbation import perturbed
from render.sample import SAMPLERS, point_colors, point_parts, points_with_normals
from render.shading.channels import channel_images
from render.shading.shade import SUPERSAMPLING, shade

MOST_SAMPLES = 1 << 25  # drawn at a time with antialiasing: 256 MB of fragments, or one view where that has more


@dataclasses.dataclass(frozen=True, eq=False)
class Rendering:
    """One object, photographed.

    Attributes:
        views: (V, H, W, 2) uint8 straight grey and alpha for clay, (V, H, W, 4) uint8 RGBA for material.
        channels: further images by name, see `render.shading.channels.channel_images`: depth (V, H, W) uint16, normal
            (V, H, W, 3) uint8, part (V, H, W) uint16.
        channel_numbers: what is needed to read a channel, by name: depth has ``offset`` and ``scale``.
        points: (P, 6) float32 xyz and unit normals, world frame.
        colors: (P, 3) uint8 sRGB of the points; None where the mesh has no appearance.
        parts: (P,) int32 part label of the points, -1 where there is none; None where the mesh has no labels.
        cameras: the V cameras.
        normalized: the mesh in the world frame, and the way back to the file's.
        quality: what was measured, and the flags that follow.
    """

    views: npt.NDArray[np.uint8]
    channels: dict[str, npt.NDArray[Any]]
    channel_numbers: dict[str, Any]
    points: npt.NDArray[np.float32]
    colors: npt.NDArray[np.uint8] | None
    parts: npt.NDArray[np.int32] | None
    cameras: Cameras
    normalized: Normalized
    quality: Quality


def render_mesh(
    mesh: Mesh,
    config: RenderConfig,
    key: str = "",
    where: str = "mesh",
    rig: Rig | None = None,
    rasterizer: Rasterizer | None = None,
) -> Rendering:
    """Views, points and cameras of a mesh.

    Args:
        mesh: file coordinates.
        config: all settings.
        key: the sample's key; with ``config.seed`` it seeds the points and whatever the rig draws.
        where: the source, for messages.
        rig: the rig that ``config.rig`` names, if already loaded; jitter, roll and fit are applied to it.
        rasterizer: the rasterizer that ``config.backend`` names, if already loaded.

    Returns:
        Rendering; equal input gives equal arrays.

    Raises:
        RenderError: the mesh cannot be drawn (no extent, no area), or rig or backend are unknown.

    Source: Take-A-Photo, section 4.1 (twelve surrounding views); MVCNN (shading).
    """
    rasterizer = rasterizer or load_rasterizer(config.backend)
    normalized = normalize(mesh, config.up, config.normalize, where)
    mesh = normalized.mesh
    cameras = cameras_of(mesh, config, key, rig or load_rig(config.rig))
    views, fragments = _photographed(mesh, cameras, config, rasterizer)
    channels, numbers = channel_images(mesh, cameras, fragments, config.channels, config.shade)
    generator = generator_for(config.seed, key)
    places = SAMPLERS[config.points](mesh, normalized.face_areas, config.num_points, generator)
    points = points_with_normals(mesh, places)
    missing = () if mesh.appearance is None else mesh.appearance.missing_textures
    quality = measure_quality(views[..., -1], fragments.depth, points, cameras, config.min_silhouette, missing)
    return Rendering(
        views=views,
        channels=dict(channels),
        channel_numbers=numbers,
        points=points,
        colors=None if mesh.appearance is None else point_colors(mesh, places),
        parts=None if mesh.part is None else point_parts(mesh, places),
        cameras=cameras,
        normalized=normalized,
        quality=quality,
    )


def cameras_of(mesh: Mesh, config: RenderConfig, key: str, rig: Rig) -> Cameras:
    """The cameras of one object: the rig's, jittered and rolled, then fitted if the config says so.

    Args:
        mesh: world frame, only vertices in use.
        config: image size, projection, jitter, roll, fit, seed.
        key: the sample's key.
        rig: what ``config.rig`` names.

    Raises:
        RenderError: the rig fails, or the object cannot be fitted.
    """
    viewpoint = Viewpoint(config.image_size, config.projection, config.seed, key)
    cameras = checked_cameras(config.rig, perturbed(rig, config.jitter, config.roll), viewpoint)
    return fit_cameras(cameras, mesh.vertices) if config.fit == "object" else cameras


def _photographed(
    mesh: Mesh, cameras: Cameras, config: RenderConfig, rasterizer: Rasterizer
) -> tuple[npt.NDArray[np.uint8], Fragments]:
    """The views, and the fragments at the centres of their pixels; antialiased, a few views at a time, to spare memory."""
    if not config.antialias:
        fragments = rasterizer(mesh, cameras)
        return shade(mesh, cameras, fragments, config.shade), fragments
    step = max(1, MOST_SAMPLES // (SUPERSAMPLING * cameras.image_size) ** 2)
    middle = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
    views, faces, depths = [], [], []
    for first in range(0, cameras.num_views, step):
        poses, intrinsics = (part[first : first + step] for part in (cameras.world_to_camera, cameras.intrinsics))
        few = dataclasses.replace(cameras, world_to_camera=poses, intrinsics=intrinsics)
        fine = rasterizer(mesh, supersampled(few))
        views.append(shade(mesh, few, fine, config.shade))
        faces.append(fine.face[:, middle, middle].copy())  # a view of the array would keep all of it
        depths.append(fine.depth[:, middle, middle].copy())
    return np.concatenate(views), Fragments(np.concatenate(faces), np.concatenate(depths))


def supersampled(cameras: Cameras) -> Cameras:
    """The same cameras with three pixels where there was one along each side."""
    scale = np.array([[SUPERSAMPLING], [SUPERSAMPLING], [1]], np.float32)
    return dataclasses.replace(
        cameras, intrinsics=cameras.intrinsics * scale, image_size=cameras.image_size * SUPERSAMPLING
    )
