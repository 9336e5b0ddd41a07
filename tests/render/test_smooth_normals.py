import numpy as np
import numpy.typing as npt
import pytest

from render.mesh import Mesh
from render.normalization import face_normals
from render.shading.smooth_normals import MAX_VALENCE, corner_normals
from tests.render.surfaces import sphere


def cube() -> Mesh:
    """The cube from -1 to 1 of 12 triangles, wound outward, 8 vertices."""
    vertices = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return Mesh(
        vertices,
        np.array([[q[i], q[i + 1], q[i + 2]] if i == 0 else [q[0], q[2], q[3]] for q in quads for i in (0, 1)]),
    )


def angles(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    between: npt.NDArray[np.float64] = np.rad2deg(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))
    return between


def test_a_cube_stays_flat() -> None:
    mesh = cube()
    np.testing.assert_allclose(
        corner_normals(mesh, 45), np.repeat(face_normals(mesh.vertices, mesh.faces)[:, None], 3, axis=1), atol=1e-6
    )


def test_without_a_crease_a_cube_is_round() -> None:
    mesh = cube()
    expected = mesh.vertices[mesh.faces] / np.sqrt(3)
    got = corner_normals(mesh, 180)
    # Area times angle is the same for each of the three sides at a corner, however they are split.
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(got, corner_normals(mesh, 91))


def test_a_sphere_is_round_and_split_vertices_are_merged() -> None:
    mesh = sphere(16)
    exact = mesh.vertices[mesh.faces]
    drawn = np.linalg.norm(face_normals(mesh.vertices, mesh.faces), axis=1) > 0
    blended = corner_normals(mesh, 45)
    assert angles(blended, exact)[drawn].max() < 1
    assert angles(face_normals(mesh.vertices, mesh.faces)[:, None], exact)[drawn].max() > 5
    soup = Mesh(exact.reshape(-1, 3), np.arange(exact.size // 3).reshape(-1, 3))
    np.testing.assert_allclose(corner_normals(soup, 45), blended, atol=1e-6)
    signed = Mesh(np.where(soup.vertices == 0, -0.0, soup.vertices), soup.faces)
    signed.vertices[::2] += 0.0
    np.testing.assert_allclose(corner_normals(signed, 45), blended, atol=1e-6)


def test_winding_does_not_matter_but_for_the_side() -> None:
    mesh = sphere(16)
    flipped = mesh.faces.copy()
    odd = np.random.default_rng(0).random(len(flipped)) < 0.5
    flipped[odd] = flipped[odd][:, ::-1]
    expected = corner_normals(mesh, 45)
    expected[odd] = -expected[odd][:, ::-1]
    np.testing.assert_allclose(corner_normals(Mesh(mesh.vertices, flipped), 45), expected, atol=1e-6)


@pytest.mark.parametrize(("crease", "is_blended"), [(29.9, False), (30.1, True)])
def test_the_crease_angle_is_that_between_the_planes(crease: float, is_blended: bool) -> None:
    tilt = np.deg2rad(30)
    vertices = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [-np.cos(tilt), 0, -np.sin(tilt)]])
    mesh = Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3]]))
    first, last = corner_normals(mesh, crease)[0, 0], corner_normals(mesh, crease)[0, 1]
    np.testing.assert_allclose(last, face_normals(mesh.vertices, mesh.faces)[0], atol=1e-6)  # a corner of its own
    half = np.deg2rad(15)
    np.testing.assert_allclose(first, [-np.sin(half), 0, np.cos(half)] if is_blended else [0, 0, 1], atol=1e-6)


def test_a_large_face_outweighs_a_narrow_bevel() -> None:
    tilt = np.deg2rad(40)
    vertices = np.array([[0, 0, 0], [0, 1, 0], [9, 0, 0], [-0.01 * np.cos(tilt), 0, -0.01 * np.sin(tilt)]])
    mesh = Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3]]))
    assert angles(corner_normals(mesh, 45)[0, 0], np.array([0, 0, 1.0])) < 0.1


def test_a_fan_beyond_the_limit_keeps_its_own_normals() -> None:
    def fan(num_faces: int) -> Mesh:
        around = np.linspace(0, 2 * np.pi, num_faces, endpoint=False)
        rim = np.stack([np.cos(around), np.sin(around), np.full(num_faces, -0.3)], axis=1)
        ring = np.arange(1, num_faces + 1)
        return Mesh(np.vstack([[[0, 0, 0]], rim]), np.stack([0 * ring, ring, np.roll(ring, -1)], axis=1))

    np.testing.assert_allclose(
        corner_normals(fan(MAX_VALENCE), 45)[:, 0], np.tile([0, 0, 1.0], (MAX_VALENCE, 1)), atol=1e-5
    )
    wide = fan(MAX_VALENCE + 1)
    np.testing.assert_allclose(corner_normals(wide, 45)[:, 0], face_normals(wide.vertices, wide.faces), atol=1e-6)


def test_degenerate_faces_have_no_normal_and_no_say() -> None:
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0, 0.0]]), np.array([[0, 1, 2], [0, 3, 1], [0, 0, 2]]))
    got = corner_normals(mesh, 180)
    np.testing.assert_allclose(got[0], [[0, 0, 1]] * 3)
    np.testing.assert_array_equal(got[1:], 0)
