"""Which material each face of an .obj file has, by its ``mtllib`` and ``usemtl`` lines."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from render.appearance import Material
from render.errors import RenderError, UnreachableError
from render.location import Location
from render.reading.materials import MtlMaterial, load_material, read_mtl


@dataclasses.dataclass(frozen=True)
class Directive:
    """A ``usemtl`` or ``mtllib`` line.

    Attributes:
        keyword: which of the two.
        name: what follows.
        face: the number of faces before it.
    """

    keyword: str
    name: str
    face: int


@dataclasses.dataclass(frozen=True, eq=False)
class ObjMaterials:
    """The materials in use, in the order of their first use; plain white for faces before any ``usemtl``.

    Attributes:
        materials: with their pictures; none where the file names neither a material nor an .mtl file.
        described: the same as the .mtl file has them.
        face_material: (P,) int32 indices into them.
        missing: names of .mtl files, of materials that no .mtl file has, and of pictures that could not be read.
    """

    materials: tuple[Material, ...]
    described: tuple[MtlMaterial, ...]
    face_material: npt.NDArray[np.int32]
    missing: tuple[str, ...]


def obj_materials(path: Location, directives: Sequence[Directive], num_faces: int) -> ObjMaterials:
    """The materials of an .obj file's faces; pictures of materials that no face uses are not opened.

    Args:
        path: the .obj file.
        directives: in the file's order.
        num_faces: faces in the file, before polygons are split.
    """
    library, missing = _libraries(path, [one.name for one in directives if one.keyword == "mtllib"])
    uses = [one for one in directives if one.keyword == "usemtl"]
    face_material = np.zeros(num_faces, np.int32)
    numbers: dict[str | None, int] = {}
    names: list[str | None] = [None, *(one.name for one in uses)]
    edges = [0, *(one.face for one in uses), num_faces]
    for name, first, last in zip(names, edges[:-1], edges[1:], strict=True):
        if first < last:
            face_material[first:last] = numbers.setdefault(name, len(numbers))
    if not uses and not missing:
        return ObjMaterials((), (), face_material, ())
    described, materials = [], []
    for name in numbers:
        # Without any .mtl file, which is told already, no name can be found.
        if name is not None and name not in library and library:
            missing.append(f"material {name}")
        described.append(library.get(name, MtlMaterial()) if name is not None else MtlMaterial())
        material, picture = load_material(path, described[-1])
        materials.append(material)
        missing += [] if picture is None else [picture]
    return ObjMaterials(tuple(materials), tuple(described), face_material, tuple(dict.fromkeys(missing)))


def _libraries(path: Location, lines: Sequence[str]) -> tuple[dict[str, MtlMaterial], list[str]]:
    """(materials by name, the first of equal names; names of files that cannot be read)."""
    library: dict[str, MtlMaterial] = {}
    missing: list[str] = []
    for line in dict.fromkeys(lines):
        found, failed = _one_library(path, [line])
        if failed and len(line.split()) > 1:  # no file whose name has blanks, but maybe several files
            found, failed = _one_library(path, line.split())
        library = found | library
        missing += failed
    return library, missing


def _one_library(path: Location, names: Sequence[str]) -> tuple[dict[str, MtlMaterial], list[str]]:
    library: dict[str, MtlMaterial] = {}
    missing: list[str] = []
    for name in names:
        try:
            library = read_mtl(path, name) | library
        except UnreachableError:
            raise
        except RenderError:
            missing.append(name)
    return library, missing
