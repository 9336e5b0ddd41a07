"""The lines of .obj text as arrays, compiled with numba: vertices, texture coordinates, faces, and where other lines begin."""

import dataclasses

import numpy as np
import numpy.typing as npt
from numba import njit

from render.errors import RenderError
from render.reading.scan_numbers import (
    ends_line,
    ends_word,
    line_number,
    next_row,
    scan_int,
    scan_row,
    settle,
    skip_blanks,
    skip_line,
    skip_token,
    text_of,
)

ABSENT = -(1 << 62)  # a corner without texture coordinates; other negative numbers are relative indices gone astray
_VERTEX, _UV, _FACE, _DIRECTIVE, _OTHER = 0, 1, 2, 3, 4
_FAULTS = {
    1: "a vertex wants at least three numbers, a texture coordinate one",
    2: "a face is made of v, v/vt, v//vn or v/vt/vn, whole numbers that are not 0",
}


@dataclasses.dataclass(frozen=True, eq=False)
class ObjLines:
    """What the lines of an .obj file say; P faces of K corners in all.

    Attributes:
        vertices: (N, width) float64, 0 where a line has fewer numbers.
        vertex_words: (N,) int64 numbers on each vertex's line.
        uv: (T, 2) float64; nothing where texture coordinates are not asked for.
        corners: (K,) int64 indices into vertices, relative ones resolved, not yet checked.
        corner_uv: (K,) int64 indices into uv, `ABSENT` where there is none; nothing where not asked for.
        sizes: (P,) int64 corners of each face.
        directive_starts: (D,) int64, the byte where each ``usemtl`` and ``mtllib`` begins.
        directive_faces: (D,) int64, the number of faces before it.
    """

    vertices: npt.NDArray[np.float64]
    vertex_words: npt.NDArray[np.int64]
    uv: npt.NDArray[np.float64]
    corners: npt.NDArray[np.int64]
    corner_uv: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    directive_starts: npt.NDArray[np.int64]
    directive_faces: npt.NDArray[np.int64]


def scan_obj(content: bytes, width: int, with_uv: bool) -> ObjLines:
    """The lines of an .obj file; those that are no vertex, texture coordinate, face, usemtl or mtllib are ignored.

    Args:
        content: the file, without continued lines.
        width: numbers of a vertex to keep, at least 3.
        with_uv: whether texture coordinates are wanted.

    Raises:
        RenderError: a line that does not fit its keyword.
    """
    text = text_of(content)
    counts = np.zeros(5, np.int64)
    _count(text, counts)
    num_vertices, num_uv, num_faces, num_directives, num_corners = counts.tolist()
    vertices, words = np.zeros(num_vertices * width, np.float64), np.empty(num_vertices, np.int64)
    uv = np.zeros(2 * num_uv if with_uv else 0, np.float64)
    corners, sizes = np.empty(num_corners, np.int64), np.empty(num_faces, np.int64)
    corner_uv = np.full(num_corners if with_uv else 0, ABSENT, np.int64)
    directives = np.empty((2, num_directives), np.int64)
    pending_vertices, pending_uv = np.zeros(len(vertices), np.bool_), np.zeros(len(uv), np.bool_)
    fault, at = _fill(
        text, width, vertices, pending_vertices, words, uv, pending_uv, corners, corner_uv, sizes, directives
    )
    if fault:
        raise RenderError(f"line {line_number(content, at)}: {_FAULTS[fault]}")
    settle(content, vertices, pending_vertices)
    settle(content, uv, pending_uv)
    return ObjLines(
        vertices.reshape(-1, width), words, uv.reshape(-1, 2), corners, corner_uv, sizes, directives[0], directives[1]
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _kind(text, at):  # type: ignore[no-untyped-def]
    """(kind of the line whose first word begins at ``at``, where the rest begins)."""
    end = skip_token(text, at)
    size = end - at
    if size == 1 and text[at] == 118:  # v
        return _VERTEX, end
    if size == 2 and text[at] == 118 and text[at + 1] == 116:  # vt
        return _UV, end
    if (size == 1 and text[at] == 102) or (size == 2 and text[at] == 102 and text[at + 1] == 111):  # f, and fo of old
        return _FACE, end
    if size == 6:
        for keyword in (b"usemtl", b"mtllib"):
            fits = True
            for place in range(6):
                fits = fits and text[at + place] == keyword[place]
            if fits:
                return _DIRECTIVE, end
    return _OTHER, end


@njit(nogil=True, cache=True, error_model="numpy")
def _count(text, counts):  # type: ignore[no-untyped-def]
    """Numbers of vertices, texture coordinates, faces, directives and corners."""
    at = next_row(text, 0)
    while at < len(text):
        kind, at = _kind(text, at)
        if kind != _OTHER:
            counts[kind] += 1
        if kind == _FACE:
            at = skip_blanks(text, at)
            while at < len(text) and not ends_line(text[at]):
                counts[4] += 1
                at = skip_blanks(text, skip_token(text, at))
        at = next_row(text, skip_line(text, at))


@njit(nogil=True, cache=True, error_model="numpy")
def _fill(text, width, vertices, pending_vertices, words, uv, pending_uv, corners, corner_uv, sizes, directives):  # type: ignore[no-untyped-def]
    """(fault or 0, where it is)."""
    num_vertices, num_uv, num_faces, num_directives, num_corners = 0, 0, 0, 0, 0
    at = next_row(text, 0)
    while at < len(text):
        start = at
        kind, at = _kind(text, at)
        if kind == _VERTEX:
            count, at = scan_row(text, at, vertices, pending_vertices, num_vertices * width, width)
            if count < 3:
                return 1, start
            words[num_vertices] = count
            num_vertices += 1
        elif kind == _UV:
            if len(uv):
                count, at = scan_row(text, at, uv, pending_uv, num_uv * 2, 2)
                if count < 1:
                    return 1, start
            num_uv += 1
        elif kind == _FACE:
            size, at = _corners(text, at, corners, corner_uv, num_corners, num_vertices, num_uv)
            if size < 0:
                return 2, start
            sizes[num_faces] = size
            num_corners += size
            num_faces += 1
        elif kind == _DIRECTIVE:
            directives[0, num_directives], directives[1, num_directives] = start, num_faces
            num_directives += 1
        at = next_row(text, skip_line(text, at))
    return 0, at


@njit(nogil=True, cache=True, error_model="numpy")
def _corners(text, at, corners, corner_uv, first, num_vertices, num_uv):  # type: ignore[no-untyped-def]
    """(corners of a face or -1, where they end); a negative index counts back from the latest vertex above the line."""
    size = 0
    at = skip_blanks(text, at)
    while at < len(text) and not ends_line(text[at]):
        index, at, is_whole = scan_int(text, at)
        if not is_whole or index == 0:
            return -1, at
        corners[first + size] = index - 1 if index > 0 else num_vertices + index
        if at < len(text) and text[at] == 47 and len(corner_uv):  # 47 is /
            index, end, is_whole = scan_int(text, at + 1)
            if is_whole:
                if index == 0:
                    return -1, at
                corner_uv[first + size] = index - 1 if index > 0 else num_uv + index
                at = end
        while at < len(text) and (text[at] == 47 or text[at] == 45 or 48 <= text[at] <= 57):
            at += 1
        if at < len(text) and not ends_word(text[at]):
            return -1, at
        size += 1
        at = skip_blanks(text, at)
    return size, at
