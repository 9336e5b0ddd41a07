"""The colour of a surface before light falls on it: material times corner colours times texture, all in sRGB values."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from render.appearance import Appearance, Material
from render.errors import RenderError
from render.mesh import Mesh
from render.shading.barycentrics import corner_weights
from render.shading.texturing import Pyramids, mip_level, pyramids_of, sample_texture

PLAIN_GREY = 217  # of a mesh without appearance: 85 % white, so that light does not clip


class Surface(NamedTuple):
    """The look of a mesh, as compiled loops take it.

    Attributes:
        face_material: (F,) int32.
        color: (M, 3) float64 colour of each material, 0..255.
        texture: (M,) int64 which of the pyramids, -1 for none.
        corner_color: (F, 3, 3) uint8, or (0, 3, 3) for white.
        corner_uv: (F, 3, 2) float32, or (0, 3, 2) where no material has a texture.
        extent: (F,) float64 square of the longest edge of each face on its texture, texels; (0,) without textures.
        pyramids: the textures.
    """

    face_material: npt.NDArray[np.int32]
    color: npt.NDArray[np.float64]
    texture: npt.NDArray[np.int64]
    corner_color: npt.NDArray[np.uint8]
    corner_uv: npt.NDArray[np.float32]
    extent: npt.NDArray[np.float64]
    pyramids: Pyramids


def plain_surface(num_faces: int, grey: float) -> Surface:
    """One grey (0..255) for all faces."""
    return Surface(
        np.zeros(num_faces, np.int32),
        np.full((1, 3), grey),
        np.full(1, -1, np.int64),
        np.empty((0, 3, 3), np.uint8),
        np.empty((0, 3, 2), np.float32),
        np.empty(0),
        pyramids_of([]),
    )


def surface_of(mesh: Mesh) -> Surface:
    """The mesh's appearance; light grey (217) for a mesh that has none.

    Args:
        mesh: F faces.

    Raises:
        RenderError: an appearance that does not fit the mesh, or a texture that is not (h, w, 3) uint8.
    """
    appearance, num_faces = mesh.appearance, len(mesh.faces)
    if appearance is None:
        return plain_surface(num_faces, PLAIN_GREY)
    _check(appearance, num_faces)
    used = np.zeros(len(appearance.materials), np.bool_)
    used[appearance.face_material] = True
    textures = {
        id(m.texture): m.texture for m, is_used in zip(appearance.materials, used, strict=True) if is_used and m.texture
    }
    index = {identity: i for i, identity in enumerate(textures)}
    texture = np.array([index.get(id(material.texture), -1) for material in appearance.materials], np.int64)
    colors, uv = appearance.corner_color, appearance.corner_uv
    if textures and uv is None:
        raise RenderError("mesh: a material has a texture, so the appearance needs corner_uv")
    uv = np.empty((0, 3, 2), np.float32) if uv is None or not textures else np.ascontiguousarray(uv, np.float32)
    pyramids = pyramids_of(list(textures.values()))
    face_material = np.ascontiguousarray(appearance.face_material, np.int32)
    extent = np.zeros(len(uv))
    _fill_extents(face_material, texture, uv, pyramids, extent)
    return Surface(
        face_material,
        np.array([_in_bytes(material) for material in appearance.materials]),
        texture,
        np.empty((0, 3, 3), np.uint8) if colors is None else np.ascontiguousarray(colors),
        uv,
        extent,
        pyramids,
    )


def is_plain(surface: Surface) -> bool:
    """Whether each face has one colour all over."""
    return not len(surface.corner_color) and not len(surface.corner_uv)


def _in_bytes(material: Material) -> tuple[float, ...]:
    return tuple(255.0 * min(max(value, 0.0), 1.0) for value in material.color)


def _check(appearance: Appearance, num_faces: int) -> None:
    """Compiled loops do not look at bounds."""
    expected = {
        "face_material": (appearance.face_material, (num_faces,)),
        "corner_uv": (appearance.corner_uv, (num_faces, 3, 2)),
        "corner_color": (appearance.corner_color, (num_faces, 3, 3)),
    }
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise RenderError(f"mesh: appearance.{name} is {array.shape}, its faces need {shape}")
    if appearance.corner_color is not None and appearance.corner_color.dtype != np.uint8:
        raise RenderError(f"mesh: appearance.corner_color is {appearance.corner_color.dtype}, it must be uint8")
    lowest, highest = int(appearance.face_material.min()), int(appearance.face_material.max())
    if lowest < 0 or highest >= len(appearance.materials):
        wrong = lowest if lowest < 0 else highest
        raise RenderError(f"mesh: a face names material {wrong} of {len(appearance.materials)}")


@njit(nogil=True, cache=True, error_model="numpy")
def _fill_extents(face_material, texture, uv, pyramids, extent):  # type: ignore[no-untyped-def]
    for f in range(len(extent)):
        which = texture[face_material[f]]
        if which < 0:
            continue
        height, width = pyramids.level[which, 0, 1], pyramids.level[which, 0, 2]
        for k in range(3):
            along_u = (uv[f, (k + 1) % 3, 0] - uv[f, k, 0]) * width
            along_v = (uv[f, (k + 1) % 3, 1] - uv[f, k, 1]) * height
            extent[f] = max(extent[f], along_u * along_u + along_v * along_v)


@njit(nogil=True, cache=True, error_model="numpy")
def band_albedo(surface, geometry, view, first, face, camera, weights, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (rows, W, 3) with red, green, blue (0..255) of some rows of a view; left as it is where empty.

    Args:
        surface: the look of the mesh.
        geometry: mesh and cameras.
        view: which camera.
        first: the row of the view that ``face`` begins with.
        face: (rows, W) int32.
        camera: (N, 3) the vertices in that camera's frame.
        weights: (rows, W, 3) float32, see `band_weights`; not read where `is_plain`.
        out: (rows, W, 3) float32.
    """
    face_material, color, tint = surface.face_material, surface.color, surface.corner_color
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            index = face[row, column]
            if index < 0:
                continue
            material = face_material[index]
            for channel in range(3):
                value = color[material, channel]
                if len(tint) > 0:
                    value *= (
                        weights[row, column, 0] * tint[index, 0, channel]
                        + weights[row, column, 1] * tint[index, 1, channel]
                        + weights[row, column, 2] * tint[index, 2, channel]
                    ) / 255.0
                out[row, column, channel] = value
    if len(surface.corner_uv) > 0:
        _lay_textures(surface, geometry, view, first, face, camera, weights, out)


