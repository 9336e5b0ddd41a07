"""Small mesh files of every format, with textures, for the tests of reading: built here, byte by byte."""

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from render.mesh import Mesh
from render.shapes.solids import sphere
from render.shapes.write_mesh import write_mesh

# The unit square in the x-y plane, seen from +z with x to the right and y up, and its texture coordinates.
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float64)
SQUARE_UV = SQUARE[:, :2]
TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def picture(kind: str = "PNG", size: int = 8, mode: str = "RGB") -> bytes:
    """An encoded picture whose four quarters have the colours above."""
    pixels = np.empty((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:] = TOP_LEFT, TOP_RIGHT
    pixels[half:, :half], pixels[half:, half:] = BOTTOM_LEFT, BOTTOM_RIGHT
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()


def off_text(header: str = "OFF\n4 2 0\n", faces: str = "3 0 1 2\n3 0 2 3\n") -> str:
    """The unit square."""
    return header + "".join(f"{x:g} {y:g} {z:g}\n" for x, y, z in SQUARE) + faces


def obj_text(head: str = "mtllib square.mtl\nusemtl painted\n", face: str = "f 1/1 2/2 3/3 4/4\n") -> str:
    """The unit square with texture coordinates."""
    vertices = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in SQUARE)
    return head + vertices + "".join(f"vt {u:g} {v:g}\n" for u, v in SQUARE_UV) + face


def write_obj(folder: Path, mtl: str = "newmtl painted\nKd 1 1 1\nmap_Kd square.png\n", **parts: str) -> Path:
    """The unit square as .obj with its .mtl and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "square.mtl").write_text(mtl)
    (folder / "square.png").write_bytes(picture())
    (folder / "square.obj").write_text(obj_text(**parts))
    return folder / "square.obj"


def ply(
    vertices: list[tuple[float, ...]],
    faces: list[tuple[int, ...]],
    order: str = "<",
    columns: str = "float x,float y,float z",
    tail: str = "",
    comments: str = "",
) -> bytes:
    """A .ply file: ``order`` is < or > for binary and "" for text; ``tail`` are uchar properties after each face's list."""
    codes = {"float": "f", "double": "d", "uchar": "B", "ushort": "H", "int": "i"}
    kinds = [column.split()[0] for column in columns.split(",")]
    names = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}
    tails = [name for name in tail.split(",") if name]
    head = f"ply\nformat {names[order]} 1.0\n{comments}element vertex {len(vertices)}\n"
    head += "".join(f"property {column}\n" for column in columns.split(","))
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
    head += "".join(f"property uchar {name}\n" for name in tails) + "end_header\n"
    if not order:
        rows = [" ".join(f"{value!r}" for value in row) for row in vertices]
        rows += [" ".join(map(str, (len(face) - len(tails), *face))) for face in faces]
        return (head + "\n".join(rows) + "\n").encode()
    body = b"".join(
        struct.pack(f"{order}{codes[kind]}", value) for row in vertices for kind, value in zip(kinds, row, strict=True)
    )
    for face in faces:
        size = len(face) - len(tails)
        body += struct.pack(f"{order}B{size}i{len(tails)}B", size, *face)
    return head.encode() + body


def stl_text(mesh: Mesh) -> bytes:
    """A text .stl file."""
    lines = ["solid a name of words"]
    for corners in mesh.vertices[mesh.faces].tolist():
        lines += ["  facet normal 0 0 1", "    outer loop"]
        lines += [f"      vertex {x!r} {y!r} {z!r}" for x, y, z in corners]
        lines += ["    endloop", "  endfacet"]
    return "\n".join([*lines, "endsolid a name of words", ""]).encode()


