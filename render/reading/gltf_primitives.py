"""The arrays of one glTF primitive: triangles as corners, vertices morphed, and skinned or moved to where a node stands."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.reading.gltf_buffers import Buffers, item
from render.reading.gltf_document import Document, Node, Primitive

TRIANGLES, STRIP, FAN = 4, 5, 6


def primitive_corners(buffers: Buffers, primitive: Primitive, num_vertices: int) -> npt.NDArray[np.int64]:
    """(3 F,) int64 indices into the primitive's vertices, three a triangle; strips and fans unrolled.

    Raises:
        RenderError: an index out of range, or a number of indices that makes no triangles.
    """
    if primitive.indices is None:
        indices = np.arange(num_vertices, dtype=np.int64)
    else:
        indices = buffers.integers(primitive.indices)[:, 0]
        if len(indices) and (int(indices.max()) >= num_vertices or int(indices.min()) < 0):
            raise RenderError(f"a face names vertex {int(indices.max())} of {num_vertices}")
    if primitive.mode == TRIANGLES:
        if len(indices) % 3:
            raise RenderError(f"{len(indices)} indices are no triangles; the file is damaged")
        return indices
    place = np.arange(max(len(indices) - 2, 0))
    if primitive.mode == FAN:
        return indices[np.stack([place + 1, place + 2, np.zeros_like(place)], axis=1).reshape(-1)]
    odd = place % 2  # every other triangle of a strip is turned round
    return indices[np.stack([place, place + 1 + odd, place + 2 - odd], axis=1).reshape(-1)]


def primitive_vertices(
    document: Document, buffers: Buffers, node: Node, primitive: Primitive
) -> npt.NDArray[np.float64]:
    """(N, 3) float64 positions in the mesh's frame, morph targets added by their default weights.

    Raises:
        RenderError: the primitive has no positions, or they are compressed or damaged.
    """
    position = primitive.attributes.get("POSITION")
    if position is None:
        raise RenderError("a primitive has no POSITION")
    if (
        "KHR_draco_mesh_compression" in primitive.extensions
        and item(document.accessors, position, "accessor").buffer_view is None
    ):
        raise RenderError("is compressed by KHR_draco_mesh_compression; export the file without it")
    vertices = buffers.floats(position, 3)
    weights = document.meshes[node.mesh or 0].weights if node.weights is None else node.weights
    for weight, target in zip(weights, primitive.targets, strict=False):
        if weight != 0 and "POSITION" in target:
            moves = buffers.floats(target["POSITION"], 3)
            if moves.shape != vertices.shape:
                raise RenderError(f"a morph target moves {len(moves)} of {len(vertices)} vertices")
            vertices = vertices + weight * moves
    return vertices


def posed(
    document: Document,
    buffers: Buffers,
    index: int,
    primitive: Primitive,
    vertices: npt.NDArray[np.float64],
    transforms: Mapping[int, npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.float64], bool]:
    """(vertices in the scene's frame, whether that mirrored them); a skinned mesh stands where its joints are.

    Args:
        document: the file.
        buffers: its data.
        index: the node that places the primitive.
        primitive: for its joints and weights.
        vertices: (N, 3) float64 in the mesh's frame.
        transforms: node-to-scene transforms of all nodes of the scene.

    Raises:
        RenderError: a skin that is damaged, or whose joints are not in the scene.
    """
    skin_index = document.nodes[index].skin
    if skin_index is None or "JOINTS_0" not in primitive.attributes or "WEIGHTS_0" not in primitive.attributes:
        transform = transforms[index]
        return vertices @ transform[:3, :3].T + transform[:3, 3], bool(np.linalg.det(transform[:3, :3]) < 0)
    skin = item(document.skins, skin_index, "skin")
    if not skin.joints or not all(joint in transforms for joint in skin.joints):
        raise RenderError(f"skin {skin_index} has joints that are not in the scene")
    joints = np.array([transforms[joint] for joint in skin.joints])
    if skin.inverse_bind_matrices is not None:
        inverse = buffers.floats(skin.inverse_bind_matrices, 16).reshape(-1, 4, 4).transpose(0, 2, 1)
        if len(inverse) < len(joints):
            raise RenderError(f"skin {skin_index} has {len(joints)} joints and {len(inverse)} matrices")
        joints = joints @ inverse[: len(joints)]
    names = buffers.integers(primitive.attributes["JOINTS_0"], 4)
    weights = buffers.floats(primitive.attributes["WEIGHTS_0"], 4)
    if not len(names) == len(weights) == len(vertices) or (names.size and names.max() >= len(joints)):
        raise RenderError(f"joints or weights of skin {skin_index} do not fit its vertices")
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), (1.0, 0.0, 0.0, 0.0))
    moved = np.zeros_like(vertices)
    for place in range(4):
        matrix = joints[names[:, place]]
        moved += weights[:, place, None] * (np.einsum("nij,nj->ni", matrix[:, :3, :3], vertices) + matrix[:, :3, 3])
    return moved, bool(np.linalg.det(joints[0, :3, :3]) < 0)
