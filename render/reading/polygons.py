"""What a mesh file says before its polygons become triangles, and that step: every reader ends here."""

import dataclasses

import numpy as np
import numpy.typing as npt

from render.appearance import Appearance, Material
from render.errors import RenderError
from render.reading.triangulation import triangulate


@dataclasses.dataclass(frozen=True, eq=False)
class Polygons:
    """P polygons with K corners in all, polygon after polygon.

    Attributes:
        vertices: (N, 3) float64.
        corners: (K,) int64 indices into vertices.
        sizes: (P,) int64 corners of each polygon, below 3 for what has no surface; None where all have three.
        materials: none where the file names none.
        polygon_material: (P,) int32 indices into ``materials``; None where there is at most one.
        corner_uv: (K, 2) float64, v upward, any value; None without texture coordinates.
        corner_color: (K, 3) uint8 sRGB; None without colours.
        missing_textures: names of files that could not be read.
    """

    vertices: npt.NDArray[np.float64]
    corners: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64] | None = None
    materials: tuple[Material, ...] = ()
    polygon_material: npt.NDArray[np.int32] | None = None
    corner_uv: npt.NDArray[np.float64] | None = None
    corner_color: npt.NDArray[np.uint8] | None = None
    missing_textures: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Triangles:
    """Polygons, split; the fields are those of `render.mesh.Mesh`."""

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    appearance: Appearance | None
    polygon: npt.NDArray[np.int32] | None


def split(polygons: Polygons) -> Triangles:
    """The triangles of polygons, in their order and winding, with the look of each corner.

    Raises:
        RenderError: no polygon with three corners, or a corner that names no vertex.
    """
    corners, sizes = polygons.corners, polygons.sizes
    if len(corners) == 0 or (sizes is not None and sizes.max(initial=0) < 3):
        raise RenderError("the mesh has no faces")
    lowest, highest = int(corners.min()), int(corners.max())
    if lowest < 0 or highest >= len(polygons.vertices):
        raise RenderError(f"a face names vertex {lowest if lowest < 0 else highest} of {len(polygons.vertices)}")
    if sizes is None or (sizes == 3).all():
        chosen, polygon = np.arange(len(corners)).reshape(-1, 3) if _has_look(polygons) else None, None
        faces = corners.reshape(-1, 3)
    else:
        chosen, polygon = triangulate(polygons.vertices, corners, sizes)
        faces = corners[chosen]
    appearance = None if chosen is None else _appearance(polygons, chosen)
    return Triangles(polygons.vertices, faces, appearance, polygon)


def _has_look(polygons: Polygons) -> bool:
    return bool(polygons.materials or polygons.missing_textures) or polygons.corner_color is not None


def _appearance(polygons: Polygons, chosen: npt.NDArray[np.int64]) -> Appearance | None:
    """The look of the triangles whose corners are ``chosen``, (F, 3) indices of the polygons' corners."""
    if not _has_look(polygons):
        return None
    uv, color, sizes = polygons.corner_uv, polygons.corner_color, polygons.sizes
    materials = polygons.materials or (Material(),)
    if uv is None:  # a picture that nothing lays on the faces
        materials = tuple(dataclasses.replace(material, texture=None) for material in materials)
    elif all(material.texture is None for material in materials):
        uv = None
    face_material = np.zeros(len(chosen), np.int32)
    if polygons.polygon_material is not None:
        owner = chosen[:, 0] // 3 if sizes is None else np.repeat(np.arange(len(sizes)), sizes)[chosen[:, 0]]
        face_material = polygons.polygon_material[owner]
    return Appearance(
        materials=materials,
        face_material=face_material,
        corner_uv=None if uv is None else _finite(uv)[chosen],
        corner_color=None if color is None else color[chosen],
        missing_textures=polygons.missing_textures,
    )


def _finite(uv: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Texture coordinates as float32, 0 for what float32 does not hold."""
    narrow = uv.astype(np.float32)
    narrow[~np.isfinite(narrow)] = 0
    return narrow
