"""Reading .glb and .gltf: a scene's triangles with transforms, instances, skins and morphs applied, and base colours."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.location import Location
from render.reading.colors import srgb_from_linear
from render.reading.gltf_buffers import Buffers, chunks, item
from render.reading.gltf_document import Document, Primitive, read_document
from render.reading.gltf_materials import PlacedMaterial, laid, place_material
from render.reading.gltf_nodes import scene_transforms
from render.reading.gltf_primitives import FAN, STRIP, TRIANGLES, posed, primitive_corners, primitive_vertices
from render.reading.polygons import Polygons

MOST_CORNERS = 150_000_000  # instances and shared data can make a small file's scene endless


@dataclasses.dataclass(frozen=True, eq=False)
class _Piece:
    """One primitive as a node places it: vertices (N, 3), corners (K,), its material's number, and its look by corner."""

    vertices: npt.NDArray[np.float64]
    corners: npt.NDArray[np.int64]
    material: int | None = None
    uv: npt.NDArray[np.float64] | None = None
    color: npt.NDArray[np.uint8] | None = None


def read_glb(path: Location, content: bytes, appearance: bool) -> Polygons:
    """The triangles of a binary glTF file, see `read_gltf`."""
    text, binary = chunks(content)
    return _read(path, read_document(text), binary, appearance)


def read_gltf(path: Location, content: bytes, appearance: bool) -> Polygons:
    """The triangles of a glTF file's scene; lines and points are left out.

    Skins stand as the file's nodes pose them, morph targets as the default weights have them.

    Args:
        path: the file; its buffers and pictures are looked for near it, see `read_companion`.
        content: its bytes.
        appearance: whether colours, texture coordinates, materials and pictures are read.

    Raises:
        RenderError: damaged, cut short, an index out of range, nodes that form no tree, an extension that is not read, or
            more than 50 million faces.
    """
    return _read(path, read_document(content), None, appearance)


def _read(path: Location, document: Document, binary: bytes | None, appearance: bool) -> Polygons:
    buffers = Buffers(path, document, binary)
    transforms = scene_transforms(document)
    materials: dict[int | None, PlacedMaterial] = {}
    pieces: list[_Piece] = []
    size = 0
    for index in transforms:
        mesh = document.nodes[index].mesh
        for primitive in () if mesh is None else item(document.meshes, mesh, "mesh").primitives:
            if primitive.mode not in (TRIANGLES, STRIP, FAN):
                continue
            if appearance and primitive.material not in materials:
                materials[primitive.material] = place_material(document, buffers, primitive.material)
            pieces.append(_piece(document, buffers, index, primitive, transforms, materials))
            size += max(len(pieces[-1].corners), len(pieces[-1].vertices))
            if size > MOST_CORNERS:
                raise RenderError(f"the scene has more than {MOST_CORNERS // 3:,} faces, instances counted")
    return _joined(pieces, materials)


def _piece(
    document: Document,
    buffers: Buffers,
    index: int,
    primitive: Primitive,
    transforms: dict[int, npt.NDArray[np.float64]],
    materials: dict[int | None, PlacedMaterial],
) -> _Piece:
    """A primitive as node ``index`` places it; its look only if its material is among ``materials``."""
    vertices = primitive_vertices(document, buffers, document.nodes[index], primitive)
    corners = primitive_corners(buffers, primitive, len(vertices))
    vertices, is_mirrored = posed(document, buffers, index, primitive, vertices, transforms)
    if is_mirrored:  # the winding would tell the wrong side from the right one
        corners = corners.reshape(-1, 3)[:, ::-1].reshape(-1)
    if primitive.material not in materials:
        return _Piece(vertices, corners)
    material = materials[primitive.material]
    uv = _attribute(buffers, primitive, f"TEXCOORD_{material.coordinates}", 2, len(vertices))
    color = _attribute(buffers, primitive, "COLOR_0", 3, len(vertices))
    return _Piece(
        vertices,
        corners,
        primitive.material,
        None if uv is None or material.material.texture is None else laid(uv, material.transform)[corners],
        None if color is None else np.rint(255 * srgb_from_linear(color)).astype(np.uint8)[corners],
    )


def _attribute(
    buffers: Buffers, primitive: Primitive, name: str, num_components: int, num_vertices: int
) -> npt.NDArray[np.float64] | None:
    if name not in primitive.attributes:
        return None
    values = buffers.floats(primitive.attributes[name], num_components)
    if len(values) != num_vertices:
        raise RenderError(f"{name} has {len(values)} elements for {num_vertices} vertices")
    return values


def _joined(pieces: Sequence[_Piece], materials: dict[int | None, PlacedMaterial]) -> Polygons:
    """All pieces as one; where only some have texture coordinates or colours, the others get 0 and white."""
    if not pieces:
        return Polygons(np.zeros((0, 3)), np.zeros(0, np.int64))
    firsts = np.cumsum([0] + [len(piece.vertices) for piece in pieces[:-1]])
    plain = Polygons(
        np.concatenate([piece.vertices for piece in pieces]),
        np.concatenate([piece.corners + first for piece, first in zip(pieces, firsts, strict=True)]),
    )
    has_uv, has_color = any(piece.uv is not None for piece in pieces), any(piece.color is not None for piece in pieces)
    # A file whose only material is the default one has no look of its own.
    if not has_color and not set(materials) - {None}:
        return plain
    numbers = {material: place for place, material in enumerate(materials)}
    missing = dict.fromkeys(material.missing for material in materials.values() if material.missing is not None)
    lengths = [len(piece.corners) // 3 for piece in pieces]
    uv = [np.zeros((len(piece.corners), 2)) if piece.uv is None else piece.uv for piece in pieces] if has_uv else []
    color = [
        np.full((len(piece.corners), 3), 255, np.uint8) if piece.color is None else piece.color for piece in pieces
    ]
    return dataclasses.replace(
        plain,
        materials=tuple(material.material for material in materials.values()),
        polygon_material=np.repeat(np.array([numbers[piece.material] for piece in pieces], np.int32), lengths),
        corner_uv=np.concatenate(uv) if has_uv else None,
        corner_color=np.concatenate(color) if has_color else None,
        missing_textures=tuple(missing),
    )
