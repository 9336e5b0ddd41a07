import json

import numpy as np
import numpy.typing as npt
import pytest

from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import PROJECTIONS, Cameras, Projection
from render.config import Channel
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh
from render.normalization import face_normals
from render.rendering import supersampled
from render.rig import Viewpoint, mvcnn12
from render.shading.channels import channel_images
from render.shading.shade_config import ShadeConfig

FLAT, SMOOTH = ShadeConfig(), ShadeConfig(normals="smooth")


def camera_above(size: int = 2) -> Cameras:
    """One parallel camera that looks down from (0, 0, 2) on the square from -1 to 1, world +y upward."""
    pose = np.array([[[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]]], np.float32)
    half = size / 2
    return Cameras(pose, np.array([[[half, 0, half], [0, half, half], [0, 0, 1]]], np.float32), "parallel", size)


def fragments(face: list[list[int]], depth: list[list[float]]) -> Fragments:
    return Fragments(np.array([face], np.int32), np.array([depth], np.float32))


def flat_mesh(part: npt.NDArray[np.int32] | None = None) -> Mesh:
    """Four faces: one upward, the same downward, one that leans to +x by 45 degrees, one by its back."""
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, -1, 2], [-1, 1, 2.0]])
    return Mesh(vertices, np.array([[0, 1, 2], [2, 1, 0], [3, 1, 2], [2, 1, 3]]), part=part)


def test_depth_by_hand() -> None:
    drawn = fragments([[0, -1], [1, 2]], [[1.0, np.inf], [3.0, 2.0]])
    images, numbers = channel_images(flat_mesh(), camera_above(), drawn, ["depth"], FLAT)
    assert images["depth"].dtype == np.uint16
    assert images["depth"][0].tolist() == [[1, 0], [65535, 32768]]
    assert numbers == {"depth": {"offset": 1.0, "scale": 2 / 65534}}


@pytest.mark.parametrize("depth", [0.0, 2.5, -7.0])
def test_one_depth_and_no_depth(depth: float) -> None:
    drawn = fragments([[0, -1], [-1, -1]], [[depth, np.inf], [np.inf, np.inf]])
    images, numbers = channel_images(flat_mesh(), camera_above(), drawn, ["depth"], FLAT)
    assert images["depth"][0].tolist() == [[1, 0], [0, 0]]
    assert numbers["depth"] == {"offset": depth, "scale": 1.0}
    images, numbers = channel_images(
        flat_mesh(), camera_above(), fragments([[-1] * 2] * 2, [[np.inf] * 2] * 2), ["depth"], FLAT
    )
    assert not images["depth"].any()
    assert numbers["depth"] == {"offset": 0.0, "scale": 1.0}


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_depth_is_half_a_step_off_at_most(shapes: list[Mesh], projection: Projection) -> None:
    cameras = mvcnn12(Viewpoint(48, projection))
    for mesh in shapes:
        drawn = rasterize_cpu(mesh, cameras)
        images, numbers = channel_images(mesh, cameras, drawn, ["depth"], FLAT)
        read = json.loads(json.dumps(numbers))["depth"]
        covered = drawn.face >= 0
        np.testing.assert_array_equal(images["depth"] > 0, covered)
        z = read["offset"] + (images["depth"][covered].astype(np.float64) - 1) * read["scale"]
        assert np.abs(z - drawn.depth[covered]).max() <= read["scale"] * 0.5000001
        assert images["depth"].max() == 65535


