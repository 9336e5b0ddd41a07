"""Triangle meshes, and reading them from .off .obj .ply .stl .glb .gltf files. No normalising and no drawing here."""

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from render.appearance import Appearance
from render.errors import RenderError
from render.location import Location, as_location

MESH_SUFFIXES = (".off", ".obj", ".ply", ".stl", ".glb", ".gltf")


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles, and what is known of them.

    Attributes:
        vertices: (N, 3) float64.
        faces: (F, 3) int64 indices into vertices.
        appearance: materials and colours by face; None where the file has none, or where it was not asked for.
        part: (F,) int32 part label of each face, -1 where it has none; None where nothing is labelled.
        polygon: (F,) int32 which of the file's polygons each face was split from, rising; None where the file has triangles.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    appearance: Appearance | None = None
    part: npt.NDArray[np.int32] | None = None
    polygon: npt.NDArray[np.int32] | None = None


def read_mesh(path: str | Location, content: bytes | None = None, appearance: bool = False) -> Mesh:
    """The triangles of a mesh file, scene transforms applied, polygons split, faces and vertices in the file's order.

    Args:
        path: the file, or its URL; its suffix (any case) names the format. Files that it names (.mtl, .bin, pictures) are
            looked for in its folder, in the one above, and below those; a name that is a URL itself is never followed.
        content: the file's bytes, if already read.
        appearance: whether materials, textures and colours are read; without, they cost nothing.

    Returns:
        Mesh with at least one face and only finite, valid vertices in use. Vertices are the file's, unused ones included;
        of an .stl, which repeats them for each face, each position once.

    Raises:
        RenderError: unknown suffix, unreadable or damaged file, content of another format than its suffix says, no faces, an
            index out of range, a vertex in use that is not finite.
    """
    path = as_location(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise RenderError(f"{path}: suffix {suffix!r} is not one of {', '.join(MESH_SUFFIXES)}")
    content = file_content(path) if content is None else content
    # Here, so that whoever only wants `Mesh` does not load every format and its compiler.
    from render.reading.polygons import split
    from render.reading.readers import READERS, told_format

    told = told_format(content)
    if told is not None and told != suffix:
        named = f"{told[1:].upper()} content under the name {suffix}; rename it" if told in MESH_SUFFIXES else told
        raise RenderError(f"{path}: is {named}")
    try:
        if not content:
            raise RenderError("the file is empty")
        with np.errstate(over="ignore", invalid="ignore"):  # `checked` tells what is not finite
            triangles = split(READERS[suffix](path, content, appearance))
    except RenderError as error:
        raise RenderError(f"{path}: cannot read as {suffix}: {error}") from error
    mesh = Mesh(triangles.vertices, triangles.faces, triangles.appearance, None, triangles.polygon)
    return checked(mesh, str(path))


def file_content(path: Location) -> bytes:
    """The bytes of a file; a pipe or a device, which might never end, is refused, links are followed.

    Behind a URL a file of more than `render.location.LARGEST_REMOTE` bytes is refused.

    Raises:
        RenderError: no such file, not a file, or it cannot be read.
    """
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise RenderError(f"{path}: cannot read: is a folder, pipe or device")
        return path.read_bytes()
    except OSError as error:
        raise RenderError(f"{path}: cannot read: {error.strerror}") from error


def checked(mesh: Mesh, where: str) -> Mesh:
    """The mesh itself, if every face can be drawn.

    Args:
        mesh: any mesh.
        where: the file or source, for the message.

    Raises:
        RenderError: no faces, an index out of range, or a vertex in use that is not finite.
    """
    if len(mesh.faces) == 0:
        raise RenderError(f"{where}: the mesh has no faces")
    lowest, highest = int(mesh.faces.min()), int(mesh.faces.max())
    if lowest < 0 or highest >= len(mesh.vertices):
        raise RenderError(f"{where}: a face names vertex {lowest if lowest < 0 else highest} of {len(mesh.vertices)}")
    check_finite(mesh, where)
    return mesh


def check_finite(mesh: Mesh, where: str) -> None:
    """Raises RenderError where a vertex in use is NaN or infinite; those that no face uses may be."""
    if not np.isfinite(mesh.vertices).all() and not np.isfinite(mesh.vertices[mesh.faces]).all():
        raise RenderError(f"{where}: a vertex in use is not finite (NaN or infinite)")