@njit(nogil=True, cache=True, error_model="numpy")
def _lay_textures(surface, geometry, view, first, face, camera, weights, out):  # type: ignore[no-untyped-def]
    """Multiply the textures in. The level comes from exact derivatives: one a face if parallel, else one a pixel."""
    uv, extent, faces, parallel = surface.corner_uv, surface.extent, geometry.faces, geometry.parallel
    texels, sizes, last, wrap = surface.pyramids
    face_material, texture = surface.face_material, surface.texture
    center_x, center_y = geometry.intrinsics[view, 0, 2], geometry.intrinsics[view, 1, 2]
    step_x, step_y = 1.0 / geometry.intrinsics[view, 0, 0], 1.0 / geometry.intrinsics[view, 1, 1]
    linear, slopes = np.empty((3, 3), np.float64), np.empty((3, 3), np.float64)
    current, which, level, is_fixed = -1, -1, 0.0, True
    for row in range(face.shape[0]):
        y = (first + row + 0.5 - center_y) * step_y
        for column in range(face.shape[1]):
            index = face[row, column]
            if index < 0:
                continue
            if index != current:
                current, which = index, texture[face_material[index]]
                level, is_fixed = 0.0, True
                if which >= 0 and extent[index] > 1.0:  # else no average reaches beyond a texel
                    corner_weights(camera, faces, index, parallel, linear)
                    _slopes(linear, uv, index, slopes)
                    is_fixed = parallel
                    level = _level(slopes, sizes, which, 0.0, 0.0, step_x, step_y, extent[index])
            if which < 0:
                continue
            w0, w1, w2 = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
            u = w0 * uv[index, 0, 0] + w1 * uv[index, 1, 0] + w2 * uv[index, 2, 0]
            v = w0 * uv[index, 0, 1] + w1 * uv[index, 1, 1] + w2 * uv[index, 2, 1]
            if not is_fixed:
                x = (column + 0.5 - center_x) * step_x
                level = _level(slopes, sizes, which, x, y, step_x, step_y, extent[index])
            level = min(level, float(last[which]))
            red, green, blue = sample_texture(texels, sizes[which], wrap[which, 0], wrap[which, 1], u, v, level)
            out[row, column, 0] *= red / 255.0
            out[row, column, 1] *= green / 255.0
            out[row, column, 2] *= blue / 255.0


@njit(nogil=True, cache=True, error_model="numpy")
def _slopes(linear, uv, index, slopes):  # type: ignore[no-untyped-def]
    """Fill ``slopes``: u, v and 1, each times the sum of the weights, as linear functions of the sensor position."""
    for axis in range(3):
        slopes[0, axis], slopes[1, axis], slopes[2, axis] = 0.0, 0.0, 0.0
        for k in range(3):
            slopes[0, axis] += linear[k, axis] * uv[index, k, 0]
            slopes[1, axis] += linear[k, axis] * uv[index, k, 1]
            slopes[2, axis] += linear[k, axis]


@njit(nogil=True, cache=True, error_model="numpy")
def _level(slopes, sizes, which, x, y, step_x, step_y, extent):  # type: ignore[no-untyped-def]
    """The level at a sensor position, by the quotient rule; parallel, the divisor is 1 everywhere."""
    total = slopes[2, 0] * x + slopes[2, 1] * y + slopes[2, 2]
    u = (slopes[0, 0] * x + slopes[0, 1] * y + slopes[0, 2]) / total
    v = (slopes[1, 0] * x + slopes[1, 1] * y + slopes[1, 2]) / total
    step_x, step_y = step_x / total, step_y / total
    u_x, u_y = (slopes[0, 0] - u * slopes[2, 0]) * step_x, (slopes[0, 1] - u * slopes[2, 1]) * step_y
    v_x, v_y = (slopes[1, 0] - v * slopes[2, 0]) * step_x, (slopes[1, 1] - v * slopes[2, 1]) * step_y
    height, width = sizes[which, 0, 1], sizes[which, 0, 2]
    return mip_level(u_x * width, u_y * width, v_x * height, v_y * height, extent)
