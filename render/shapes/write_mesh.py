"""Writing triangle meshes: .off .obj .ply .stl .glb .gltf; the same mesh gives the same bytes. For the demo and for tests."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from render.errors import RenderError
from render.mesh import Mesh

_PLY_HEADER = """ply
format binary_little_endian 1.0
element vertex {num_vertices}
property double x
property double y
property double z
element face {num_faces}
property list uchar int vertex_indices
end_header
"""


def write_mesh(mesh: Mesh, path: Path) -> None:
    """Writes a mesh in the format that the file's suffix names.

    .off, .obj (text) and .ply (binary) keep vertices, their order and float64 exactly. .stl (binary) holds float32
    triangles without shared vertices, .glb and .gltf (one file, its data within) float32 vertices. Coordinates are written
    as they are: glTF declares +y up, and nothing is turned for it, so a +z-up mesh stays +z up in this repository and lies
    on its back in a glTF viewer.

    Args:
        mesh: at least one face.
        path: its folder must exist; an existing file is replaced.

    Raises:
        RenderError: unknown suffix, no faces, or the file cannot be written.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise RenderError(f"{path}: suffix {path.suffix!r} is not one of {', '.join(_WRITERS)}")
    if len(mesh.faces) == 0:
        raise RenderError(f"{path}: the mesh has no faces; nothing written")
    try:
        path.write_bytes(writer(mesh))
    except OSError as error:
        raise RenderError(f"{path}: cannot write: {error.strerror}") from error


def _off(mesh: Mesh) -> bytes:
    lines = ["OFF", f"{len(mesh.vertices)} {len(mesh.faces)} 0"]
    lines += [f"{x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _obj(mesh: Mesh) -> bytes:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _ply(mesh: Mesh) -> bytes:
    header = _PLY_HEADER.format(num_vertices=len(mesh.vertices), num_faces=len(mesh.faces))
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("indices", "<i4", 3)])
    faces["count"], faces["indices"] = 3, mesh.faces
    return header.encode("ascii") + mesh.vertices.astype("<f8").tobytes() + faces.tobytes()


def _stl(mesh: Mesh) -> bytes:
    corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    record = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    triangles = np.zeros(len(mesh.faces), dtype=record)
    triangles["normal"], triangles["corners"] = normals, corners
    return bytes(80) + _little(len(mesh.faces)) + triangles.tobytes()


def _document(mesh: Mesh) -> tuple[dict[str, Any], bytes]:
    """The JSON of a glTF file, and its one buffer: positions, then indices."""
    vertices, indices = mesh.vertices.astype("<f4"), mesh.faces.astype("<u4").reshape(-1)
    low, high = (bound.astype(np.float64).tolist() for bound in (vertices.min(axis=0), vertices.max(axis=0)))
    views = [
        {"buffer": 0, "byteOffset": 0, "byteLength": vertices.nbytes, "target": 34962},  # vertex attributes
        {"buffer": 0, "byteOffset": vertices.nbytes, "byteLength": indices.nbytes, "target": 34963},  # indices
    ]
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3", "min": low, "max": high},
        {"bufferView": 1, "componentType": 5125, "count": len(indices), "type": "SCALAR"},
    ]
    document = {
        "asset": {"version": "2.0", "generator": "tap3d"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": vertices.nbytes + indices.nbytes}],
    }
    return document, vertices.tobytes() + indices.tobytes()


def _gltf(mesh: Mesh) -> bytes:
    document, binary = _document(mesh)
    document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode("ascii")
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _glb(mesh: Mesh) -> bytes:
    """Chunks padded to 4 bytes as Khronos glTF 2.0, section 4.4 (GLB) asks."""
    document, binary = _document(mesh)
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    chunks = _little(len(text)) + b"JSON" + text + _little(len(binary)) + b"BIN\0" + binary
    return b"glTF" + _little(2) + _little(12 + len(chunks)) + chunks


def _little(number: int) -> bytes:
    return number.to_bytes(4, "little")


_WRITERS: dict[str, Callable[[Mesh], bytes]] = {
    ".off": _off,
    ".obj": _obj,
    ".ply": _ply,
    ".stl": _stl,
    ".glb": _glb,
    ".gltf": _gltf,
}
