"""Queries beside the paper's: learned from the pose, and as in the authors' code."""

import torch

from render.rig import Viewpoint, mvcnn12
from tap.batch import ViewBatch
from tap.network.query import PARTS, LearnedQueries, QueryGenerator, authors_views


def cameras(num_views: int = 3) -> ViewBatch:
    rig = mvcnn12(Viewpoint(64, "perspective"))
    poses, lenses = torch.from_numpy(rig.world_to_camera[:num_views]), torch.from_numpy(rig.intrinsics[:num_views])
    return ViewBatch(poses.expand(2, -1, -1, -1), lenses.expand(2, -1, -1, -1), torch.tensor([False, False]))


def test_learned_queries_follow_the_rotation_and_nothing_else_of_a_camera() -> None:
    torch.manual_seed(0)
    learned, views = LearnedQueries(8, 2, 0), cameras()
    queries = learned(views)
    assert queries.shape == (6, 4, 8)
    assert not torch.allclose(queries[0], queries[1], atol=1e-4)  # another pose
    assert not torch.allclose(queries[0, 0], queries[0, 1], atol=1e-4)  # another cell
    moved = views.world_to_camera.clone()
    moved[..., :3, 3] += 1
    other = ViewBatch(moved, views.intrinsics * 2, ~views.parallel)
    assert torch.equal(learned(other), queries)


def test_learned_queries_of_a_cell_are_its_slice_of_the_output() -> None:
    learned, views = LearnedQueries(8, 2, octaves=3, hidden=5), cameras()
    assert learned.mlp[0].get_parameter("weight").shape == (5, 9 * 7)
    numbers = learned.encoding(views.world_to_camera[:, :, :3, :3].reshape(6, 9))
    torch.testing.assert_close(learned(views)[4, 3], learned.mlp(numbers)[4, 24:32])


def test_the_authors_lines_by_hand() -> None:
    """R turns by 90 degrees about x: x' = x, y' = -z, z' = y. Two cells of 32 pixels, .01 units a pixel."""
    rotation = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).expand(1, 1, 3, 3)
    views = authors_views(rotation, torch.tensor([[0.01]]), torch.tensor([[[-0.2, -0.3]]]))
    lines = QueryGenerator(8, 2, 64, 0, PARTS, authors_lines=True).lines(views)[0, 0]
    # Row 0, column 1: x' = .01 * 16 - .2, y' = .01 * 48 - .3, and p = (x', z', -y') at z' = 0.
    expected = torch.tensor([-0.04, 0.0, -0.18, 0.0, -1.0, 0.0, 0.0, 1.0])  # the third column of R is (0, -1, 0)
    torch.testing.assert_close(lines[1], expected)
    # Row 1, column 0.
    torch.testing.assert_close(lines[2, :3], torch.tensor([0.48 - 0.2, 0.0, -(0.16 - 0.3)]))
    assert lines[2, 6:].tolist() == [1.0, 0.0]
    true = QueryGenerator(8, 2, 64, 0, PARTS).lines(views)[0, 0]
    torch.testing.assert_close(true[:, :3], lines[:, :3])
    torch.testing.assert_close(true[1, 3:], torch.tensor([0.0, -1.0, 0.0, 0.75, 0.25]))


def test_cameras_of_the_authors_are_cameras_of_ours() -> None:
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(2, 3, 3, 3))[0]
    rotation = rotation * torch.linalg.det(rotation)[..., None, None].sign()
    views = authors_views(rotation, torch.full((2, 3), 0.01), torch.full((2, 3, 2), -1.0))
    poses = views.world_to_camera[..., :3, :3]
    torch.testing.assert_close(torch.linalg.det(poses), torch.ones(2, 3))
    torch.testing.assert_close(poses @ poses.mT, torch.eye(3).expand(2, 3, 3, 3), atol=1e-5, rtol=0)
    assert views.parallel.all()
    direction = QueryGenerator(8, 7, 224, 0, ("direction",), authors_lines=True).lines(views)
    torch.testing.assert_close(direction, rotation[..., None, :, 2].expand(2, 3, 49, 3))
