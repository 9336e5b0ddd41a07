"""Materials of glTF files: base colour, its texture, how that is wrapped, and where it is laid."""

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from render.appearance import Material, Texture, Wrap
from render.errors import RenderError, UnreachableError
from render.reading.colors import srgb_from_linear
from render.reading.gltf_buffers import Buffers, item
from render.reading.gltf_document import Document, MetallicRoughness, SpecularGlossiness, TextureInfo, TextureTransform
from render.reading.textures import decode_picture

_WRAPS: dict[int, Wrap] = {33071: "clamp", 33648: "mirror"}


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedMaterial:
    """A material, and which texture coordinates its texture is laid by.

    Attributes:
        material: base colour and its texture; metal and everything else is left out.
        coordinates: the number of the TEXCOORD attribute.
        transform: what moves them; None to leave them.
        missing: the texture's name if it could not be read.
    """

    material: Material = dataclasses.field(default_factory=Material)
    coordinates: int = 0
    transform: TextureTransform | None = None
    missing: str | None = None


def place_material(document: Document, buffers: Buffers, index: int | None) -> PlacedMaterial:
    """A material of the document; plain white where a primitive names none.

    Raises:
        RenderError: there is no such material.
    """
    if index is None:
        return PlacedMaterial()
    described = item(document.materials, index, "material")
    glossy = described.extensions.specular_glossiness
    factor, info = _base_color(described.pbr_metallic_roughness, glossy)
    red, green, blue = srgb_from_linear(np.array(factor[:3])).tolist()
    material = Material((red, green, blue))
    if info is None:
        return PlacedMaterial(material)
    transform = info.extensions.transform
    coordinates = info.tex_coord if transform is None or transform.tex_coord is None else transform.tex_coord
    try:
        material = dataclasses.replace(material, texture=_texture(document, buffers, info.index))
    except UnreachableError:
        raise
    except RenderError:
        return PlacedMaterial(material, missing=_name(document, info.index))
    return PlacedMaterial(material, coordinates, transform)


def laid(uv: npt.NDArray[np.float64], transform: TextureTransform | None) -> npt.NDArray[np.float64]:
    """(N, 2) texture coordinates, moved by KHR_texture_transform and turned from glTF's downward v to upward."""
    if transform is not None:
        sine, cosine = math.sin(transform.rotation), math.cos(transform.rotation)
        # Counter-clockwise on the picture, whose v points down, as the extension's text says; its GLSL turns the other way.
        turn = np.array([[cosine, sine], [-sine, cosine]])
        uv = (uv * transform.scale) @ turn.T + transform.offset
    return uv * (1, -1) + (0, 1)


def _base_color(
    usual: MetallicRoughness | None, glossy: SpecularGlossiness | None
) -> tuple[tuple[float, ...], TextureInfo | None]:
    if glossy is not None:
        return glossy.diffuse_factor, glossy.diffuse_texture
    usual = usual or MetallicRoughness()
    return usual.base_color_factor, usual.base_color_texture


def _texture(document: Document, buffers: Buffers, index: int) -> Texture:
    texture = item(document.textures, index, "texture")
    source = texture.source if texture.extensions.webp is None else texture.extensions.webp.source
    if source is None:
        raise RenderError(f"texture {index} has no picture in a format that is read")
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    if texture.sampler is not None:
        sampler = item(document.samplers, texture.sampler, "sampler")
        wrap = _WRAPS.get(sampler.wrap_s, "repeat"), _WRAPS.get(sampler.wrap_t, "repeat")
    return Texture(decode_picture(buffers.picture(source)), wrap)


def _name(document: Document, index: int) -> str:
    """The picture's name for a person: its file, its name, or its number."""
    if index < len(document.textures):
        source = document.textures[index].source
        if source is not None and source < len(document.images):
            picture = document.images[source]
            uri = picture.uri if picture.uri and not picture.uri.startswith("data:") else None
            return uri or picture.name or f"image {source}"
    return f"texture {index}"
