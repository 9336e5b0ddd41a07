"""Where the nodes of a glTF scene stand: the tree walked once, and each node's transform to the scene."""

import numpy as np
import numpy.typing as npt

from render.errors import RenderError
from render.reading.gltf_buffers import item
from render.reading.gltf_document import Document, Node


def scene_transforms(document: Document) -> dict[int, npt.NDArray[np.float64]]:
    """(4, 4) float64 node-to-scene transform of each node of the scene shown first, parents before children, in file order.

    Without any scene, the nodes that are nobody's child are its roots.

    Raises:
        RenderError: no such scene or node, or a node that is reached twice: a cycle, or two parents.
    """
    nodes = document.nodes
    if document.scenes:
        roots = item(document.scenes, document.scene, "scene").nodes
    else:
        children = {child for node in nodes for child in node.children}
        roots = [index for index in range(len(nodes)) if index not in children]
    transforms: dict[int, npt.NDArray[np.float64]] = {}
    waiting = [(index, np.eye(4)) for index in reversed(roots)]
    while waiting:
        index, above = waiting.pop()
        node = item(nodes, index, "node")
        if index in transforms:
            raise RenderError(f"node {index} is reached twice; the nodes of a scene must form a tree")
        transforms[index] = above @ _own_transform(node, index)
        waiting += [(child, transforms[index]) for child in reversed(node.children)]
    return transforms


def _own_transform(node: Node, index: int) -> npt.NDArray[np.float64]:
    if "EXT_mesh_gpu_instancing" in node.extensions:
        raise RenderError(f"node {index} uses EXT_mesh_gpu_instancing; export the file without it")
    if node.matrix is not None:
        return np.array(node.matrix).reshape(4, 4).T  # stored column by column
    x, y, z, w = node.rotation
    length = x * x + y * y + z * z + w * w
    if not length > 0:
        raise RenderError(f"node {index} has a rotation of no length")
    s = 2 / length
    rotation = np.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = rotation * np.array(node.scale)
    transform[:3, 3] = node.translation
    return transform
