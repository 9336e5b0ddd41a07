"""Clay, light, background and antialiasing."""

import numpy as np
import numpy.typing as npt
import pydantic
import pytest

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, Projection
from render.fragments import Fragments
from render.mesh import Mesh
from render.normalization import face_normals
from render.rendering import supersampled
from render.rig import Viewpoint, mvcnn12
from render.shading.shade import shade
from render.shading.shade_config import Light, ShadeConfig
from tests.render.surfaces import camera_above, drawn, quad, sphere


def reference_greys(mesh: Mesh, cameras: Cameras, config: ShadeConfig) -> npt.NDArray[np.uint8]:
    """The grey of each face in each view under the head light, (V, F), in plain numpy."""
    normals = face_normals(mesh.vertices, mesh.faces)
    rotation = cameras.world_to_camera[:, :3, :3].astype(np.float64)
    centers = -np.einsum("vji,vj->vi", rotation, cameras.world_to_camera[:, :3, 3].astype(np.float64))
    to_eye = centers[None] - mesh.vertices[mesh.faces].mean(axis=1)[:, None]  # (F, V, 3)
    if cameras.projection == "parallel":
        to_eye = np.broadcast_to(-rotation[:, 2], to_eye.shape)
    turn = np.where(np.einsum("fc,fvc->fv", normals, to_eye) < 0, -1.0, 1.0)
    cosine = -turn * (normals @ rotation[:, 2].T)
    light = config.ambient + config.diffuse * np.clip(cosine, 0.0, 1.0)
    greys: npt.NDArray[np.uint8] = np.rint(np.minimum(light, 1.0) * 255).astype(np.uint8).T
    return greys


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_clay_is_the_reference(shapes: list[Mesh], projection: Projection) -> None:
    cameras, config = mvcnn12(Viewpoint(48, projection)), ShadeConfig()
    for mesh in shapes:
        fragments = rasterize_cpu(mesh, cameras)
        views = shade(mesh, cameras, fragments, config)
        assert views.shape == (12, 48, 48, 2)
        assert views.dtype == np.uint8
        expected = np.full(views.shape, 255, np.uint8)
        view, row, column = np.nonzero(fragments.face >= 0)
        expected[view, row, column, 0] = reference_greys(mesh, cameras, config)[
            view, fragments.face[fragments.face >= 0]
        ]
        expected[fragments.face < 0, 1] = 0
        np.testing.assert_array_equal(views, expected)


@pytest.mark.parametrize("tilt", [0, 25, 60, 120, 155, 180])
@pytest.mark.parametrize("normals", ["flat", "smooth"])
def test_head_light_by_hand(tilt: float, normals: str) -> None:
    config = ShadeConfig.model_validate({"normals": normals})
    views = drawn(quad(tilt=tilt), camera_above(), config)
    expected = round((0.3 + 0.6 * abs(np.cos(np.deg2rad(tilt)))) * 255)
    assert views[0, 4, 4].tolist() == [expected, 255]


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("normals", ["flat", "smooth"])
def test_faces_of_one_plane_have_one_grey_wherever_they_lie(projection: Projection, normals: str) -> None:
    """The head light shines along the axis: of overlapping faces it does not matter which one a rasterizer shows."""
    corners = np.array([[-2.0, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]])
    wide = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3], [3, 1, 0], [3, 2, 1]]))
    views = drawn(wide, camera_above(16, projection), ShadeConfig.model_validate({"normals": normals}))
    covered = views[..., 1] == 255
    assert covered.sum() > 50
    assert set(views[covered][:, 0].tolist()) == {round((0.3 + 0.6) * 255)}


