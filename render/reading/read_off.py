"""Reading .off text: plain, COFF, NOFF and STOFF, with polygons, comments, and colours of vertices or faces."""

import re

import numpy as np
import numpy.typing as npt
from numba import njit

from render.errors import RenderError
from render.location import Location
from render.reading.colors import color_bytes
from render.reading.polygons import Polygons
from render.reading.scan_numbers import (
    ends_line,
    ends_word,
    is_blank,
    line_number,
    next_row,
    scan_int,
    scan_row,
    scan_rows,
    settle,
    skip_blanks,
    text_of,
    token_at,
)

# Possessive, so that a hostile file cannot make the match try every way to part blanks and comments.
_BETWEEN = rb"(?:\s++|#[^\r\n]*+)*+"
# `OFF3514 3546 0`: some ModelNet40 headers lack the line break after the magic word.
_MAGIC = re.compile(rb"(?:\xef\xbb\xbf)?" + _BETWEEN + rb"(ST)?(C)?(N)?OFF(?=[\s\d#]|\Z)", re.IGNORECASE)
_COUNTS = re.compile(_BETWEEN + rb"(\d{1,18})[ \t]+(\d{1,18})(?:[ \t]+\d+)?[ \t]*(?=[#\r\n]|\Z)")
_WIDEST = 12  # numbers of a vertex that are looked at: position, normal, colour with alpha, texture coordinates


def read_off(path: Location, content: bytes, appearance: bool) -> Polygons:
    """The polygons of an .off file.

    Args:
        path: unused, the file names no other.
        content: its bytes; each vertex and each face is on a line of its own.
        appearance: whether colours are read: of vertices (r g b after position and normal) and of faces, as 0..1 or as
            0..255; vertices without a colour are white. A colour index is ignored.

    Raises:
        RenderError: no such header, fewer or more lines than it announces, or a line that does not fit.
    """
    magic = _MAGIC.match(content)
    if not magic:
        raise RenderError("does not begin with OFF, COFF, NOFF or STOFF")
    counts = _COUNTS.match(content, magic.end())
    if not counts:
        raise RenderError("no line with the numbers of vertices and faces")
    num_vertices, num_faces = int(counts.group(1)), int(counts.group(2))
    announced = f"the header announces {num_vertices} vertices and {num_faces} faces"
    # Three numbers of one digit and their blanks, a face's size and a line end: no shorter file holds so many.
    if 6 * num_vertices + 2 * num_faces > len(content) - counts.end() + 2:
        raise RenderError(f"{announced}, too many for the file's {len(content)} bytes; the file is cut short")
    text = text_of(content)
    width = _WIDEST if appearance else 3
    vertices, words, found, at = _vertices(content, text, counts.end(), num_vertices, width)
    if found < num_vertices:
        raise RenderError(f"{announced}, {found} vertices follow; the file is cut short")
    faces = _faces(content, text, at, num_faces, appearance, announced)
    color = _vertex_color(vertices, words, 6 if magic.group(3) else 3, bool(magic.group(2))) if appearance else None
    corner_color = None if color is None else color[np.clip(faces.corners, 0, num_vertices - 1)]
    return Polygons(
        np.ascontiguousarray(vertices[:, :3]),
        faces.corners,
        faces.sizes,
        corner_color=faces.corner_color if corner_color is None else corner_color,
    )


def _vertices(
    content: bytes, text: npt.NDArray[np.uint8], at: int, num_vertices: int, width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int, int]:
    """(rows (N, width), words in each line (N,), lines found, where the last one ends)."""
    values = np.zeros(num_vertices * width, np.float64)
    words = np.zeros(num_vertices, np.int64)
    pending = np.zeros(len(values), np.bool_)
    found, at = scan_rows(text, at, num_vertices, width, values, pending, words)
    settle(content, values, pending)
    short = np.flatnonzero(words[:found] < 3)
    if len(short):
        raise RenderError(f"vertex {short[0]} has {words[short[0]]} numbers; the file is damaged or cut short")
    return values.reshape(num_vertices, width), words, found, at


def _vertex_color(
    rows: npt.NDArray[np.float64], words: npt.NDArray[np.int64], first: int, announced: bool
) -> npt.NDArray[np.uint8] | None:
    """(N, 3) uint8, or None where no vertex has a colour; plain OFF files of many tools carry it unannounced."""
    has_color = words >= first + 3 if announced else (words == first + 3) | (words == first + 4)
    return _color_where(has_color, rows[:, first : first + 3])


def _color_where(has_color: npt.NDArray[np.bool_], numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8] | None:
    """Bytes of the rows that have a colour and white for the others; None where none has."""
    if not has_color.any():
        return None
    color = np.full(numbers.shape, 255, np.uint8)
    color[has_color] = color_bytes(numbers[has_color])
    return color


def _faces(
    content: bytes, text: npt.NDArray[np.uint8], at: int, num_faces: int, appearance: bool, announced: str
) -> Polygons:
    """The faces, without vertices."""
    sizes, words = np.empty(num_faces, np.int64), np.zeros(num_faces, np.int64)
    corners = np.empty((len(text) - at) // 2 + 1, np.int64)
    colors = np.zeros(4 * num_faces if appearance else 0, np.float64)
    pending = np.zeros(len(colors), np.bool_)
    found, num_corners, at, is_whole = _scan_faces(text, at, sizes, corners, words, colors, pending)
    if not is_whole:
        raise RenderError(
            f"line {line_number(content, at)} is no face: a number of corners, as many vertices, a colour"
        )
    if found < num_faces:
        raise RenderError(f"{announced}, {found} faces follow; the file is cut short")
    rest = next_row(text, at)
    if rest < len(text):
        raise RenderError(
            f"{announced}, but line {line_number(content, rest)} is one more: {token_at(content, rest)!r}"
        )
    settle(content, colors, pending)
    color = _color_where(words >= 3, colors.reshape(-1, 4)[:, :3]) if appearance else None
    return Polygons(
        np.empty((0, 3)),
        corners[:num_corners].copy(),
        None if bool((sizes == 3).all()) else sizes,
        corner_color=None if color is None else np.repeat(color, sizes, axis=0),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _scan_faces(text, at, sizes, corners, words, colors, pending):  # type: ignore[no-untyped-def]
    """(faces found, corners found, where the last line ends or the next fails, whether every line fits).

    ``words`` gets the number of words after each face's corners, ``colors`` (4 a face, or empty) the numbers in them.
    """
    count = 0
    for face in range(len(sizes)):
        start = next_row(text, at)
        if start == len(text):
            return face, count, start, True
        size, at, is_whole = scan_int(text, start)
        if not is_whole or not 0 <= size <= (len(text) - at) // 2:
            return face, count, start, False
        for _ in range(size):
            while at < len(text) and is_blank(text[at]):
                at += 1
            corners[count], end, is_whole = scan_int(text, at)
            if not is_whole or (end < len(text) and not ends_word(text[end])):
                return face, count, start, False
            at, count = end, count + 1
        sizes[face] = size
        at = skip_blanks(text, at)
        if at < len(text) and not ends_line(text[at]):
            words[face], at = scan_row(text, at, colors, pending, face * 4, 4 if len(colors) else 0)
            if words[face] == 2 or words[face] > 4:
                return face, count, start, False
    return len(sizes), count, at, True
