"""Meshes to posed views and surface points: reading, normalising, sampling, cameras, rigs, rasterizers, shading.

Public names are imported on first use, so that reading the camera's arithmetic does not load a mesh library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from render.camera import Cameras, look_at, nearest_to_origin, pixel_rays, project
    from render.config import RenderConfig
    from render.errors import RenderError
    from render.fragments import Fragments, Rasterizer
    from render.mesh import Mesh, read_mesh
    from render.normalization import Normalized, normalize
    from render.rasterizers import RASTERIZERS, load_rasterizer
    from render.rendering import Rendering, render_mesh
    from render.rig import RIGS, Rig, Viewpoint, load_rig, mvcnn12
    from render.sample import sample_surface
    from render.sources import Listing, MeshSource, find_meshes

_HOMES = {
    "Cameras": "camera", "look_at": "camera", "nearest_to_origin": "camera", "pixel_rays": "camera", "project": "camera",
    "RenderConfig": "config",
    "RenderError": "errors",
    "Fragments": "fragments", "Rasterizer": "fragments",
    "Mesh": "mesh", "read_mesh": "mesh",
    "Normalized": "normalization", "normalize": "normalization",
    "RASTERIZERS": "rasterizers", "load_rasterizer": "rasterizers",
    "Rendering": "rendering", "render_mesh": "rendering",
    "RIGS": "rig", "Rig": "rig", "Viewpoint": "rig", "load_rig": "rig", "mvcnn12": "rig",
    "sample_surface": "sample",
    "Listing": "sources", "MeshSource": "sources", "find_meshes": "sources",
}  # fmt: skip

__all__ = [
    "RASTERIZERS", "RIGS", "Cameras", "Fragments", "Listing", "Mesh", "MeshSource", "Normalized", "Rasterizer",
    "RenderConfig", "RenderError", "Rendering", "Rig", "Viewpoint", "find_meshes", "load_rasterizer", "load_rig", "look_at",
    "mvcnn12", "nearest_to_origin", "normalize", "pixel_rays", "project", "read_mesh", "render_mesh", "sample_surface",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"render.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'render' has no attribute {name!r}")
