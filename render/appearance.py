"""How a surface looks besides its shape: materials, textures, colours and part labels, kept by face.

Everything hangs on faces and their corners, never on vertices, so that it stays right when vertices are merged, split or
dropped. Colours are sRGB as a screen shows them. No reading of files and no shading here.
"""

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

Wrap = Literal["repeat", "clamp", "mirror"]


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """An image that is laid on faces.

    Attributes:
        pixels: (h, w, 3) uint8 sRGB; row 0 is the top of the picture, where v = 1.
        wrap: what lies outside 0..1, along u and along v.
    """

    pixels: npt.NDArray[np.uint8]
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """A colour, and maybe a texture that it tints.

    Attributes:
        color: red, green, blue in 0..1, sRGB.
        texture: its texels are multiplied by ``color``; None for the plain colour.
    """

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    texture: Texture | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Appearance:
    """The look of a mesh of F faces; the colour of a point is material times corner colour.

    Attributes:
        materials: at least one.
        face_material: (F,) int32 indices into ``materials``.
        corner_uv: (F, 3, 2) float32 texture coordinates of each face's corners, v upward; None where no material has a
            texture.
        corner_color: (F, 3, 3) uint8 sRGB of each face's corners (vertex or face colours); None for white.
        missing_textures: names of pictures that could not be read; their materials show their plain colour.
    """

    materials: tuple[Material, ...]
    face_material: npt.NDArray[np.int32]
    corner_uv: npt.NDArray[np.float32] | None = None
    corner_color: npt.NDArray[np.uint8] | None = None
    missing_textures: tuple[str, ...] = ()
