"""Numbers from the bytes of text files, compiled with numba: each float64 is the one nearest to its decimal digits.

A number of up to 15 or so digits is exact in one multiplication or division; every other token is noted and left to Python's
``float``, by `settle`. A line ends at a line feed or a carriage return, and a word that begins with ``#`` begins a comment.
"""

import re

import numpy as np
import numpy.typing as npt
from numba import njit

from render.errors import RenderError

_TENS = np.array([10.0**power for power in range(23)])  # the powers of ten that float64 holds exactly
_LARGEST_EXACT = 1 << 53
_TOKEN = re.compile(rb"\S*")
_NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE)
_NOT_A_NUMBER = re.compile(rb"[+-]?1\.#(IND|QNAN|SNAN|INF)\w*\Z")  # how old C libraries print NaN and infinity


def text_of(content: bytes) -> npt.NDArray[np.uint8]:
    """The bytes as (n,) uint8 without a copy, as the compiled functions take them."""
    return np.frombuffer(content, np.uint8)


def settle(content: bytes, values: npt.NDArray[np.float64], pending: npt.NDArray[np.bool_]) -> None:
    """Fill in the numbers that the compiled scanner left pending.

    Args:
        content: the file.
        values: (n,) float64, written to; where ``pending`` is set, it has the byte at which the number begins.
        pending: (n,) bool.

    Raises:
        RenderError: a token is no number; the message has its line.
    """
    for slot in np.flatnonzero(pending).tolist():
        values[slot] = _number(content, int(values[slot]))


def line_number(content: bytes, start: int) -> int:
    """The line of a byte as an editor counts it, from 1."""
    before = content[:start]
    return 1 + before.count(b"\n") + (before.count(b"\r") - before.count(b"\r\n"))


def token_at(content: bytes, start: int) -> str:
    """The word that begins at a byte, for messages: at most 40 characters."""
    match = _TOKEN.match(content, start)
    return match.group()[:40].decode("utf-8", "replace") if match else ""


def _number(content: bytes, start: int) -> float:
    match = _TOKEN.match(content, start)
    token = match.group() if match else b""
    special = _NOT_A_NUMBER.match(token)
    if special:
        return float("inf" if special.group(1) == b"INF" else "nan")
    if not _NUMBER.fullmatch(token):  # `float` would take 1_000 as well
        raise RenderError(f"line {line_number(content, start)}: {token_at(content, start)!r} is not a number")
    return float(token)


@njit(nogil=True, cache=True, error_model="numpy")
def ends_line(byte):  # type: ignore[no-untyped-def]
    """Whether a line's data ends where this byte begins a word: line feed, carriage return, or # of a comment."""
    return byte == 10 or byte == 13 or byte == 35


@njit(nogil=True, cache=True, error_model="numpy")
def is_blank(byte):  # type: ignore[no-untyped-def]
    """Whether a byte parts words within a line: space, tab, vertical tab, form feed."""
    return byte == 32 or byte == 9 or byte == 11 or byte == 12


@njit(nogil=True, cache=True, error_model="numpy")
def ends_word(byte):  # type: ignore[no-untyped-def]
    """Whether a word ends at this byte: blank or end of the line."""
    return is_blank(byte) or byte == 10 or byte == 13


@njit(nogil=True, cache=True, error_model="numpy")
def skip_blanks(text, at):  # type: ignore[no-untyped-def]
    """The first byte from ``at`` on that is not blank; line ends are not skipped."""
    while at < len(text) and is_blank(text[at]):
        at += 1
    return at


@njit(nogil=True, cache=True, error_model="numpy")
def skip_token(text, at):  # type: ignore[no-untyped-def]
    """The end of the word at ``at``."""
    while at < len(text) and not ends_word(text[at]):
        at += 1
    return at


@njit(nogil=True, cache=True, error_model="numpy")
def skip_line(text, at):  # type: ignore[no-untyped-def]
    """The byte that ends the line of ``at``, a comment skipped; the text's length on its last line."""
    while at < len(text) and text[at] != 10 and text[at] != 13:
        at += 1
    return at


@njit(nogil=True, cache=True, error_model="numpy")
def next_row(text, at):  # type: ignore[no-untyped-def]
    """The first word at or after ``at``, past empty lines and comments; the text's length where none is left."""
    while at < len(text):
        if text[at] == 35:
            at = skip_line(text, at)
        elif is_blank(text[at]) or ends_line(text[at]):
            at += 1
        else:
            break
    return at


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def scan_int(text, at):  # type: ignore[no-untyped-def]
    """(value, first byte behind it, True), or False last where no whole number of up to 18 digits begins at ``at``."""
    negative = at < len(text) and text[at] == 45
    if negative or (at < len(text) and text[at] == 43):
        at += 1
    value, first = 0, at
    while at < len(text) and 48 <= text[at] <= 57:
        value = value * 10 + (text[at] - 48)  # wraps where there are too many
        at += 1
    return (-value if negative else value), at, 1 <= at - first <= 18


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def put_float(text, at, values, pending, slot):  # type: ignore[no-untyped-def]
    """The end of the word at ``at``, whose number goes to values[slot], to be settled later where pending[slot] is set.

    One long function, and inlined as is `scan_int`: with each call between compiled functions, the owners of their arrays
    are counted again, which costs more than scanning a few digits.
    """
    start, size = at, len(text)
    negative = at < size and text[at] == 45
    if negative or (at < size and text[at] == 43):
        at += 1
    mantissa, exponent, first = 0, 0, at
    while at < size and 48 <= text[at] <= 57:
        mantissa = mantissa * 10 + (text[at] - 48)
        at += 1
    num_digits = at - first
    if at < size and text[at] == 46:
        at += 1
        first = at
        while at < size and 48 <= text[at] <= 57:
            mantissa = mantissa * 10 + (text[at] - 48)
            at += 1
        exponent = first - at
        num_digits -= exponent
    fits = 1 <= num_digits <= 18 and mantissa <= _LARGEST_EXACT
    if at < size and (text[at] == 101 or text[at] == 69):
        power, at, whole = scan_int(text, at + 1)
        fits = fits and whole
        exponent += power
    if at < size and not ends_word(text[at]):
        fits, at = False, skip_token(text, at)
    if fits and (mantissa == 0 or -22 <= exponent <= 22):
        value = np.float64(mantissa)
        if mantissa != 0:
            value = value * _TENS[exponent] if exponent >= 0 else value / _TENS[-exponent]
        values[slot] = -value if negative else value
    else:
        values[slot], pending[slot] = start, True
    return at


@njit(nogil=True, cache=True, error_model="numpy")
def scan_row(text, at, values, pending, first, width):  # type: ignore[no-untyped-def]
    """(words in the rest of the line, its end); the first ``width`` numbers go to values[first:]."""
    count = 0
    while at < len(text):
        if is_blank(text[at]):
            at += 1
        elif ends_line(text[at]):
            break
        else:
            at = put_float(text, at, values, pending, first + count) if count < width else skip_token(text, at)
            count += 1
    return count, skip_line(text, at)


@njit(nogil=True, cache=True, error_model="numpy")
def scan_rows(text, at, num_rows, width, values, pending, counts):  # type: ignore[no-untyped-def]
    """(rows found, where the last one ends); fills values and pending (rows * width,) and counts (rows,).

    A row is a line with a word; ``counts`` has its number of words, which may be below or above ``width``.
    """
    for row in range(num_rows):
        at = next_row(text, at)
        if at == len(text):
            return row, at
        counts[row], at = scan_row(text, at, values, pending, row * width, width)
    return num_rows, at
