import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, Projection
from render.mesh import Mesh
from render.shading.albedo import PLAIN_GREY, band_albedo, is_plain, surface_of
from render.shading.barycentrics import barycentrics, geometry_of
from tests.render.surfaces import FOUR, camera_above, quad, textured

_STEP = 20.0  # grey of a level in the painted pyramid
_ROLL = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)


def rolled_camera(size: int, projection: Projection) -> Cameras:
    """`camera_above`, turned about its axis so that depth varies along both sides of the picture."""
    cameras = camera_above(size, projection)
    return dataclasses.replace(cameras, world_to_camera=_ROLL @ cameras.world_to_camera)


def surface_uv(
    pixels: npt.NDArray[np.float64], tilt: float, size: int, projection: Projection
) -> npt.NDArray[np.float64]:
    """Texture coordinates of the tilted square on the lines of sight through (..., 2) pixels of `rolled_camera`."""
    sensor = (pixels - size / 2) / (size / 2 if projection == "parallel" else size)
    x, y = np.moveaxis(sensor @ _ROLL[:2, :2], -1, 0)  # as the camera without roll sees it
    cos, sin = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    # Up the square by s: world y = s cos = -y d and z = s sin = 2 - d, where d is the depth (1 for parallel's scale).
    up = -y / cos if projection == "parallel" else -2 * y / (cos - y * sin)
    scale = 1.0 if projection == "parallel" else 2 - up * sin
    return np.stack([x * scale + 1, up + 1], axis=-1) / 2


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("tilt", [0, 30, 55])
def test_the_level_is_that_of_the_exact_derivative(tilt: float, projection: Projection) -> None:
    size, texels = 24, 512
    mesh = quad(textured(np.zeros((texels, texels, 3), np.uint8), repeats=1), tilt)
    cameras = rolled_camera(size, projection)
    surface = surface_of(mesh)
    # Paint each copy in a grey of its own: the mix of two copies then tells the level.
    painted = surface.pyramids.texels.copy()
    for level, (start, height, width) in enumerate(surface.pyramids.level[0]):
        painted[start : start + height * width] = level * _STEP
    surface = surface._replace(pyramids=surface.pyramids._replace(texels=painted))
    fragments = rasterize_cpu(mesh, cameras)
    geometry = geometry_of(mesh, cameras, 1)
    pose = cameras.world_to_camera[0].astype(np.float64)
    seen = mesh.vertices @ pose[:3, :3].T + pose[:3, 3]
    grey = np.zeros((size, size, 3), np.float32)
    weights = barycentrics(mesh, cameras, fragments)
    band_albedo(surface, geometry, 0, 0, fragments.face[0], seen, weights[0], grey)

    row, column = np.nonzero(fragments.face[0] >= 0)
    assert len(row) > 100
    pixels, h = np.stack([column, row], axis=-1).astype(np.float64) + 0.5, 1e-4
    corners = surface.corner_uv[fragments.face[0, row, column]]
    uv = (weights[0, row, column][..., None] * corners).sum(axis=1)
    np.testing.assert_allclose(uv, surface_uv(pixels, tilt, size, projection), atol=1e-5)
    jacobian = np.stack(
        [
            (surface_uv(pixels + step, tilt, size, projection) - surface_uv(pixels - step, tilt, size, projection))
            / (2 * h)
            for step in h * np.eye(2)
        ],
        axis=-1,
    )
    longest = np.linalg.svd(jacobian * texels, compute_uv=False)[:, 0]
    np.testing.assert_allclose(grey[row, column, 0] / _STEP, np.log2(longest), atol=1e-3)


def test_a_mesh_without_appearance_is_light_grey() -> None:
    surface = surface_of(quad())
    assert is_plain(surface)
    assert surface.color.tolist() == [[PLAIN_GREY] * 3]
    assert not is_plain(surface_of(quad(textured(FOUR))))


def test_only_textures_in_use_are_built_and_each_once() -> None:
    look = textured(FOUR)
    idle = textured(np.zeros((64, 64, 3), np.uint8)).materials[0]
    many = type(look)((look.materials[0], idle, look.materials[0]), np.array([0, 2], np.int32), look.corner_uv)
    surface = surface_of(Mesh(quad().vertices, quad().faces, many))
    assert surface.texture.tolist() == [0, -1, 0]
    assert len(surface.pyramids.texels) == 4 + 1


def test_extents_are_the_longest_edge_in_texels() -> None:
    surface = surface_of(quad(textured(np.zeros((3, 4, 3), np.uint8), repeats=2)))
    assert surface.extent.tolist() == [8**2 + 6**2] * 2
