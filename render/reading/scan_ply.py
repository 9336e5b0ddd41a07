"""Rows of .ply elements that have lists, compiled with numba: where each value lies, or the numbers themselves for text."""

from numba import njit

from render.reading.scan_numbers import ends_line, next_row, put_float, scan_int, skip_blanks, skip_line, skip_token


@njit(nogil=True, cache=True, error_model="numpy")
def walk_rows(content, at, count_sizes, item_sizes, is_big, places, sizes):  # type: ignore[no-untyped-def]
    """Where each property of each row lies, and the end of the last row; -1 - r where row r does not fit.

    ``count_sizes`` (C,) bytes of a list's own size, 0 for single values; ``item_sizes`` (C,) bytes of an item; ``places`` and
    ``sizes`` (C, R) are filled with the first byte and the number of items.
    """
    for row in range(places.shape[1]):
        for column in range(len(item_sizes)):
            size = 1
            width = count_sizes[column]
            if width > 0:
                if at + width > len(content):
                    return -1 - row
                size = 0
                for place in range(width):
                    byte = content[at + place] if is_big else content[at + width - 1 - place]
                    size = size * 256 + byte
                at += width
            # A negative size reads as more than the file can hold; eight bytes may wrap below 0.
            if not 0 <= size <= len(content) or at + size * item_sizes[column] > len(content):
                return -1 - row
            places[column, row], sizes[column, row] = at, size
            at += size * item_sizes[column]
    return at


@njit(nogil=True, cache=True, error_model="numpy")
def gather(content, places, lengths, gathered):  # type: ignore[no-untyped-def]
    """Copy pieces of ``content`` one after the other into ``gathered``."""
    end = 0
    for piece in range(len(places)):
        gathered[end : end + lengths[piece]] = content[places[piece] : places[piece] + lengths[piece]]
        end += lengths[piece]


@njit(nogil=True, cache=True, error_model="numpy")
def scan_list_rows(text, at, is_list, sizes, items, pending):  # type: ignore[no-untyped-def]
    """(rows found, numbers found, where the last row ends or the next fails).

    A row is a line: single values, and lists with their size before them; ``sizes`` (R, C) gets the sizes of the lists.
    """
    count = 0
    for row in range(len(sizes)):
        start = next_row(text, at)
        at = start
        for column in range(len(is_list)):
            size = 1
            if is_list[column]:
                at = skip_blanks(text, at)
                size, end, is_whole = scan_int(text, at)
                if not is_whole or end != skip_token(text, at) or not 0 <= size <= (len(text) - at) // 2:
                    return row, count, start
                at = end
            for _ in range(size):
                at = skip_blanks(text, at)
                if at == len(text) or ends_line(text[at]):
                    return row, count, start
                at = put_float(text, at, items, pending, count)
                count += 1
            sizes[row, column] = size
        at = skip_blanks(text, at)
        if at < len(text) and not ends_line(text[at]):
            return row, count, start
        at = skip_line(text, at)
    return len(sizes), count, at
