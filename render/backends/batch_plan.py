"""Which views a device draws in one call, so that memory suffices and no face is dropped.

Pure arithmetic on counts; no device is touched here. Numbers of the kernels are those of pytorch3d 0.7.9:

- Its naive kernel tests every face at every pixel. Its binned one first lists the faces of each bin, then walks that list
  at every pixel of the bin. The list has ``max_faces_per_bin`` entries, unused ones included, and faces beyond them are
  dropped with no more than a line printed by the device. Here the list is as long as the largest mesh of the call has faces,
  so that it holds all of them even if all fall into one bin.
- Walking past an unused entry costs about a tenth of testing a face, so binning pays from a few hundred faces on, and
  bins need not be small: 8 x 8 of them leave about as much testing as walking, at a third of the memory of 14 x 14.
- Filling the lists looks at (views) x (faces of the whole call): it grows with the square of the views of a call, and
  overtakes the walking at about 50. These are counts of work, not timings.
"""

import dataclasses
from collections.abc import Iterable, Sequence

BINNED_FACES = 256  # from this many faces on a mesh is drawn in bins
BINNED_VIEWS = 48  # views in a binned call at most
BINS = 8  # along a side; pytorch3d allows 21
_INDEX_LIMIT = 2**31  # its kernels count in 32 bits, unchecked
_PIXEL_BYTES = (
    64  # face int64, depth, distance and 3 weights float32; then face and depth again, and what they pass through
)
_FACE_BYTES = 128  # corners 36, indices 48, neighbour 8, boxes 17, and the gather between them
_VERTEX_BYTES = 24


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some consecutive views of one request.

    Attributes:
        request: its place in the batch.
        views: which views, a range of step 1.
        num_vertices: of its mesh.
        num_faces: of its mesh.
    """

    request: int
    views: range
    num_vertices: int
    num_faces: int


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What is drawn in one call: pieces of one image size and projection.

    Attributes:
        pieces: in the order of drawing, at least one.
        image_size: side of the views in pixels.
        parallel: the projection.
        bin_size: side of a bin in pixels, 0 for the naive kernel.
        max_faces_per_bin: the largest face count of the pieces.
    """

    pieces: tuple[Piece, ...]
    image_size: int
    parallel: bool
    bin_size: int
    max_faces_per_bin: int

    @property
    def num_views(self) -> int:
        """Views of all pieces."""
        return sum(len(piece.views) for piece in self.pieces)


@dataclasses.dataclass(frozen=True)
class Size:
    """What a request asks of the device.

    Attributes:
        num_vertices: of its mesh.
        num_faces: of its mesh.
        num_views: its cameras.
        image_size: side of its views in pixels.
        parallel: its projection.
    """

    num_vertices: int
    num_faces: int
    num_views: int
    image_size: int
    parallel: bool


def plan_chunks(sizes: Sequence[Size], budget: int, can_bin: bool) -> list[Chunk]:
    """Calls that together draw every view of every request that has a face, each within the budget where it can be.

    Args:
        sizes: one a request, in the order of the batch.
        budget: bytes on the device for one call. A call of a single view may exceed it: there is nothing left to split.
        can_bin: whether the device has the binned kernel; the CPU has not.

    Returns:
        Chunks of meshes of like size, so that short lists need not be as long as the longest of the batch.
    """
    groups: dict[tuple[int, bool, bool], list[int]] = {}
    for request in sorted(range(len(sizes)), key=lambda index: sizes[index].num_faces):
        size = sizes[request]
        if size.num_faces:
            binned = (
                can_bin and size.num_faces >= BINNED_FACES and _fits([_piece(sizes, request, 0, 1)], size, budget, True)
            )
            groups.setdefault((size.image_size, size.parallel, binned), []).append(request)
    return [
        chunk(pieces, sizes[requests[0]], binned)
        for (_, _, binned), requests in groups.items()
        for pieces in _packed(sizes, requests, budget, binned)
    ]


def chunk(pieces: Sequence[Piece], size: Size, binned: bool) -> Chunk:
    """The call that draws these pieces, whose image size and projection are those of ``size``."""
    bin_size = -(-size.image_size // BINS) if binned else 0
    longest = max(piece.num_faces for piece in pieces)
    return Chunk(tuple(pieces), size.image_size, size.parallel, bin_size, longest)


def smaller_chunks(too_large: Chunk) -> list[Chunk]:
    """Two chunks of half the views, or one view by the naive kernel, which needs no lists; empty if that is what failed."""
    if too_large.num_views == 1:
        return [dataclasses.replace(too_large, bin_size=0)] if too_large.bin_size else []
    left = too_large.num_views // 2
    first: list[Piece] = []
    second: list[Piece] = []
    for piece in too_large.pieces:
        taken = min(left, len(piece.views))
        left -= taken
        first += _part(piece, piece.views[:taken])
        second += _part(piece, piece.views[taken:])
    return [
        dataclasses.replace(too_large, pieces=tuple(half), max_faces_per_bin=max(piece.num_faces for piece in half))
        for half in (first, second)
    ]


def _part(piece: Piece, views: range) -> list[Piece]:
    return [dataclasses.replace(piece, views=views)] if views else []


def _piece(sizes: Sequence[Size], request: int, first: int, last: int) -> Piece:
    return Piece(request, range(first, last), sizes[request].num_vertices, sizes[request].num_faces)


def _packed(sizes: Sequence[Size], requests: Iterable[int], budget: int, binned: bool) -> list[list[Piece]]:
    """Pieces of the requests, which come by ascending face count, filled into calls one after the other."""
    calls: list[list[Piece]] = [[]]
    for request in requests:
        first, num_views = 0, sizes[request].num_views
        while first < num_views:
            last = _last_that_fits(sizes, request, first, calls[-1], budget, binned)
            if last == first and calls[-1]:
                calls.append([])
                continue
            last = max(last, first + 1)  # a call of its own, whatever it needs
            calls[-1].append(_piece(sizes, request, first, last))
            first = last
    return calls


def _last_that_fits(
    sizes: Sequence[Size], request: int, first: int, before: list[Piece], budget: int, binned: bool
) -> int:
    """How far the views from ``first`` on may go in a call that holds ``before``; ``first`` itself if not one fits."""
    fewest, most = first, sizes[request].num_views
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if _fits([*before, _piece(sizes, request, first, middle)], sizes[request], budget, binned):
            fewest = middle
        else:
            most = middle - 1
    return fewest


def _fits(pieces: Sequence[Piece], size: Size, budget: int, binned: bool) -> bool:
    """Whether a call stays within the budget, within 32 bits, and within what binning can make use of."""
    num_views = sum(len(piece.views) for piece in pieces)
    num_faces = sum(len(piece.views) * piece.num_faces for piece in pieces)
    num_vertices = sum(len(piece.views) * piece.num_vertices for piece in pieces)
    pixels = num_views * size.image_size**2
    entries = num_views * BINS**2 * max(piece.num_faces for piece in pieces) if binned else 0
    needed = pixels * _PIXEL_BYTES + num_faces * _FACE_BYTES + num_vertices * _VERTEX_BYTES + entries * 4
    largest_index = max(3 * pixels, 9 * num_faces, entries)
    return needed <= budget and largest_index < _INDEX_LIMIT and not (binned and num_views > BINNED_VIEWS)
