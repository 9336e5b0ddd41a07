"""Meshes to posed views and surface points: reading, normalising, sampling, cameras, rigs, rasterizers, shading.

Public names are imported on first use, so that reading the camera's arithmetic does not load a mesh library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from render.appearance import Appearance, Material, Texture
    from render.camera import Cameras, look_at, nearest_to_origin, pixel_rays, project
    from render.config import RenderConfig
    from render.errors import RenderError
    from render.fragments import Fragments, Rasterizer
    from render.mesh import Mesh, read_mesh
    from render.normalization import Normalized, normalize
    from render.quality import Quality, measure_quality
    from render.rasterizers import RASTERIZERS, load_rasterizer, resolve_backend
    from render.reading.part_labels import read_part_labels, with_parts
    from render.reading.trimesh_bridge import from_trimesh
    from render.rendering import Rendering, render_mesh
    from render.rig import RIG_FAMILIES, RIGS, Rig, Viewpoint, cameras_around, load_rig, mvcnn12
    from render.rigs.framing import fit_cameras
    from render.rigs.perturbation import perturbed
    from render.sample import SAMPLERS, sample_surface
    from render.shading.shade_config import ShadeConfig
    from render.sources import Listing, MeshSource, find_meshes

_HOMES = {
    "Appearance": "appearance", "Material": "appearance", "Texture": "appearance",
    "Cameras": "camera", "look_at": "camera", "nearest_to_origin": "camera", "pixel_rays": "camera", "project": "camera",
    "RenderConfig": "config",
    "RenderError": "errors",
    "Fragments": "fragments", "Rasterizer": "fragments",
    "fit_cameras": "rigs.framing",
    "Mesh": "mesh", "read_mesh": "mesh",
    "Normalized": "normalization", "normalize": "normalization",
    "perturbed": "rigs.perturbation",
    "Quality": "quality", "measure_quality": "quality",
    "RASTERIZERS": "rasterizers", "load_rasterizer": "rasterizers", "resolve_backend": "rasterizers",
    "read_part_labels": "reading.part_labels", "with_parts": "reading.part_labels",
    "from_trimesh": "reading.trimesh_bridge",
    "Rendering": "rendering", "render_mesh": "rendering",
    "RIGS": "rig", "RIG_FAMILIES": "rig", "Rig": "rig", "Viewpoint": "rig",
    "cameras_around": "rig", "load_rig": "rig", "mvcnn12": "rig",
    "SAMPLERS": "sample", "sample_surface": "sample",
    "ShadeConfig": "shading.shade_config",
    "Listing": "sources", "MeshSource": "sources", "find_meshes": "sources",
}  # fmt: skip

__all__ = [
    "RASTERIZERS", "RIGS", "RIG_FAMILIES", "SAMPLERS", "Appearance", "Cameras", "Fragments", "Listing", "Material",
    "Mesh", "MeshSource", "Normalized", "Quality", "Rasterizer", "RenderConfig", "RenderError", "Rendering", "Rig",
    "ShadeConfig", "Texture", "Viewpoint", "cameras_around", "find_meshes", "fit_cameras", "from_trimesh", "load_rasterizer",
    "load_rig", "look_at", "measure_quality", "mvcnn12", "nearest_to_origin", "normalize", "perturbed",
    "pixel_rays", "project", "read_mesh", "read_part_labels", "render_mesh", "resolve_backend", "sample_surface", "with_parts",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"render.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'render' has no attribute {name!r}")