@pytest.mark.parametrize("normals", ["flat", "smooth"])
@pytest.mark.parametrize("winding", [1, -1])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_lights_by_hand(projection: Projection, winding: int, normals: str) -> None:
    mesh = quad()
    mesh = Mesh(mesh.vertices, mesh.faces[:, ::winding])

    def grey(*lights: Light) -> int:
        config = ShadeConfig.model_validate(
            {"lights": lights, "ambient": 0.1, "diffuse": 0.5, "normals": normals, "background": (9, 9, 9)}
        )
        views = drawn(mesh, camera_above(8, projection), config)
        assert (views[0, ..., 0] == views[0, 4, 4, 0]).all()
        return int(views[0, 4, 4, 0])

    assert grey(Light(direction=(0, 0, 5))) == round((0.1 + 0.5) * 255)
    assert grey(Light(direction=(0, 3, 4))) == round((0.1 + 0.5 * 0.8) * 255)
    assert grey(Light(direction=(0, 3, 4), intensity=0.5)) == round((0.1 + 0.5 * 0.4) * 255)
    assert grey(Light(direction=(0, 0, -1))) == round(0.1 * 255)  # from behind: the visible side is dark
    assert grey(Light(direction=(0, 0, -1), frame="camera")) == round(0.6 * 255)  # from the camera
    assert grey(Light(direction=(0.6, 0, -0.8), frame="camera")) == round((0.1 + 0.5 * 0.8) * 255)
    assert grey(Light(direction=(0, 0, 1)), Light(direction=(0, 4, 3))) == round((0.1 + 0.5 * 1.6) * 255)
    assert grey(*3 * (Light(direction=(0, 0, 1)),)) == 255  # clipped


def test_a_light_of_the_camera_moves_with_it_and_one_of_the_world_does_not() -> None:
    cameras = mvcnn12(Viewpoint(32, "parallel"))
    mesh = sphere(24)

    def brightest(light: Light) -> list[list[float]]:
        views = drawn(mesh, cameras, ShadeConfig(lights=(light,), normals="smooth", background=(0, 0, 0)))
        return [np.argwhere(view[..., 0] >= view[..., 0].max() - 2).mean(axis=0).tolist() for view in views]

    moving = brightest(Light(direction=(0.5, 0, -1), frame="camera"))
    np.testing.assert_allclose(moving, np.tile(moving[0], (12, 1)), atol=1.5)
    assert moving[0][1] > 18  # +x is right
    assert np.ptp(np.array(brightest(Light(direction=(1, 0, 1)))), axis=0).max() > 8


def test_a_smooth_sphere_is_nearer_to_the_true_one() -> None:
    cameras = camera_above(64)
    y, x = np.mgrid[:64, :64] / 32 - (1 - 1 / 64)
    inside = x**2 + y**2 < 0.9
    truth = (0.3 + 0.6 * np.sqrt(1 - np.where(inside, x**2 + y**2, 0))) * 255
    flat, smooth = (
        drawn(sphere(24), cameras, ShadeConfig.model_validate({"normals": normals}))[0, ..., 0].astype(float)
        for normals in ("flat", "smooth")
    )
    errors = [np.abs(grey - truth)[inside].mean() for grey in (flat, smooth)]
    assert errors[1] < 1
    assert errors[1] < errors[0] / 4


def test_blended_normals_that_look_away_are_dark() -> None:
    # Two faces that lean 85 and 115 degrees share an edge, where the blended normal leans 100.
    lean = np.deg2rad([85, 115])
    far = np.stack([0 * lean, np.cos(lean), -np.sin(lean)], axis=1)
    mesh = Mesh(np.concatenate([[[-1, 0, 0], [1, 0, 0.0]], far]), np.array([[0, 1, 2], [1, 0, 3]]))
    cameras = camera_above(64)
    fragments = rasterize_cpu(mesh, cameras)
    assert fragments.face[0, 31, 32] == 0
    views = shade(mesh, cameras, fragments, ShadeConfig(normals="smooth"))
    assert views[0, 31, 32].tolist() == [76, 255]  # ambient alone


def test_smooth_normals_leave_sharp_edges(shapes: list[Mesh]) -> None:
    cameras = mvcnn12(Viewpoint(48, "parallel"))
    for mesh in shapes[:3]:
        fragments = rasterize_cpu(mesh, cameras)
        flat = shade(mesh, cameras, fragments, ShadeConfig())
        sharp = shade(mesh, cameras, fragments, ShadeConfig(normals="smooth", crease_angle=0))
        assert np.abs(flat.astype(int) - sharp).max() <= 1


@pytest.mark.parametrize("config", [{}, {"normals": "smooth"}, {"lights": [{"direction": [1, 2, 3]}]}])
def test_opposite_duplicates_do_not_checker(config: dict[str, object]) -> None:
    single = quad(tilt=30)
    double = Mesh(single.vertices, np.concatenate([single.faces, single.faces[:, ::-1]]))
    cameras, checked = camera_above(), ShadeConfig.model_validate(config)
    face = rasterize_cpu(single, cameras).face
    face = np.where((face >= 0) & (np.indices(face.shape).sum(axis=0) % 2 > 0), face + 2, face).astype(np.int32)
    views = shade(double, cameras, Fragments(face, np.ones(face.shape, np.float32)), checked)
    np.testing.assert_array_equal(views, drawn(single, cameras, checked))


