"""The JSON of a glTF 2.0 file as checked models: only what shape and base colour need, everything else is ignored."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from render.errors import RenderError

Index = Annotated[int, Field(ge=0, le=1 << 40)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Pair = tuple[Number, Number]
Triple = tuple[Number, Number, Number]
Quadruple = tuple[Number, Number, Number, Number]
Matrix = Annotated[list[Number], Field(min_length=16, max_length=16)]

# What a file may require without being misread here: looks beyond base colour, and what these modules do read.
_READABLE = (
    "KHR_materials_",
    "KHR_lights_",
    "KHR_texture_",
    "EXT_texture_",
    "KHR_mesh_quantization",
    "KHR_xmp",
    "KHR_animation",
)


class _Part(BaseModel):
    """An object of the document; keys that are not listed are someone else's."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Buffer(_Part):
    """Bytes, in a file, in the document, or in the binary chunk of a .glb."""

    byte_length: Index
    uri: str | None = None


class BufferView(_Part):
    """A stretch of a buffer."""

    buffer: Index
    byte_length: Index
    byte_offset: Index = 0
    byte_stride: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    extensions: dict[str, Any] = {}


class SparsePart(_Part):
    """The numbers of the elements that a sparse accessor gives, or the elements, which have no type of their own."""

    buffer_view: Index
    byte_offset: Index = 0
    component_type: Literal[5121, 5123, 5125] = 5125


class Sparse(_Part):
    """Elements that replace those of an accessor."""

    count: Index
    indices: SparsePart
    values: SparsePart


class Accessor(_Part):
    """An array in a buffer view."""

    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Annotated[int, Field(ge=1, le=1 << 40)]
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    buffer_view: Index | None = None
    byte_offset: Index = 0
    normalized: bool = False
    sparse: Sparse | None = None


class Primitive(_Part):
    """Triangles, lines or points of one material."""

    attributes: dict[str, Index]
    indices: Index | None = None
    material: Index | None = None
    mode: int = 4
    targets: list[dict[str, Index]] = []
    extensions: dict[str, Any] = {}


class GltfMesh(_Part):
    """Primitives that a node places."""

    primitives: list[Primitive]
    weights: list[Number] = []


class Node(_Part):
    """A place in the scene."""

    children: list[Index] = []
    mesh: Index | None = None
    skin: Index | None = None
    matrix: Matrix | None = None
    translation: Triple = (0, 0, 0)
    rotation: Quadruple = (0, 0, 0, 1)
    scale: Triple = (1, 1, 1)
    weights: list[Number] | None = None
    extensions: dict[str, Any] = {}


class Scene(_Part):
    """The nodes at the root."""

    nodes: list[Index] = []


class Skin(_Part):
    """Nodes that move a mesh's vertices."""

    joints: list[Index]
    inverse_bind_matrices: Index | None = None


class TextureTransform(_Part):
    """KHR_texture_transform."""

    offset: Pair = (0, 0)
    rotation: Number = 0
    scale: Pair = (1, 1)
    tex_coord: Index | None = None


class TextureInfoExtensions(_Part):
    """What is read of a texture's use."""

    transform: TextureTransform | None = Field(None, alias="KHR_texture_transform")


class TextureInfo(_Part):
    """The use of a texture by a material."""

    index: Index
    tex_coord: Index = 0
    extensions: TextureInfoExtensions = TextureInfoExtensions.model_construct(transform=None)


class MetallicRoughness(_Part):
    """The usual material."""

    base_color_factor: Quadruple = (1, 1, 1, 1)
    base_color_texture: TextureInfo | None = None


class SpecularGlossiness(_Part):
    """KHR_materials_pbrSpecularGlossiness, which many older files have."""

    diffuse_factor: Quadruple = (1, 1, 1, 1)
    diffuse_texture: TextureInfo | None = None


class MaterialExtensions(_Part):
    """What is read of a material's extensions."""

    specular_glossiness: SpecularGlossiness | None = Field(None, alias="KHR_materials_pbrSpecularGlossiness")


class GltfMaterial(_Part):
    """A material."""

    pbr_metallic_roughness: MetallicRoughness | None = None
    extensions: MaterialExtensions = MaterialExtensions.model_construct(specular_glossiness=None)


class TextureSource(_Part):
    """The picture of a texture in another format."""

    source: Index


class TextureExtensions(_Part):
    """What is read of a texture's extensions."""

    webp: TextureSource | None = Field(None, alias="EXT_texture_webp")


class GltfTexture(_Part):
    """A picture and how it is laid out."""

    source: Index | None = None
    sampler: Index | None = None
    extensions: TextureExtensions = TextureExtensions.model_construct(webp=None)


class Sampler(_Part):
    """What lies outside a picture: 10497 repeat, 33071 clamp, 33648 mirror."""

    wrap_s: int = 10497
    wrap_t: int = 10497


class Picture(_Part):
    """An image, in a file, in the document, or in a buffer view."""

    uri: str | None = None
    buffer_view: Index | None = None
    name: str | None = None


class Asset(_Part):
    """The format's version."""

    version: str


class Document(_Part):
    """A whole file."""

    asset: Asset
    scene: Index = 0
    scenes: list[Scene] = []
    nodes: list[Node] = []
    meshes: list[GltfMesh] = []
    skins: list[Skin] = []
    accessors: list[Accessor] = []
    buffer_views: list[BufferView] = []
    buffers: list[Buffer] = []
    materials: list[GltfMaterial] = []
    textures: list[GltfTexture] = []
    samplers: list[Sampler] = []
    images: list[Picture] = []
    extensions_required: list[str] = []


def read_document(text: bytes) -> Document:
    """The checked document.

    Raises:
        RenderError: no JSON, a value of the wrong kind, another version than 2, or an extension that the file requires and
            that is not read.
    """
    try:
        document = Document.model_validate_json(text.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RenderError(f"glTF document{' at ' + where if where else ''}: {first['msg']}") from None
    if document.asset.version.split(".")[0] != "2":
        raise RenderError(f"is glTF {document.asset.version[:20]}; only version 2 is read")
    unread = [name for name in document.extensions_required if not name.startswith(_READABLE)]
    if unread:
        raise RenderError(f"requires {', '.join(unread)[:200]}, which is not read; export the file without it")
    return document
