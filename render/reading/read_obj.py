"""Reading .obj text: faces of any size in the file's order, relative indices, vertex colours, and the materials of its .mtl."""

import dataclasses
import re

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.location import Location
from render.reading.colors import color_bytes
from render.reading.materials import decoded
from render.reading.obj_materials import Directive, ObjMaterials, obj_materials
from render.reading.polygons import Polygons
from render.reading.scan_obj import ABSENT, ObjLines, scan_obj

_CONTINUED = re.compile(rb"\\[ \t]*(?:\r\n|\n|\r)")
_LINE = re.compile(rb"[^\r\n]*")


def read_obj(path: Location, content: bytes, appearance: bool) -> Polygons:
    """The faces of an .obj file; curves, surfaces, lines, points and normals are ignored.

    Args:
        path: the file; its .mtl files and pictures are looked for near it, see `read_companion`.
        content: its bytes.
        appearance: whether colours (r g b after a vertex), texture coordinates and materials are read.

    Raises:
        RenderError: a line that does not fit its keyword, an index out of range.
    """
    if b"\\" in content:
        content = _CONTINUED.sub(b" ", content)
    lines = scan_obj(content, 6 if appearance else 3, appearance)
    plain = Polygons(
        np.ascontiguousarray(lines.vertices[:, :3]), lines.corners, None if (lines.sizes == 3).all() else lines.sizes
    )
    if not appearance or len(lines.corners) == 0:
        return plain
    if lines.corners.min() < 0 or lines.corners.max() >= len(lines.vertices):
        return plain  # `split` tells what is wrong
    materials = obj_materials(path, _directives(content, lines), len(lines.sizes))
    return dataclasses.replace(
        plain,
        materials=materials.materials,
        polygon_material=materials.face_material,
        corner_uv=_corner_uv(lines, materials),
        corner_color=_corner_color(lines),
        missing_textures=materials.missing,
    )


def _directives(content: bytes, lines: ObjLines) -> list[Directive]:
    directives = []
    for start, face in zip(lines.directive_starts.tolist(), lines.directive_faces.tolist(), strict=True):
        match = _LINE.match(content, start)
        keyword, *rest = decoded(match.group() if match else b"").split(None, 1)
        directives.append(Directive(keyword, rest[0].strip() if rest else "", face))
    return directives


def _corner_color(lines: ObjLines) -> npt.NDArray[np.uint8] | None:
    """(K, 3) uint8 where vertices are written as x y z r g b, with or without alpha; those without colour are white."""
    has_color = (lines.vertex_words == 6) | (lines.vertex_words == 7)
    if not has_color.any():
        return None
    color = np.full((len(lines.vertices), 3), 255, np.uint8)
    color[has_color] = color_bytes(lines.vertices[has_color, 3:6])
    return color[lines.corners]


def _corner_uv(lines: ObjLines, materials: ObjMaterials) -> npt.NDArray[np.float64] | None:
    """(K, 2) float64, scaled and moved as the materials say, 0 at corners without; None where no corner has any."""
    present = lines.corner_uv != ABSENT
    if not present.any():
        return None
    used = lines.corner_uv[present]
    if used.min() < 0 or used.max() >= len(lines.uv):
        wrong = used.min() if used.min() < 0 else used.max()
        raise RenderError(f"a face names texture coordinate {wrong} of {len(lines.uv)}")
    uv = np.zeros((len(present), 2), np.float64)
    uv[present] = lines.uv[used]
    if any(one.scale != (1.0, 1.0) or one.offset != (0.0, 0.0) for one in materials.described):
        by_corner = np.repeat(materials.face_material, lines.sizes)
        scale = np.array([one.scale for one in materials.described])
        offset = np.array([one.offset for one in materials.described])
        uv = uv * scale[by_corner] + offset[by_corner]
    return uv
