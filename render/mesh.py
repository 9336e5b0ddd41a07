"""Reading triangle meshes from files: .off .obj .ply .stl .glb, through trimesh. No normalising and no drawing here."""

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from render.errors import RenderError

MESH_SUFFIXES = (".off", ".obj", ".ply", ".stl", ".glb")
# `OFF3514 3546 0`: some ModelNet40 headers lack the line break after the magic word.
_GLUED_OFF_HEADER = re.compile(rb"\A\s*(OFF)[ \t]*(?=\d)")


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles.

    Attributes:
        vertices: (N, 3) float64.
        faces: (F, 3) int64 indices into vertices.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]


def read_mesh(path: Path, content: bytes | None = None) -> Mesh:
    """The triangles of a mesh file, scene transforms applied, polygons split.

    Args:
        path: the file; its suffix (any case) names the format.
        content: the file's bytes, if already read.

    Returns:
        Mesh with at least one face and only finite, valid vertices in use. Vertices are as trimesh reads them: an .stl has
        three a face, and an .obj one for each pair of position and texture coordinate.

    Raises:
        RenderError: unknown suffix, unreadable or damaged file, no faces, an index out of range, a vertex in use that is
            not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise RenderError(f"{path}: suffix {suffix!r} is not one of {', '.join(MESH_SUFFIXES)}")
    try:
        content = path.read_bytes() if content is None else content
    except OSError as error:
        raise RenderError(f"{path}: cannot read: {error.strerror}") from error
    if suffix == ".off":
        content = _GLUED_OFF_HEADER.sub(rb"OFF\n", content, count=1)
        _check_off_is_whole(path, content)
    vertices, faces = _load_with_trimesh(path, suffix, content)
    return checked(Mesh(vertices, faces), str(path))


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
    if not np.isfinite(mesh.vertices).all() and not np.isfinite(mesh.vertices[np.unique(mesh.faces)]).all():
        raise RenderError(f"{where}: a vertex in use is not finite (NaN or infinite)")
    return mesh


def _check_off_is_whole(path: Path, content: bytes) -> None:
    """Refuse an .off file with fewer rows than its header announces; trimesh reads what is there."""
    lines = (line.strip() for line in content.splitlines())
    rows = [line for line in lines if line and not line.startswith(b"#")]
    header = [row.split(b"#")[0].split() for row in rows[:2]]
    has_magic = bool(header) and header[0][0].upper().endswith(b"OFF")
    try:
        num_vertices, num_faces = (int(number) for number in header[has_magic][:2])
    except (IndexError, ValueError) as error:
        raise RenderError(f"{path}: cannot read as .off: no line with the numbers of vertices and faces") from error
    found = len(rows) - has_magic - 1
    if found < num_vertices + num_faces:
        raise RenderError(
            f"{path}: cannot read as .off: the header announces {num_vertices} vertices and {num_faces} faces, "
            f"{found} lines follow; the file is cut short"
        )


def _load_with_trimesh(
    path: Path, suffix: str, content: bytes
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    import trimesh

    try:
        scene = trimesh.load_scene(io.BytesIO(content), file_type=suffix[1:], process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except MemoryError:
        raise
    except Exception as error:  # the loaders of damaged files raise anything from ValueError to KeyError
        raise RenderError(f"{path}: cannot read as {suffix}: {type(error).__name__}: {error}") from error
    if not parts:
        raise RenderError(f"{path}: the mesh has no faces")
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    vertices = np.concatenate([np.asarray(part.vertices, np.float64) for part in parts])
    faces = np.concatenate(
        [np.asarray(part.faces, np.int64) + offset for part, offset in zip(parts, offsets, strict=True)]
    )
    return np.ascontiguousarray(vertices), np.ascontiguousarray(faces)