class Gltf:
    """A glTF file under construction: arrays become accessors, `document` can be changed at will."""

    def __init__(self) -> None:
        self.binary = b""
        self.document: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}]}

    def add(self, key: str, **item: Any) -> int:
        """The number of a new item of a list of the document."""
        self.document.setdefault(key, []).append(item)
        return len(self.document[key]) - 1

    def view(self, data: bytes, **more: Any) -> int:
        """The number of a new buffer view."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        start = len(self.binary)
        self.binary += data
        return self.add("bufferViews", buffer=0, byteOffset=start, byteLength=len(data), **more)

    def array(self, values: npt.ArrayLike, kind: str = "f4", **more: Any) -> int:
        """The number of a new accessor."""
        array = np.asarray(values, f"<{kind}")
        codes = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
        width = array.shape[1] if array.ndim == 2 else 1
        return self.add(
            "accessors",
            bufferView=self.view(array.tobytes()),
            componentType=codes[kind],
            count=len(array),
            type={1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width],
            **more,
        )

    def square(self, **primitive: Any) -> dict[str, Any]:
        """A primitive: the unit square, with texture coordinates."""
        attributes = {"POSITION": self.array(SQUARE), "TEXCOORD_0": self.array(SQUARE_UV * (1, -1) + (0, 1))}
        return {"attributes": attributes, "indices": self.array([0, 1, 2, 0, 2, 3], "u2"), **primitive}

    def painted(self, data: bytes | None = None, **texture: Any) -> int:
        """The number of a new material with a picture of its own."""
        image = self.add("images", bufferView=self.view(picture() if data is None else data), mimeType="image/png")
        index = self.add("textures", source=image, **texture)
        return self.add("materials", pbrMetallicRoughness={"baseColorTexture": {"index": index}})

    def gltf(self) -> bytes:
        """The file as .gltf, its buffer within."""
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.binary).decode()
        return json.dumps(self.document | {"buffers": [{"byteLength": len(self.binary), "uri": uri}]}).encode()

    def glb(self) -> bytes:
        """The file as .glb."""
        text = json.dumps(self.document | {"buffers": [{"byteLength": len(self.binary)}]}).encode()
        text += b" " * (-len(text) % 4)
        binary = self.binary + b"\0" * (-len(self.binary) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def painted_square() -> Gltf:
    """The unit square with a picture, one node."""
    made = Gltf()
    primitive = made.square(material=made.painted())
    made.add("nodes", mesh=made.add("meshes", primitives=[primitive]))
    return made


def write_specimens(folder: Path) -> list[Path]:
    """One good file of each format and kind, some with textures; what the fuzz damages."""
    ball = sphere(0.5, 9, 6)
    for suffix in (".off", ".obj", ".ply", ".stl", ".glb", ".gltf"):
        write_mesh(ball, folder / f"ball{suffix}")
    square = [(*row, *uv) for row, uv in zip(SQUARE.tolist(), SQUARE_UV.tolist(), strict=True)]
    colored = [(*row, 255, 10 * place, 0) for place, row in enumerate(SQUARE.tolist())]
    columns = "float x,float y,float z,"
    rgb, note = columns + "uchar red,uchar green,uchar blue", "comment TextureFile square.png\n"
    made: dict[str, bytes] = {
        "colors.off": off_text("COFF\n4 2 0\n", "3 0 1 2 255 0 0\n3 0 2 3 0 0 255\n").encode(),
        "concave.off": b"OFF # an arrow\n4 1 0\n0 0 0\n2 1 0\n0 2 0\n1 1 0\n4 0 1 2 3\n",
        "text.stl": stl_text(ball),
        "text.ply": ply(square, [(0, 1, 2), (0, 2, 3)], "", columns + "float s,float t", comments=note),
        "quad.ply": ply(colored, [(0, 1, 2, 3)], ">", rgb),
        "mixed.ply": ply(colored, [(0, 1, 2, 9, 8, 7), (0, 1, 2, 3, 6, 5, 4)], "<", rgb, "red,green,blue"),
        "painted.glb": painted_square().glb(),
        "painted.gltf": painted_square().gltf(),
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    write_obj(folder)
    (folder / "square.mtl").write_text("newmtl painted\nKd .5 1 1\nmap_Kd -s 2 2 1 square.png\n")
    return sorted(path for path in folder.iterdir() if path.suffix not in (".png", ".mtl"))