def test_normals_by_hand() -> None:
    drawn = fragments([[0, 1], [2, 3]], [[1.0] * 2] * 2)
    for config in (FLAT, SMOOTH):
        images, numbers = channel_images(flat_mesh(), camera_above(), drawn, ["normal"], config)
        assert numbers == {}
        up, lean = [128, 128, 255], round((np.sqrt(0.5) + 1) * 127.5)
        # All four are turned to the camera above.
        assert images["normal"][0].tolist() == [[up, up], [[lean, 128, lean]] * 2]
    images, _ = channel_images(
        flat_mesh(), camera_above(), fragments([[-1] * 2] * 2, [[np.inf] * 2] * 2), ["normal"], FLAT
    )
    assert not images["normal"].any()


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_normals_are_unit_and_look_at_the_camera(shapes: list[Mesh], projection: Projection) -> None:
    cameras = mvcnn12(Viewpoint(48, projection))
    for mesh in shapes:
        drawn = rasterize_cpu(mesh, cameras)
        images, _ = channel_images(mesh, cameras, drawn, ["normal"], FLAT)
        covered = drawn.face >= 0
        assert (images["normal"][~covered] == 0).all()
        normals = images["normal"][covered] / 127.5 - 1
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=0.01)
        exact = face_normals(mesh.vertices, mesh.faces)[drawn.face[covered]]
        sign = np.sign((exact * normals).sum(axis=1, keepdims=True))
        assert np.abs(normals - sign * exact).max() <= 0.5001 / 127.5
        view = np.nonzero(covered)[0]
        pose = cameras.world_to_camera.astype(np.float64)
        toward = -pose[view, 2, :3]
        if projection == "perspective":
            toward = -np.einsum("vji,vj->vi", pose[view, :3, :3], pose[view, :3, 3])
            toward = toward - mesh.vertices[mesh.faces[drawn.face[covered], 0]]
        assert (sign[:, 0] * (exact * toward).sum(axis=1) > -1e-6).all()


def test_smooth_normals_vary_over_a_face() -> None:
    tilt = np.deg2rad(30)
    vertices = np.array([[0, -1, 0], [0, 1, 0], [1, 0, 0], [-np.cos(tilt), 0, -np.sin(tilt)]])
    mesh, cameras = Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3]])), camera_above(16)
    images, _ = channel_images(mesh, cameras, rasterize_cpu(mesh, cameras), ["normal"], SMOOTH)
    row = images["normal"][0, 8, 8:15].astype(int)
    share = 1 - (np.arange(7) + 0.5) / 8  # of the edge's blended normal, against the far corner's own
    blended = np.array([-np.sin(tilt / 2), 0, np.cos(tilt / 2)])
    expected = share[:, None] * blended + (1 - share)[:, None] * [0, 0, 1]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(row, (expected + 1) * 127.5, atol=1)


def test_parts_by_hand() -> None:
    drawn = fragments([[0, 1], [2, -1]], [[1, 1], [1, np.inf]])
    part = np.array([0, 65534, -1, 5], np.int32)
    images, numbers = channel_images(flat_mesh(part), camera_above(), drawn, ["part"], FLAT)
    assert images["part"].dtype == np.uint16
    assert images["part"][0].tolist() == [[1, 65535], [0, 0]]
    assert numbers == {}
    images, _ = channel_images(flat_mesh(), camera_above(), drawn, ["part"], FLAT)
    assert not images["part"].any()


@pytest.mark.parametrize(
    ("part", "message"),
    [([0, 0, 0, 65535], "part label 65535"), ([0, -2, 0, 0], "part label -2"), ([0, 0], r"part is \(2,\)")],
)
def test_labels_that_do_not_fit_are_refused(part: list[int], message: str) -> None:
    drawn = fragments([[0, 0], [0, 0]], [[1, 1], [1, 1]])
    with pytest.raises(RenderError, match=message):
        channel_images(flat_mesh(np.array(part, np.int32)), camera_above(), drawn, ["part"], FLAT)


def test_finer_fragments_give_the_channels_of_the_centres(shapes: list[Mesh]) -> None:
    cameras = mvcnn12(Viewpoint(32, "perspective"))
    mesh = Mesh(shapes[0].vertices, shapes[0].faces, part=np.arange(len(shapes[0].faces), dtype=np.int32) % 7)
    fine = rasterize_cpu(mesh, supersampled(cameras))
    middle = Fragments(fine.face[:, 1::3, 1::3], fine.depth[:, 1::3, 1::3])
    names: tuple[Channel, ...] = ("part", "depth", "normal")
    expected, expected_numbers = channel_images(mesh, cameras, middle, names, SMOOTH)
    images, numbers = channel_images(mesh, cameras, fine, names, SMOOTH)
    assert tuple(images) == names
    assert numbers == expected_numbers
    for name in names:
        np.testing.assert_array_equal(images[name], expected[name])


def test_an_unknown_channel_is_refused() -> None:
    drawn = fragments([[0, 0], [0, 0]], [[1, 1], [1, 1]])
    with pytest.raises(RenderError, match="channel 'albedo' is not one of depth, normal, part"):
        channel_images(flat_mesh(), camera_above(), drawn, ["albedo"], FLAT)  # type: ignore[list-item]
    assert channel_images(flat_mesh(), camera_above(), drawn, [], FLAT) == ({}, {})
