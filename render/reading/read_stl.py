"""Reading .stl, text and binary: triangles, whose corners at equal positions become one vertex."""

import numpy as np
import numpy.typing as npt
from numba import njit

from render.duplicates import equal_positions
from render.errors import RenderError
from render.location import Location
from render.reading.polygons import Polygons
from render.reading.scan_numbers import line_number, next_row, put_float, settle, skip_line, skip_token, text_of

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEADER_BYTES = 84


def read_stl(path: Location, content: bytes, appearance: bool) -> Polygons:
    """The triangles of an .stl file; corners at the same position share a vertex, the first one's place in the order.

    Args:
        path: unused, the file names no other.
        content: its bytes; binary if its length fits the number of triangles that it announces, even if it begins with
            ``solid`` as text does.
        appearance: unused, the format has no colours of its own.

    Raises:
        RenderError: neither of the two, cut short, or damaged.
    """
    announced = int.from_bytes(content[80:_HEADER_BYTES], "little")
    needed = _HEADER_BYTES + announced * _RECORD.itemsize
    if len(content) >= _HEADER_BYTES and len(content) == needed:
        records = np.frombuffer(content, _RECORD, announced, _HEADER_BYTES)
        vertices = records["corners"].astype(np.float64).reshape(-1, 3)
    elif content[:256].lstrip().lower().startswith(b"solid"):
        vertices = _text_vertices(content)
    elif len(content) < _HEADER_BYTES:
        raise RenderError(f"{len(content)} bytes are less than a header; the file is cut short")
    else:
        raise RenderError(
            f"the header announces {announced} triangles in {needed} bytes, the file has {len(content)}; "
            f"it is {'cut short' if len(content) < needed else 'damaged'}"
        )
    first = equal_positions(vertices)
    is_first = first == np.arange(len(first))
    return Polygons(vertices[is_first], (np.cumsum(is_first) - 1)[first])


def _text_vertices(content: bytes) -> npt.NDArray[np.float64]:
    """(3 F, 3) float64 of all facets of all solids."""
    text = text_of(content)
    most = content.lower().count(b"endfacet") + 1  # the last one may be cut short
    values, pending = np.zeros(9 * most, np.float64), np.zeros(9 * most, np.bool_)
    num_facets, at, is_whole = _scan_solids(text, most, values, pending)
    if not is_whole:
        told = "is cut short" if at >= len(text) else f"line {line_number(content, at)} does not fit the format"
        raise RenderError(f"{told}, after {num_facets} triangles")
    settle(content, values, pending)
    return values[: 9 * num_facets].reshape(-1, 3)


@njit(nogil=True, cache=True, error_model="numpy")
def _scan_solids(text, most, values, pending):  # type: ignore[no-untyped-def]
    """(facets found, where reading ended, whether every solid is closed)."""
    num_facets, is_inside = 0, False
    at = next_row(text, 0)
    while at < len(text):
        if not is_inside and _is_word(text, at, b"solid"):
            is_inside, at = True, skip_line(text, at)  # a name of any words follows
        elif is_inside and _is_word(text, at, b"endsolid"):
            is_inside, at = False, skip_line(text, at)
        elif is_inside and num_facets < most:
            at, fits = _scan_facet(text, at, values, pending, 9 * num_facets)
            if not fits:
                return num_facets, at, False
            num_facets += 1
        else:
            return num_facets, at, False
        at = next_row(text, at)
    return num_facets, at, not is_inside


@njit(nogil=True, cache=True, error_model="numpy")
def _scan_facet(text, at, values, pending, first):  # type: ignore[no-untyped-def]
    """(end of ``facet normal x y z outer loop``, three times ``vertex x y z``, ``endloop endfacet``; whether it fits)."""
    for word in (b"facet", b"normal", b"", b"", b"", b"outer", b"loop"):  # any number fits an empty one
        at = next_row(text, at)
        if at == len(text) or (len(word) > 0 and not _is_word(text, at, word)):
            return at, False
        at = skip_token(text, at)
    for corner in range(3):
        at = next_row(text, at)
        if not _is_word(text, at, b"vertex"):
            return at, False
        at = skip_token(text, at)
        for axis in range(3):
            at = next_row(text, at)
            if at == len(text):
                return at, False
            at = put_float(text, at, values, pending, first + corner * 3 + axis)
    for word in (b"endloop", b"endfacet"):
        at = next_row(text, at)
        if not _is_word(text, at, word):
            return at, False
        at = skip_token(text, at)
    return at, True


@njit(nogil=True, cache=True, error_model="numpy")
def _is_word(text, at, word):  # type: ignore[no-untyped-def]
    """Whether the word at ``at`` is ``word``, which is in small letters, in any case."""
    if skip_token(text, at) - at != len(word):
        return False
    same = True
    for place in range(len(word)):
        same = same and text[at + place] | 32 == word[place]
    return same
