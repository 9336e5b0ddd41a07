"""The arrays and pictures of a glTF file: its container, its buffers, and accessors checked against their bounds."""

import base64
import binascii
import struct
import urllib.parse
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.location import Location
from render.reading.companions import LARGEST_COMPANION, read_companion
from render.reading.gltf_document import Document

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_JSON, _BINARY = 0x4E4F534A, 0x004E4942

Item = TypeVar("Item")


def chunks(content: bytes) -> tuple[bytes, bytes | None]:
    """(the JSON, the binary chunk) of a .glb file.

    Raises:
        RenderError: not a .glb of version 2, or cut short.
    """
    if len(content) < 20 or content[:4] != b"glTF":
        raise RenderError("is no binary glTF file" if content[:4] != b"glTF" else "is cut short in its header")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise RenderError(f"is binary glTF {version}; only version 2 is read")
    if length > len(content):
        raise RenderError(f"the header announces {length} bytes, the file has {len(content)}; it is cut short")
    found: dict[int, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", content, at)
        if at + 8 + size > length:
            raise RenderError(f"a chunk of {size} bytes does not fit the file; it is damaged")
        found.setdefault(kind, content[at + 8 : at + 8 + size])
        at += 8 + size
    if _JSON not in found:
        raise RenderError("has no JSON chunk")
    return found[_JSON], found.get(_BINARY)


def item(items: Sequence[Item], index: int, what: str) -> Item:
    """One of ``items``.

    Raises:
        RenderError: there are not so many.
    """
    if not 0 <= index < len(items):
        raise RenderError(f"names {what} {index} of {len(items)}")
    return items[index]


class Buffers:
    """Access to what a document's buffers hold; each is opened when it is first asked for."""

    def __init__(self, path: Location, document: Document, binary: bytes | None) -> None:
        self._path = path
        self._document = document
        self._binary = binary
        self._opened: dict[int, bytes] = {}

    def floats(self, index: int, num_components: int) -> npt.NDArray[np.float64]:
        """(count, num_components) float64 of an accessor; normalised integers become fractions.

        Raises:
            RenderError: no such accessor, another number of components, or data that the file does not hold.
        """
        array = self._array(index)
        if array.shape[1] < num_components:
            raise RenderError(f"accessor {index} has {array.shape[1]} components instead of {num_components}")
        values = array[:, :num_components].astype(np.float64)
        if self._document.accessors[index].normalized and array.dtype.kind in "iu":
            largest = 2 ** (8 * array.dtype.itemsize - (array.dtype.kind == "i")) - 1
            values = np.maximum(values / largest, -1.0)
        return values

    def integers(self, index: int, num_components: int = 1) -> npt.NDArray[np.int64]:
        """(count, num_components) int64 of an accessor.

        Raises:
            RenderError: as `floats`, or the accessor holds no whole numbers.
        """
        array = self._array(index)
        if array.dtype.kind == "f" or array.shape[1] != num_components:
            raise RenderError(f"accessor {index} does not hold {num_components} whole numbers an element")
        return array.astype(np.int64)

    def picture(self, index: int) -> bytes:
        """The encoded bytes of an image.

        Raises:
            RenderError: no such image, or it cannot be read.
        """
        picture = item(self._document.images, index, "image")
        if picture.buffer_view is not None:
            return bytes(self._view(picture.buffer_view))
        if picture.uri is None:
            raise RenderError(f"image {index} has neither a name nor data")
        return self._resolve(picture.uri)

    def _array(self, index: int) -> npt.NDArray[np.generic]:
        """(count, components) of the stored type; may lie in the file's own memory."""
        accessor = item(self._document.accessors, index, "accessor")
        kind, components = _TYPES[accessor.component_type], _COMPONENTS[accessor.type]
        if accessor.buffer_view is not None:
            array = self._strided(accessor.buffer_view, accessor.byte_offset, accessor.count, kind, components)
        elif accessor.sparse is None:
            raise RenderError(f"accessor {index} has no data")
        else:
            if accessor.count > sum(buffer.byte_length for buffer in self._document.buffers):
                raise RenderError(f"accessor {index} announces {accessor.count} elements, more than the file has bytes")
            array = np.zeros((accessor.count, components), kind)
        if accessor.sparse is not None:
            sparse = accessor.sparse
            index_kind = _TYPES[sparse.indices.component_type]
            places = self._strided(sparse.indices.buffer_view, sparse.indices.byte_offset, sparse.count, index_kind, 1)
            if sparse.count and int(places.max()) >= accessor.count:
                raise RenderError(f"sparse accessor {index} replaces element {int(places.max())} of {accessor.count}")
            array = array.copy()
            array[places[:, 0]] = self._strided(
                sparse.values.buffer_view, sparse.values.byte_offset, sparse.count, kind, components
            )
        return array

    def _strided(self, view_index: int, offset: int, count: int, kind: str, components: int) -> npt.NDArray[np.generic]:
        data = self._view(view_index)
        width = np.dtype(kind).itemsize
        stride = self._document.buffer_views[view_index].byte_stride or components * width
        if count and offset + (count - 1) * stride + components * width > len(data):
            raise RenderError(f"{count} elements from byte {offset} on do not fit buffer view {view_index}; cut short?")
        if count == 0:
            return np.zeros((0, components), kind)
        return np.ndarray((count, components), kind, data, offset, (stride, width))

    def _view(self, index: int) -> memoryview:
        view = item(self._document.buffer_views, index, "buffer view")
        if "EXT_meshopt_compression" in view.extensions:
            raise RenderError("is compressed by EXT_meshopt_compression; export the file without it")
        data = self._buffer(view.buffer)
        if view.byte_offset + view.byte_length > len(data):
            raise RenderError(
                f"buffer view {index} reaches beyond its buffer of {len(data)} bytes; the file is cut short"
            )
        return memoryview(data)[view.byte_offset : view.byte_offset + view.byte_length]

    def _buffer(self, index: int) -> bytes:
        if index not in self._opened:
            buffer = item(self._document.buffers, index, "buffer")
            if buffer.uri is not None:
                data = self._resolve(buffer.uri)
            elif index == 0 and self._binary is not None:
                data = self._binary
            else:
                raise RenderError(f"buffer {index} has no data")
            if len(data) < buffer.byte_length:
                raise RenderError(f"buffer {index} announces {buffer.byte_length} bytes and has {len(data)}; cut short")
            self._opened[index] = data
        return self._opened[index]

    def _resolve(self, uri: str) -> bytes:
        if uri[:5].lower() != "data:":
            return read_companion(self._path, urllib.parse.unquote(uri), LARGEST_COMPANION)
        head, comma, data = uri.partition(",")
        try:
            if not comma or not head.endswith(";base64"):
                raise RenderError("a data URI is not in base64")
            return base64.b64decode(data)
        except (binascii.Error, ValueError) as error:
            raise RenderError(f"a data URI is damaged: {error}") from error
