"""The header of a .ply file, and the rows of each of its elements as columns, text and binary of both byte orders."""

import dataclasses
import re

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.reading.scan_numbers import line_number, next_row, scan_rows, settle, text_of
from render.reading.scan_ply import gather, scan_list_rows, walk_rows

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "int64": "i8",
    "uint64": "u8", "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_HEADER_END = re.compile(rb"(?:\A|[\r\n])[ \t]*end_header[ \t]*(\r\n|\n|\r|\Z)")
_LONGEST_HEADER = 1 << 20
_MOST_PROPERTIES = 256


@dataclasses.dataclass(frozen=True)
class Property:
    """A column: numpy's code of its type; ``count`` is that of the number before a list, "" for a single value."""

    name: str
    type: str
    count: str = ""


@dataclasses.dataclass(frozen=True)
class Element:
    """A table of ``num_rows`` rows."""

    name: str
    num_rows: int
    properties: tuple[Property, ...]


@dataclasses.dataclass(frozen=True)
class Header:
    """What precedes the data: the byte order ("" for text), the elements in order, TextureFile comments, the data's start."""

    order: str
    elements: tuple[Element, ...]
    pictures: tuple[str, ...]
    start: int


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The rows of an element.

    Attributes:
        values: (R,) of each single-valued property, any number type.
        lists: of each list property, (R,) int64 sizes and all its items one after the other.
    """

    values: dict[str, npt.NDArray[np.generic]]
    lists: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.generic]]]


def read_header(content: bytes) -> Header:
    """The header of a .ply file.

    Raises:
        RenderError: it has no end, or a line that the format does not have.
    """
    end = _HEADER_END.search(content, 0, _LONGEST_HEADER)
    if not content.startswith(b"ply") or not end:
        raise RenderError("has no header from ply to end_header")
    order, elements, pictures = None, list[tuple[str, int, list[Property]]](), list[str]()
    for line in content[: end.start()].decode("utf-8", "replace").splitlines()[1:]:
        match line.split():
            case ["format", name, _] if name in _ORDERS:
                order = _ORDERS[name]
            case ["element", name, count] if count.isdecimal() and len(count) <= 18:
                elements.append((name, int(count), []))
            case ["property", "list", count, kind, name] if (
                elements and _TYPES.get(count, "f")[0] != "f" and kind in _TYPES
            ):
                elements[-1][2].append(Property(name, _TYPES[kind], _TYPES[count]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1][2].append(Property(name, _TYPES[kind]))
            case ["comment", word, *_] if word.lower() == "texturefile":
                pictures.append(line.split(None, 2)[-1].strip())
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise RenderError(f"header line {line[:80]!r} is not understood")
    if order is None:
        raise RenderError(f"no format among {', '.join(_ORDERS)}")
    if any(len(properties) > _MOST_PROPERTIES for _, _, properties in elements):
        raise RenderError(f"an element has more than {_MOST_PROPERTIES} properties")
    made = tuple(Element(name, count, tuple(properties)) for name, count, properties in elements)
    return Header(order, made, tuple(pictures), end.end())


def read_tables(content: bytes, header: Header) -> dict[str, Table]:
    """All elements by name, the last of equal names.

    Raises:
        RenderError: fewer data than the header announces, or more.
    """
    tables: dict[str, Table] = {}
    at = header.start
    for element in header.elements:
        lists = sum(bool(column.count) for column in element.properties)
        # No row is shorter than its list sizes and single values, or than a digit and a blank for each.
        widths = (
            np.dtype(column.count or column.type).itemsize if header.order else 2 for column in element.properties
        )
        # The last line of text may lack its end.
        if element.num_rows * sum(widths) > len(content) - at + (not header.order):
            raise RenderError(f"{_announced(element)}, too many for the file's {len(content)} bytes; it is cut short")
        if not element.properties or element.num_rows == 0:
            continue
        if header.order and not lists:
            tables[element.name], at = _binary_values(content, at, element, header.order)
        elif header.order:
            tables[element.name], at = _binary_lists(content, at, element, header.order)
        elif not lists:
            tables[element.name], at = _text_values(content, at, element)
        else:
            tables[element.name], at = _text_lists(content, at, element)
    if content[at:].strip(b"\0 \t\r\n"):
        raise RenderError(f"{len(content) - at} bytes follow the data that the header announces")
    return tables


def _announced(element: Element) -> str:
    return f"the header announces {element.num_rows} rows of {element.name}"


def _binary_values(content: bytes, at: int, element: Element, order: str) -> tuple[Table, int]:
    row = np.dtype([(f"{place}", order + column.type) for place, column in enumerate(element.properties)])
    rows = np.frombuffer(content, row, element.num_rows, at)
    values = {column.name: rows[f"{place}"] for place, column in enumerate(element.properties)}
    return Table(values, {}), at + rows.nbytes


def _binary_lists(content: bytes, at: int, element: Element, order: str) -> tuple[Table, int]:
    uniform = _uniform_lists(content, at, element, order)
    if uniform is not None:
        return uniform
    count_sizes = np.array([np.dtype(column.count).itemsize if column.count else 0 for column in element.properties])
    item_sizes = np.array([np.dtype(column.type).itemsize for column in element.properties])
    places = np.empty((len(item_sizes), element.num_rows), np.int64)
    sizes = np.empty((len(item_sizes), element.num_rows), np.int64)
    text = text_of(content)
    end = walk_rows(text, at, count_sizes, item_sizes, order == ">", places, sizes)
    if end < 0:
        raise RenderError(f"{_announced(element)}, but {-1 - end} follow; it is cut short or damaged")
    values, lists = (
        dict[str, npt.NDArray[np.generic]](),
        dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.generic]]](),
    )
    for column, place, size, width in zip(element.properties, places, sizes, item_sizes.tolist(), strict=True):
        gathered = np.empty(int(size.sum()) * width, np.uint8)
        gather(text, place, size * width, gathered)
        items = gathered.view(order + column.type)
        if column.count:
            lists[column.name] = size, items
        else:
            values[column.name] = items
    return Table(values, lists), end


def _uniform_lists(content: bytes, at: int, element: Element, order: str) -> tuple[Table, int] | None:
    """The table, where every row's lists are as long as the first row's: all triangles, in most files."""
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    offset = at
    for place, column in enumerate(element.properties):
        number = 1
        if column.count:
            count = np.dtype(order + column.count)
            if offset + count.itemsize > len(content):
                return None
            number = int(np.frombuffer(content, count, 1, offset)[0])
            fields.append((f"{place} count", count.str, ()))
            offset += count.itemsize
        offset += number * np.dtype(column.type).itemsize
        if number < 0 or at + element.num_rows * (offset - at) > len(content):
            return None
        fields.append((f"{place}", order + column.type, (number,) if column.count else ()))
    rows = np.frombuffer(content, np.dtype(fields), element.num_rows, at)
    values, lists = (
        dict[str, npt.NDArray[np.generic]](),
        dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.generic]]](),
    )
    for place, column in enumerate(element.properties):
        if not column.count:
            values[column.name] = rows[f"{place}"]
            continue
        counts = rows[f"{place} count"]
        if not (counts == counts[0]).all():
            return None
        lists[column.name] = np.full(len(rows), counts[0], np.int64), rows[f"{place}"].reshape(-1)
    return Table(values, lists), at + rows.nbytes


def _text_values(content: bytes, at: int, element: Element) -> tuple[Table, int]:
    width = len(element.properties)
    values, words = np.zeros(element.num_rows * width, np.float64), np.empty(element.num_rows, np.int64)
    pending = np.zeros(len(values), np.bool_)
    found, at = scan_rows(text_of(content), at, element.num_rows, width, values, pending, words)
    if found < element.num_rows:
        raise RenderError(f"{_announced(element)}, {found} follow; it is cut short")
    wrong = np.flatnonzero(words != width)
    if len(wrong):
        raise RenderError(f"row {wrong[0]} of {element.name} has {words[wrong[0]]} numbers instead of {width}")
    settle(content, values, pending)
    columns = values.reshape(-1, width).T
    return Table({one.name: column for one, column in zip(element.properties, columns, strict=True)}, {}), at


def _text_lists(content: bytes, at: int, element: Element) -> tuple[Table, int]:
    text = text_of(content)
    is_list = np.array([bool(column.count) for column in element.properties])
    sizes = np.ones((element.num_rows, len(is_list)), np.int64)
    items = np.empty((len(text) - at) // 2 + 1, np.float64)
    pending = np.zeros(len(items), np.bool_)
    found, num_items, at = scan_list_rows(text, at, is_list, sizes, items, pending)
    if found < element.num_rows:
        where = next_row(text, at)
        told = f"line {line_number(content, where)} does not fit" if where < len(text) else "it is cut short"
        raise RenderError(f"{_announced(element)}, {found} follow; {told}")
    settle(content, items, pending)
    owner = np.repeat(np.tile(np.arange(len(is_list)), element.num_rows), sizes.reshape(-1))
    values, lists = (
        dict[str, npt.NDArray[np.generic]](),
        dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.generic]]](),
    )
    for place, column in enumerate(element.properties):
        own = items[:num_items][owner == place]
        if column.count:
            lists[column.name] = np.ascontiguousarray(sizes[:, place]), own
        else:
            values[column.name] = own
    return Table(values, lists), at
