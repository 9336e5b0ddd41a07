import numpy as np
import pytest
import trimesh

from render.appearance import Appearance, Material
from render.config import Normalization, UpAxis
from render.errors import RenderError
from render.mesh import Mesh
from render.normalization import UP_ROTATIONS, face_areas, face_normals, normalize


def box() -> Mesh:
    made = trimesh.creation.box(extents=(1, 2, 3))
    return Mesh(np.asarray(made.vertices) + np.array([10.0, 20.0, 30.0]), np.asarray(made.faces, np.int64))


@pytest.mark.parametrize("up", ["y", "z"])
def test_sphere_centers_scales_and_can_be_undone(up: UpAxis) -> None:
    mesh = box()
    done = normalize(mesh, up)
    assert np.linalg.norm(done.mesh.vertices, axis=1).max() == pytest.approx(1)
    assert done.scale == pytest.approx(np.sqrt(14) / 2)
    turned = done.scale * done.mesh.vertices + done.center
    np.testing.assert_allclose(turned @ UP_ROTATIONS[up], mesh.vertices, atol=1e-12)  # U.T @ v, row by row
    assert done.face_areas.sum() == pytest.approx(22 / done.scale**2)


def test_up_y_brings_y_to_z_and_keeps_handedness() -> None:
    np.testing.assert_allclose(UP_ROTATIONS["y"] @ [0, 1, 0], [0, 0, 1])
    assert np.linalg.det(UP_ROTATIONS["y"]) == pytest.approx(1)


def test_the_centroid_is_that_of_the_surface_not_of_the_vertices() -> None:
    # Two triangles of areas 2 and 0.5: centroid = (4 * c0 + 1 * c1) / 5.
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0.0]])
    done = normalize(Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]])))
    expected = (4 * vertices[:3].mean(axis=0) + vertices[3:].mean(axis=0)) / 5
    np.testing.assert_allclose(done.center, expected, atol=1e-12)


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_size_and_place_do_not_matter(size: float) -> None:
    mesh = box()
    small = normalize(Mesh((mesh.vertices - 20) * size, mesh.faces))
    np.testing.assert_allclose(small.mesh.vertices, normalize(mesh).mesh.vertices, atol=1e-7)


def test_unused_vertices_have_no_say() -> None:
    mesh = box()
    more = Mesh(np.concatenate([[[np.nan] * 3], mesh.vertices, [[1e9] * 3]]), mesh.faces + 1)
    done = normalize(more)
    assert done.mesh.vertices.shape == (8, 3)
    np.testing.assert_allclose(done.mesh.vertices, normalize(mesh).mesh.vertices, atol=1e-12)


def test_none_keeps_units_and_origin() -> None:
    done = normalize(box(), "z", "none")
    np.testing.assert_array_equal(done.mesh.vertices, box().vertices)
    assert done.scale == 1
    assert done.face_areas.sum() == pytest.approx(22)


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], "no extent"),
        ([[0, 0, 0], [1, 0, 0], [2, 0, 0]], "no area"),
        ([[-1.7e308, 0, 0], [1.7e308, 0, 0], [0, 1, 0]], "overflow"),
    ],
)
def test_what_cannot_be_normalized_is_refused(vertices: list[list[float]], message: str) -> None:
    with pytest.raises(RenderError, match=f"here: .*{message}"):
        normalize(Mesh(np.array(vertices, np.float64), np.array([[0, 1, 2]])), where="here")


def test_areas_and_normals_by_hand() -> None:
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 3, 0.0]])
    np.testing.assert_allclose(face_areas(vertices, np.array([[0, 1, 2]])), [3])
    np.testing.assert_allclose(
        face_normals(vertices, np.array([[0, 1, 2], [0, 2, 1], [0, 0, 1]])), [[0, 0, 1], [0, 0, -1], [0, 0, 0]]
    )


@pytest.mark.parametrize("size", [1e-170, 1e-16, 1e16, 1e300])
def test_sizes_beyond_float32_need_normalization(size: float) -> None:
    mesh = Mesh(box().vertices * size, box().faces)
    with pytest.raises(RenderError, match="use --normalize sphere"):
        normalize(mesh, "z", "none")
    assert np.linalg.norm(normalize(mesh, "z").mesh.vertices, axis=1).max() == pytest.approx(1)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_a_face_that_occurs_again_has_no_area_and_no_say(flip: bool, split: bool) -> None:
    # Two triangles of areas 2 and 0.5; the second comes three times, by its own vertices or by others at their places.
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0.0]])
    again = [4, 3, 5] if flip else [4, 5, 3]
    faces = np.array([[0, 1, 2], [3, 4, 5], again, [5, 4, 3]])
    once = normalize(Mesh(vertices, faces[:2]), "z")
    if split:
        vertices, faces = np.concatenate([vertices, vertices]), faces + np.array([[0], [0], [6], [6]])
    done = normalize(Mesh(vertices, faces), "z")
    np.testing.assert_array_equal(done.face_areas, [*once.face_areas, 0, 0])
    np.testing.assert_array_equal(done.mesh.vertices[done.mesh.faces[:2]], once.mesh.vertices[once.mesh.faces])
    np.testing.assert_array_equal(done.center, once.center)
    assert len(done.mesh.faces) == 4


@pytest.mark.parametrize("how", ["sphere", "none"])
def test_look_parts_and_the_order_of_faces_go_through(how: Normalization) -> None:
    mesh = box()
    look = Appearance((Material(),), np.zeros(12, np.int32))
    part, polygon = np.arange(12, dtype=np.int32), np.arange(12, dtype=np.int32) // 2
    more = Mesh(np.concatenate([[[9.0, 9, 9]], mesh.vertices]), mesh.faces[::-1] + 1, look, part, polygon)
    done = normalize(more, "z", how).mesh
    assert done.appearance is look
    assert done.part is part
    assert done.polygon is polygon
    np.testing.assert_array_equal(done.faces, mesh.faces[::-1])


@pytest.mark.parametrize("offset", [1e8, -1e8])
def test_an_object_far_from_the_origin_keeps_its_shape(offset: float) -> None:
    mesh = box()
    far = normalize(Mesh(mesh.vertices + offset, mesh.faces), "z")
    np.testing.assert_allclose(far.mesh.vertices, normalize(mesh, "z").mesh.vertices, atol=1e-7)


def test_normals_are_those_of_numpy(shapes: list[Mesh]) -> None:
    for mesh in shapes:
        a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
        cross = np.cross(b - a, c - a)
        length = np.linalg.norm(cross, axis=1, keepdims=True)
        expected = np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)
        np.testing.assert_allclose(face_normals(mesh.vertices, mesh.faces), expected, atol=1e-12)
