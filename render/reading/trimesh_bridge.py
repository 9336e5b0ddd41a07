"""Meshes and scenes of trimesh as ours, with materials, textures and colours: for whoever holds them in Python already."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from render.appearance import Material, Texture
from render.errors import RenderError
from render.mesh import Mesh, checked
from render.reading.colors import srgb_from_linear
from render.reading.polygons import Polygons, split

if TYPE_CHECKING:
    import trimesh


def from_trimesh(made: "trimesh.Trimesh | trimesh.Scene", appearance: bool = False) -> Mesh:
    """The triangles of a trimesh mesh, or of a scene with its transforms applied.

    Args:
        made: what trimesh loaded or built; formats that tap does not read come in this way.
        appearance: whether vertex and face colours, and material colours and pictures, come along.

    Returns:
        Mesh; vertices and faces in trimesh's order, those of a scene part by part.

    Raises:
        RenderError: no faces, an index out of range, or a vertex in use that is not finite.
    """
    import trimesh

    parts = made.dump() if isinstance(made, trimesh.Scene) else [made]
    parts = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not parts:
        raise RenderError("trimesh: no part with faces")
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = [np.asarray(part.faces, np.int64) + start for part, start in zip(parts, starts, strict=True)]
    looks: dict[str, Any] = {}
    if appearance and any(part.visual.kind is not None for part in parts):
        owner = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.faces) for part in parts])
        looks = {
            "materials": tuple(_material(part.visual) for part in parts),
            "polygon_material": owner,
            "corner_uv": np.concatenate([_uv(part) for part in parts]),
            "corner_color": np.concatenate([_colors(part) for part in parts]),
        }
    triangles = split(
        Polygons(
            vertices=np.concatenate([np.asarray(part.vertices, np.float64) for part in parts]),
            corners=np.concatenate(faces).reshape(-1),
            **looks,
        )
    )
    return checked(Mesh(triangles.vertices, triangles.faces, triangles.appearance), "trimesh")


def _material(visual: Any) -> Material:
    """The material of a part; its factor is linear light in a PBR material, sRGB in a simple one."""
    found = getattr(visual, "material", None)
    if found is None:
        return Material()
    is_linear = hasattr(found, "baseColorFactor")
    factor = found.baseColorFactor if is_linear else found.diffuse
    picture = found.baseColorTexture if is_linear else found.image
    color = np.ones(3) if factor is None else np.asarray(factor, np.float64)[:3] / 255.0
    if is_linear:
        color = srgb_from_linear(color)
    elif picture is not None and not color.any():
        color = np.ones(3)  # as in .mtl files, see `render.reading.materials.load_material`
    red, green, blue = (float(value) for value in color)
    return Material((red, green, blue), None if picture is None else Texture(np.array(picture.convert("RGB"))))


def _uv(part: Any) -> npt.NDArray[np.float64]:
    """Texture coordinates of each face's corners, (3 F, 2); 0 where the part has none."""
    uv = getattr(part.visual, "uv", None)
    if uv is None:
        return np.zeros((3 * len(part.faces), 2))
    corners: npt.NDArray[np.float64] = np.asarray(uv, np.float64)[part.faces].reshape(-1, 2)
    return corners


def _colors(part: Any) -> npt.NDArray[np.uint8]:
    """Colours of each face's corners, (3 F, 3); white where the part has none."""
    if part.visual.kind == "vertex":
        corners: npt.NDArray[np.uint8] = np.asarray(part.visual.vertex_colors, np.uint8)[part.faces][..., :3]
        return corners.reshape(-1, 3)
    if part.visual.kind == "face":
        return np.repeat(np.asarray(part.visual.face_colors, np.uint8)[:, :3], 3, axis=0)
    return np.full((3 * len(part.faces), 3), 255, np.uint8)