def test_alpha_and_background_by_hand() -> None:
    face = np.array([[[0, -1], [-1, 1]]], np.int32)
    fragments = Fragments(face, np.zeros((1, 2, 2), np.float32))
    light = {"ambient": 0.2, "diffuse": 0.2}
    cameras = camera_above(2)
    white = shade(quad(), cameras, fragments, ShadeConfig.model_validate(light))
    np.testing.assert_array_equal(white[0], [[[102, 255], [255, 0]], [[255, 0], [102, 255]]])
    grey = shade(quad(), cameras, fragments, ShadeConfig.model_validate(light | {"background": (7, 7, 7)}))
    np.testing.assert_array_equal(grey[0], [[[102, 255], [7, 0]], [[7, 0], [102, 255]]])
    for normals in ("flat", "smooth"):
        colored = light | {"appearance": "material", "background": (1, 2, 3), "normals": normals}
        views = shade(quad(), cameras, fragments, ShadeConfig.model_validate(colored))
        lit = [round(217 * 0.4)] * 3
        np.testing.assert_array_equal(views[0], [[[*lit, 255], [1, 2, 3, 0]], [[1, 2, 3, 0], [*lit, 255]]])


@pytest.mark.parametrize("appearance", ["clay", "material"])
@pytest.mark.parametrize("normals", ["flat", "smooth"])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_antialiasing_softens_colour_and_leaves_alpha_alone(
    shapes: list[Mesh], projection: Projection, normals: str, appearance: str
) -> None:
    cameras, fine = mvcnn12(Viewpoint(48, projection)), supersampled(mvcnn12(Viewpoint(48, projection)))
    config = ShadeConfig.model_validate({"appearance": appearance, "normals": normals})
    for mesh in shapes[::4]:
        plain = shade(mesh, cameras, rasterize_cpu(mesh, cameras), config)
        soft = shade(mesh, cameras, rasterize_cpu(mesh, fine), config)
        # Corners snap to a grid three times finer.
        assert (plain[..., -1] != soft[..., -1]).mean() < 1e-4
        assert set(np.unique(soft[..., -1])) <= {0, 255}
        assert (soft[soft[..., -1] == 0][:, :-1] == 255).all()
        assert (plain[..., 0] != soft[..., 0]).any()


@pytest.mark.parametrize("normals", ["flat", "smooth"])
def test_one_antialiased_pixel_by_hand(normals: str) -> None:
    face = -np.ones((1, 3, 3), np.int32)
    face[0, :2] = 0  # six of nine samples, the middle among them
    fragments, cameras = Fragments(face, np.zeros((1, 3, 3), np.float32)), camera_above(1)
    views = shade(quad(), cameras, fragments, ShadeConfig.model_validate({"normals": normals}))
    assert views[0, 0, 0].tolist() == [round((6 * 229 + 3 * 255) / 9), 255]
    colored = {"appearance": "material", "background": (0, 90, 255), "ambient": 1, "normals": normals}
    views = shade(quad(), cameras, fragments, ShadeConfig.model_validate(colored))
    assert views[0, 0, 0].tolist() == [
        round(217 * 6 / 9),
        round((217 * 6 + 90 * 3) / 9),
        round((217 * 6 + 765) / 9),
        255,
    ]


def test_same_input_same_bytes(shapes: list[Mesh]) -> None:
    cameras = mvcnn12(Viewpoint(32, "perspective"))
    config = ShadeConfig(normals="smooth", lights=(Light(direction=(1, 0, 1)),))
    fragments = rasterize_cpu(shapes[0], cameras)
    first, second = (shade(shapes[0], cameras, fragments, config).tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "settings",
    [
        {"background": (1, 2, 3)}, {"background": (256, 256, 256)}, {"background": (-1, -1, -1)}, {"ambient": 1.1},
        {"lights": [{"direction": (0, 0, 0)}]}, {"lights": [{"direction": (0, 0, float("nan"))}]},
        {"lights": [{"direction": (0, 0, 1), "intensity": -1}]}, {"normals": "round"}, {"crease": 3},
        {"lights": [{"direction": (0, 0, 1), "intensity": float("inf")}]}, {"crease_angle": 181},
        {"lights": [{"direction": (1e200, 0, 0)}]},
    ],
)  # fmt: skip
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        ShadeConfig.model_validate(settings)
