"""Shading: from fragments to views with an exact mask, in grey clay under a head light as MVCNN's, or in the mesh's colours.

Colours are sRGB values throughout: light multiplies them as they are, as MVCNN's renderings do, without a detour through
linear light.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from render.camera import Cameras
from render.fragments import Fragments
from render.mesh import Mesh
from render.normalization import face_normals
from render.shading.albedo import band_albedo, is_plain, plain_surface, surface_of
from render.shading.barycentrics import band_weights, geometry_of, oversampling, to_camera_frame
from render.shading.lighting import band_light, face_light, lighting_of
from render.shading.shade_config import ShadeConfig
from render.shading.smooth_normals import band_normals, corner_normals

SUPERSAMPLING = 3  # odd, so that the middle sample of a pixel is its centre, where alpha is decided
_BAND = 8  # rows of pixels that are shaded at once: their weights, normals and colours stay in the cache


def shade(mesh: Mesh, cameras: Cameras, fragments: Fragments, config: ShadeConfig) -> npt.NDArray[np.uint8]:
    """The views of a mesh, lit.

    Args:
        mesh: world frame, F faces; under ``material`` one without appearance is light grey (217).
        cameras: V views, H pixels a side.
        fragments: (V, H, W), or three times finer along each side for antialiased colour.
        config: material, normals, lights, background.

    Returns:
        (V, H, W, 2) uint8 grey and alpha for ``clay``, (V, H, W, 4) uint8 red, green, blue and alpha for ``material``; all
        straight. Alpha is 255 where the pixel's centre hits a face, else 0, and there the colour is the background's.
        Samples of a covered pixel that hit nothing are the background's too. Normals are turned to the camera, so
        duplicated and opposite faces look alike.

    Raises:
        RenderError: the fragments do not fit the cameras, or the appearance does not fit the mesh.

    Source: MVCNN's renderings; protocols: ambient .3, diffuse .6, specular 0.
    """
    factor = oversampling(cameras, fragments)
    geometry, lighting = geometry_of(mesh, cameras, factor), lighting_of(cameras, config)
    face, normals = np.ascontiguousarray(fragments.face, np.int32), face_normals(mesh.vertices, mesh.faces)
    is_clay = config.appearance == "clay"
    surface = plain_surface(len(normals), 255.0) if is_clay else surface_of(mesh)
    # A pixel is one word of two or four bytes; the last byte is alpha.
    empty = np.array([config.background[0], 0] if is_clay else [*config.background, 0], np.uint8)
    word = np.uint16 if is_clay else np.uint32
    pixels = np.empty((len(face), cameras.image_size, cameras.image_size), word)
    views = pixels.view(np.uint8).reshape(*pixels.shape, len(empty))
    if config.normals == "flat" and is_plain(surface):
        table = np.empty((len(normals) + 1, len(empty)), np.uint8)
        table[0] = empty
        words = table.view(word).reshape(-1), pixels
        _paint_plain(geometry, lighting, surface.color, surface.face_material, normals, face, factor, table, *words)
    else:
        pixels[:] = empty.view(word)[0]
        is_smooth = config.normals == "smooth"
        blended = corner_normals(mesh, config.crease_angle) if is_smooth else np.empty((0, 3, 3), np.float32)
        _paint(geometry, lighting, surface, is_plain(surface), normals, blended, face, empty, views)
    return views


@njit(nogil=True, cache=True, error_model="numpy")
def _paint_plain(geometry, lighting, color, face_material, normals, face, factor, table, words, out):  # type: ignore[no-untyped-def]
    """Faces of one colour each: one table a view, and each pixel looks up its word; entry 0 is the empty pixel."""
    light, last = np.empty(len(normals), np.float64), table.shape[1] - 1
    for view in range(len(face)):
        face_light(geometry, lighting, normals, view, light)
        for f in range(len(light)):
            for channel in range(last):
                table[f + 1, channel] = int(np.rint(light[f] * color[face_material[f], channel]))
            table[f + 1, last] = 255
        if factor > 1:
            _average(face[view], factor, table, words, out[view])
            continue
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                out[view, row, column] = words[np.uint32(face[view, row, column] + 1)]


@njit(nogil=True, cache=True, error_model="numpy")
def _average(face, factor, table, words, out):  # type: ignore[no-untyped-def]
    """One antialiased view: the rounded mean of each pixel's samples where its centre is covered."""
    samples, last = factor * factor, table.shape[1] - 1
    mean = np.full(last + 1, 255, np.uint8)
    word = mean.view(words.dtype)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            top, left = row * factor, column * factor
            if face[top + factor // 2, left + factor // 2] < 0:
                out[row, column] = words[0]
                continue
            for channel in range(last):
                total = 0
                for i in range(top, top + factor):
                    for j in range(left, left + factor):
                        total += int(table[np.uint32(face[i, j] + 1), channel])
                mean[channel] = (2 * total + samples) // (2 * samples)
            out[row, column] = word[0]


@njit(nogil=True, cache=True, error_model="numpy")
def _paint(geometry, lighting, surface, is_plain, normals, blended, face, background, out):  # type: ignore[no-untyped-def]
    """All else, a band of rows at a time: weights, light and colour of its samples, then the mean of each pixel's."""
    size, width = out.shape[1], face.shape[2]
    factor, is_smooth = width // size, len(blended) > 0
    rows = _BAND * factor
    camera, face_lights = np.empty_like(geometry.vertices), np.empty(len(normals), np.float64)
    weights, turned = np.zeros((rows, width, 3), np.float32), np.zeros((rows, width, 3), np.float32)
    color, light = np.zeros((rows, width, 3), np.float32), np.zeros((rows, width), np.float64)
    for view in range(len(out)):
        if is_smooth or not is_plain:
            to_camera_frame(geometry, view, camera)
        if not is_smooth:
            face_light(geometry, lighting, normals, view, face_lights)
        for first in range(0, face.shape[1], rows):
            band = face[view, first : first + rows]
            if is_smooth or not is_plain:
                band_weights(geometry, view, first, band, camera, weights)
            if is_smooth:
                band_normals(geometry, view, band, weights, normals, blended, turned)
                band_light(geometry, lighting, view, first, band, turned, light)
            else:
                _look_up(band, face_lights, light)
            band_albedo(surface, geometry, view, first, band, camera, weights, color)
            _write(band, light, color, factor, background, out[view, first // factor : (first + rows) // factor])


@njit(nogil=True, cache=True)
def _look_up(face, table, out):  # type: ignore[no-untyped-def]
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            if face[row, column] >= 0:
                out[row, column] = table[face[row, column]]


@njit(nogil=True, cache=True, error_model="numpy")
def _write(face, light, color, factor, background, out):  # type: ignore[no-untyped-def]
    """Some rows of pixels: the mean of each one's samples where its centre is covered."""
    last, middle, samples = out.shape[2] - 1, factor // 2, factor * factor
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            top, left = row * factor, column * factor
            if face[top + middle, left + middle] < 0:
                continue
            out[row, column, last] = 255
            for channel in range(last):
                total = 0.0
                for i in range(top, top + factor):
                    for j in range(left, left + factor):
                        total += light[i, j] * color[i, j, channel] if face[i, j] >= 0 else background[channel]
                out[row, column, channel] = int(np.rint(total / samples))
