"""Materials of .mtl files: the colour Kd and the picture map_Kd, with its options."""

import dataclasses
import re

from render.appearance import Material, Texture, Wrap
from render.errors import RenderError, UnreachableError
from render.location import Location
from render.reading.companions import read_companion
from render.reading.textures import LARGEST_PICTURE, decode_picture

# Options of map_Kd before the file's name, and how many words follow; o, s and t take one to three numbers.
_OPTION_WORDS = {
    "blendu": 1,
    "blendv": 1,
    "bm": 1,
    "boost": 1,
    "cc": 1,
    "clamp": 1,
    "imfchan": 1,
    "mm": 2,
    "texres": 1,
    "type": 1,
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LARGEST_LIBRARY = 1 << 26


@dataclasses.dataclass(frozen=True)
class MtlMaterial:
    """One ``newmtl`` of an .mtl file, its picture not yet read.

    Attributes:
        color: Kd as red, green, blue in 0..1; white where it is not given.
        picture: the name after map_Kd; None where there is none.
        scale: option -s, factors on u and v.
        offset: option -o, added to the scaled u and v.
        wrap: clamp by option -clamp on, else repeat.
    """

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    picture: str | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    wrap: Wrap = "repeat"


def read_mtl(mesh_path: Location, name: str) -> dict[str, MtlMaterial]:
    """The materials of an .mtl file by name.

    Args:
        mesh_path: the mesh file that names it.
        name: as the mesh file has it.

    Raises:
        RenderError: the file cannot be read, see `read_companion`.
    """
    materials: dict[str, MtlMaterial] = {}
    current = None
    for line in decoded(read_companion(mesh_path, name, _LARGEST_LIBRARY)).splitlines():
        words = line.split(None, 1)
        if len(words) < 2:
            continue
        key, rest = words[0].lower(), words[1].strip()
        if key == "newmtl":
            current = rest
            materials.setdefault(rest, MtlMaterial())
        elif current is not None and key == "kd":
            materials[current] = dataclasses.replace(materials[current], color=_color(rest, materials[current].color))
        elif current is not None and key == "map_kd":
            materials[current] = _with_picture(materials[current], rest)
    return materials


def load_material(mesh_path: Location, described: MtlMaterial) -> tuple[Material, str | None]:
    """The material with its picture, and the picture's name where it could not be read.

    A picture is tinted by Kd, as the format's specification has it; a black Kd counts as white under a picture, since
    many exporters write it so.

    Raises:
        UnreachableError: the mesh is behind a URL, and nobody could say whether the picture is there.
    """
    if described.picture is None:
        return Material(described.color), None
    try:
        pixels = decode_picture(read_companion(mesh_path, described.picture, LARGEST_PICTURE))
    except UnreachableError:
        raise
    except RenderError:
        return Material(described.color), described.picture
    color = described.color if any(described.color) else (1.0, 1.0, 1.0)
    return Material(color, Texture(pixels, (described.wrap, described.wrap))), None


def decoded(content: bytes) -> str:
    """Text of a file whose encoding is not told: UTF-8, or Latin-1 where it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _color(text: str, fallback: tuple[float, float, float]) -> tuple[float, float, float]:
    """Red, green, blue in 0..1; one number is grey; ``spectral`` and ``xyz`` colours are not read."""
    words = text.split()[:3]
    if not words or not all(_NUMBER.fullmatch(word) for word in words):
        return fallback
    values = [min(max(float(word), 0.0), 1.0) for word in words]
    red, green, blue = values if len(values) == 3 else values[:1] * 3
    return red, green, blue


def _with_picture(material: MtlMaterial, text: str) -> MtlMaterial:
    scale, offset, wrap = material.scale, material.offset, material.wrap
    while text.startswith("-") and (option := text.split(None, 1)[0][1:].lower()) in {*_OPTION_WORDS, "o", "s", "t"}:
        words = text.split()[1:]
        count = _OPTION_WORDS.get(option, 0)
        while count < 3 and option in "ost" and count < len(words) - 1 and _NUMBER.fullmatch(words[count]):
            count += 1
        values = [float(word) for word in words[:count] if _NUMBER.fullmatch(word)]
        if option == "s" and values:
            scale = values[0], values[1] if len(values) > 1 else 1.0
        elif option == "o" and values:
            offset = values[0], values[1] if len(values) > 1 else 0.0
        elif option == "clamp" and words[:1] == ["on"]:
            wrap = "clamp"
        parts = text.split(None, 1 + count)  # the name keeps its blanks
        text = parts[-1].strip() if len(parts) > 1 + count else ""
    return dataclasses.replace(material, picture=text or None, scale=scale, offset=offset, wrap=wrap)
