"""Reading .ply, text and binary: polygons, colours of vertices or faces, texture coordinates and TextureFile pictures."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from render.appearance import Material
from render.errors import RenderError
from render.location import Location
from render.reading.colors import color_bytes
from render.reading.materials import MtlMaterial, load_material
from render.reading.ply_table import Table, read_header, read_tables
from render.reading.polygons import Polygons

_INDICES = ("vertex_indices", "vertex_index")
_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))


def read_ply(path: Location, content: bytes, appearance: bool) -> Polygons:
    """The faces of a .ply file.

    Args:
        path: the file; pictures of its TextureFile comments are looked for near it, see `read_companion`.
        content: its bytes.
        appearance: whether colours, texture coordinates and pictures are read; where vertices and faces both have colours,
            those of the vertices are taken.

    Raises:
        RenderError: a damaged header, fewer or more data than it announces, no vertices or no faces.
    """
    header = read_header(content)
    tables = read_tables(content, header)
    vertex, face = tables.get("vertex"), tables.get("face")
    if vertex is None or not all(axis in vertex.values for axis in "xyz"):
        raise RenderError("has no vertices with x, y and z")
    name = next((name for name in _INDICES if face and name in face.lists), None)
    if face is None or name is None:
        strips = "tristrips" in tables
        raise RenderError("holds triangle strips; convert them to faces" if strips else "the mesh has no faces")
    vertices = np.column_stack([vertex.values[axis].astype(np.float64) for axis in "xyz"])
    sizes, items = face.lists[name]
    corners = _indices(items)
    plain_sizes = None if (sizes == 3).all() else sizes
    if not appearance or len(corners) == 0 or corners.min() < 0 or corners.max() >= len(vertices):
        return Polygons(vertices, corners, plain_sizes)  # `split` tells what is wrong with an index
    vertex_color, face_color = _colors(vertex), _colors(face)
    materials, missing = _materials(path, header.pictures)
    corner_color = None
    if vertex_color is not None:
        corner_color = vertex_color[corners]
    elif face_color is not None:
        corner_color = np.repeat(face_color, sizes, axis=0)
    return Polygons(
        vertices,
        corners,
        plain_sizes,
        materials,
        _picture_numbers(face, len(materials)),
        _corner_uv(vertex, face, corners, sizes) if materials else None,
        corner_color,
        missing,
    )


def _indices(items: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    if items.dtype.kind == "f" and not (np.abs(items.astype(np.float64)) < 2**53).all():
        raise RenderError("an index is not finite")
    indices = items.astype(np.int64)
    if items.dtype.kind == "f" and (indices != items).any():
        raise RenderError("an index is not a whole number")
    return indices


def _colors(table: Table) -> npt.NDArray[np.uint8] | None:
    """(R, 3) uint8, or None where the rows have no colour; 16-bit colours keep their high byte."""
    for names in _COLORS:
        if not all(name in table.values for name in names):
            continue
        columns = np.column_stack([table.values[name] for name in names])
        if columns.dtype.kind == "u" and columns.dtype.itemsize == 2:
            columns = columns >> 8
        is_bytes = columns.dtype.kind == "u"
        return np.minimum(columns, 255).astype(np.uint8) if is_bytes else color_bytes(columns.astype(np.float64))
    return None


def _materials(path: Location, pictures: Iterable[str]) -> tuple[tuple[Material, ...], tuple[str, ...]]:
    loaded = [load_material(path, MtlMaterial(picture=picture)) for picture in pictures]
    missing = dict.fromkeys(picture for _, picture in loaded if picture is not None)
    return tuple(material for material, _ in loaded), tuple(missing)


def _picture_numbers(face: Table, num_materials: int) -> npt.NDArray[np.int32] | None:
    """(P,) which picture each face has; numbers beyond the pictures mean the first."""
    if num_materials < 2 or "texnumber" not in face.values:
        return None
    numbers = face.values["texnumber"].astype(np.int64)
    return np.where((numbers >= 0) & (numbers < num_materials), numbers, 0).astype(np.int32)


def _corner_uv(
    vertex: Table, face: Table, corners: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64] | None:
    """(K, 2) float64 by the faces' ``texcoord`` lists, or else by columns of the vertices."""
    if "texcoord" in face.lists:
        uv_sizes, items = face.lists["texcoord"]
        if not (uv_sizes == 2 * sizes).all():
            raise RenderError("the texcoord of a face has not two numbers for each of its corners")
        return items.astype(np.float64).reshape(-1, 2)
    for names in _COORDINATES:
        if all(name in vertex.values for name in names):
            return np.column_stack([vertex.values[name].astype(np.float64) for name in names])[corners]
    return None
