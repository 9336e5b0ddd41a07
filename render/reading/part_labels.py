"""Part labels of a mesh's faces, read from the file beside it: text with a number a line, or .npy."""

import dataclasses
import io
import re

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.location import Location
from render.mesh import Mesh, file_content

NO_PART = -1
_WHOLE = re.compile(rb"[+-]?[0-9]{1,18}")


def read_part_labels(path: Location, mesh: Mesh) -> npt.NDArray[np.int32]:
    """The label of each face of a mesh, (F,) int32, -1 for none.

    Args:
        path: .npy with one dimension of whole numbers; any other suffix is text with a whole number a line, where empty
            lines and lines that begin with # do not count.
        mesh: as read; where its polygons were split, the file may label either its polygons or its triangles.

    Raises:
        RenderError: the file cannot be read, a label is no whole number from -1 to 2147483647, or there are more or fewer
            than the mesh has faces.
    """
    content = file_content(path)
    try:
        labels = _from_array(content) if path.suffix.lower() == ".npy" else _from_text(content)
    except RenderError as error:
        raise RenderError(f"{path}: {error}") from error
    outside = np.flatnonzero((labels < NO_PART) | (labels > np.iinfo(np.int32).max))
    if len(outside):
        raise RenderError(f"{path}: label {labels[outside[0]]} of face {outside[0]} is not from -1 to 2147483647")
    if len(labels) == len(mesh.faces):
        return labels.astype(np.int32)
    if mesh.polygon is None:
        raise RenderError(f"{path}: {len(labels)} labels for {len(mesh.faces)} faces")
    num_polygons = int(mesh.polygon[-1]) + 1
    if len(labels) != num_polygons:
        raise RenderError(
            f"{path}: {len(labels)} labels for {num_polygons} polygons, which were split into {len(mesh.faces)} triangles"
        )
    return labels.astype(np.int32)[mesh.polygon]


def with_parts(mesh: Mesh, labels: npt.NDArray[np.int32]) -> Mesh:
    """The mesh with a label on each face.

    Args:
        mesh: F faces.
        labels: (F,) int32, -1 for none.

    Raises:
        RenderError: another number of labels.
    """
    if labels.shape != (len(mesh.faces),):
        raise RenderError(f"{labels.shape} part labels for {len(mesh.faces)} faces")
    return dataclasses.replace(mesh, part=labels.astype(np.int32, copy=False))


def _from_text(content: bytes) -> npt.NDArray[np.int64]:
    lines = (line.strip() for line in content.splitlines())
    words = [line for line in lines if line and not line.startswith(b"#")]
    for place, word in enumerate(words):
        if not _WHOLE.fullmatch(word):
            raise RenderError(f"label {word[:40].decode('utf-8', 'replace')!r} of face {place} is not a whole number")
    return np.array([int(word) for word in words], np.int64)


def _from_array(content: bytes) -> npt.NDArray[np.int64]:
    """The array, whose size is checked before memory is taken for it."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(stream)
    except (ValueError, SyntaxError, TypeError) as error:
        raise RenderError(f"is no .npy file: {error}") from error
    if len(shape) != 1 or kind.kind not in "iu":
        raise RenderError(f"holds {kind} of shape {shape}; one dimension of whole numbers is wanted")
    start = stream.tell()
    if len(content) - start != shape[0] * kind.itemsize:
        raise RenderError(
            f"announces {shape[0]} labels, {(len(content) - start) // kind.itemsize} follow; it is damaged"
        )
    labels = np.frombuffer(content, kind, shape[0], start)
    if len(labels) and labels.max() > np.iinfo(np.int64).max:
        raise RenderError(f"label {labels.max()} is not from -1 to 2147483647")
    return labels.astype(np.int64)
