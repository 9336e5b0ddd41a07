"""What a rasterizer yields, and the protocol that every rasterizer follows. No drawing here."""

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

from render.camera import Cameras
from render.mesh import Mesh


@dataclasses.dataclass(frozen=True)
class Fragments:
    """The nearest face at each pixel centre of each view; `barycentrics` tells where on the face the line of sight meets it.

    Attributes:
        face: (V, H, W) int32, -1 where empty.
        depth: (V, H, W) float32, camera z in world units, inf where empty.
    """

    face: npt.NDArray[np.int32]
    depth: npt.NDArray[np.float32]


class Rasterizer(Protocol):
    """Draws one mesh into all its views at once; equal input gives equal output."""

    def __call__(self, mesh: Mesh, cameras: Cameras, /) -> Fragments:
        """Fragments of the mesh (world frame) in each camera. Raises RenderError when a vertex in use is not finite."""
        ...
