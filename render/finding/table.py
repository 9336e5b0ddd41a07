"""Rows of a CSV file with their line numbers, strict about encoding, header and width."""

import csv
import io
from collections.abc import Iterator

from render.errors import RenderError
from render.location import Location


def read_text(path: Location) -> str:
    """The content of a UTF-8 file, a byte order mark at its beginning left out, line ends as they are.

    Raises:
        RenderError: it cannot be read, or is not UTF-8; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RenderError(f"{path}: cannot read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RenderError(f"{path}, line {line}: is not UTF-8; save the file as UTF-8") from error


def read_rows(path: Location) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each row that is not empty; a row of quoted line breaks has the number of its first.

    Raises:
        RenderError: see `read_text`; a quote that is not closed; a row with more or fewer fields than the first.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    width = 0
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise RenderError(f"{path}, line {line}: cannot read as CSV: {error}") from error
        if row is None:
            return
        if not any(field.strip() for field in row):  # empty lines, and the rows of commas that spreadsheets leave
            continue
        width = width or len(row)
        if len(row) != width:
            raise RenderError(f"{path}, line {line}: {len(row)} fields, the header has {width}; quote commas in names")
        yield line, row
