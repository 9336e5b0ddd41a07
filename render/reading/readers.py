"""The formats that meshes are read from, each with its reader and what its content looks like."""

import re
from collections.abc import Callable

from render.location import Location
from render.reading.polygons import Polygons
from render.reading.read_gltf import read_glb, read_gltf
from render.reading.read_obj import read_obj
from render.reading.read_off import read_off
from render.reading.read_ply import read_ply
from render.reading.read_stl import read_stl

# (file, its bytes, whether the look is wanted) -> its polygons; raises RenderError with the bare reason.
Reader = Callable[[Location, bytes, bool], Polygons]

READERS: dict[str, Reader] = {
    ".off": read_off,
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": read_glb,
    ".gltf": read_gltf,
}

# How the content of files begins, and what it is; formats that are not read are named so that the message helps.
_BEGINNINGS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"ply\s"), ".ply"),
    (re.compile(rb"glTF"), ".glb"),
    (re.compile(rb"\s*+(ST)?C?N?OFF[\s\d]", re.IGNORECASE), ".off"),
    (re.compile(rb"\s*+solid\b[^\r\n]*+\s++facet\s", re.IGNORECASE), ".stl"),
    (re.compile(rb"\s*+\{[^\0]{0,4000}\"(asset|meshes|accessors|bufferViews)\""), ".gltf"),
    (re.compile(rb"(\s++|#[^\r\n]*+)*+(mtllib|v|o|g)[ \t]+\S"), ".obj"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer, not the mesh itself; run git lfs pull"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive; unpack it"),
    (re.compile(rb"\x1f\x8b"), "a gzip file; unpack it"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff"), "a picture"),
    (re.compile(rb"\s*+<(!DOCTYPE|html)", re.IGNORECASE), "a web page; download the mesh again"),
    (re.compile(rb"\s*+<\?xml"), "an XML file"),
    (re.compile(rb"Kaydara FBX"), "an FBX file; convert it"),
    (re.compile(rb"BLENDER"), "a Blender file; export it"),
)


def told_format(content: bytes) -> str | None:
    """The suffix of the format that the content shows itself to be, words for one that is not read, None if it shows none.

    Binary .stl begins with any 80 bytes, so that its beginning tells nothing: a file whose length fits is one.
    """
    if len(content) >= 84 and len(content) == 84 + 50 * int.from_bytes(content[80:84], "little"):
        return ".stl"
    told = next((told for beginning, told in _BEGINNINGS if beginning.match(content)), None)
    return None if told == ".obj" and b"\0" in content[:512] else told
