"""Explicit projection, the models A1 and A2 of the paper."""

import pytest
import torch
from torch import Tensor

from tap.batch import Encoded, ViewBatch
from tap.network.photograph import PhotographConfig, build_photograph
from tap.network.projection import ProjectedPhotograph, tokens_in_cells

CONFIG = PhotographConfig(kind="projection", channels=16, num_heads=2, pad_token=False, cells=4)


def camera_from_above() -> ViewBatch:
    """At (0, 0, 4), looking down along -z, 10 pixels a unit (parallel) on 40 pixels; the second object's is perspective."""
    pose = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 4], [0, 0, 0, 1]])
    lens = torch.tensor([[10.0, 0, 20], [0, 10, 20], [0, 0, 1]])
    return ViewBatch(pose.expand(2, 1, 4, 4), lens.expand(2, 1, 3, 3), torch.tensor([True, False]))


def tokens(centers: list[tuple[float, float, float]], mask: Tensor | None = None) -> Encoded:
    torch.manual_seed(0)
    return Encoded(torch.randn(2, len(centers), 8), torch.tensor(centers).expand(2, -1, -1), mask)


def test_cells_of_known_tokens_by_hand() -> None:
    # x = .4, y = .4 is the pixel (24, 16): column 2, row 1 of cells of 10 pixels. Perspective at depth 4: (21, 19).
    encoded = tokens([(0.4, 0.4, 0.0), (1.6, 0.4, 0.0), (0.1, 0.2, 9.0), (3.0, 0.0, 0.0)])
    landed = tokens_in_cells(encoded.centers, None, camera_from_above(), 4, 40)
    assert landed.shape == (2, 1, 16, 4)
    found = [(int(token), int(cell)) for cell, token in landed[0, 0].nonzero()]
    assert sorted(found) == [(0, 1 * 4 + 2), (1, 1 * 4 + 3), (2, 1 * 4 + 2)]  # the last is outside
    found = [(int(token), int(cell)) for cell, token in landed[1, 0].nonzero()]
    # (1.6, .4) is seen at (24, 19), (3, 0) at (27.5, 20); the third is behind the camera.
    assert sorted(found) == [(0, 1 * 4 + 2), (1, 1 * 4 + 2), (3, 2 * 4 + 2)]


def test_a_cell_holds_the_mean_of_its_tokens_and_an_empty_one_zeros() -> None:
    encoded, views = tokens([(0.4, 0.4, 0.0), (0.1, 0.2, 0.5), (1.6, 0.4, 0.0)]), camera_from_above()
    photograph = build_photograph(CONFIG, 8, 40)
    assert isinstance(photograph, ProjectedPhotograph)
    features = photograph(encoded, views)
    assert features.shape == (2, 16, 4, 4)
    memory, _ = photograph.memory(encoded)
    torch.testing.assert_close(features[0, :, 1, 2], memory[0, :2].mean(0))
    torch.testing.assert_close(features[0, :, 1, 3], memory[0, 2])
    features[0, :, 1, 2:4] = 0
    assert not features[0].any()


def test_masked_tokens_land_nowhere_and_the_pad_token_fills_empty_cells() -> None:
    mask = torch.tensor([[True, False], [False, False]])
    encoded, views = tokens([(0.4, 0.4, 0.0), (0.1, 0.2, 0.5)], mask), camera_from_above()
    photograph = build_photograph(CONFIG.model_copy(update={"pad_token": True}), 8, 40)
    features = photograph(encoded, views)
    memory, _ = photograph.memory(encoded)
    torch.testing.assert_close(features[0, :, 1, 2], memory[0, 0])
    torch.testing.assert_close(features[1], memory[1, -1][:, None, None].expand(-1, 4, 4))
    shares = photograph.attention(encoded, views)
    assert shares.shape == (2, 1, 16, 3)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 1, 16))
    assert shares[1, ..., -1].all()


def test_self_attention_reads_the_pose_and_carries_tokens_to_empty_cells() -> None:
    config = CONFIG.model_copy(update={"kind": "projected_self_attention", "layers": 2, "drop_path": 0.0})
    encoded, views = tokens([(0.4, 0.4, 0.0)]), camera_from_above()
    photograph = build_photograph(config, 8, 40).eval()
    features = photograph(encoded, views)
    assert features.shape == (2, 16, 4, 4)
    other = Encoded(encoded.tokens + 1, encoded.centers)
    assert ((photograph(other, views) - features).abs().amax(1) > 1e-5).all()  # every cell
    turned = views.world_to_camera.clone()
    turned[:, :, :2] *= -1  # half a turn about the line of sight
    turned_views = ViewBatch(turned, views.intrinsics, views.parallel)
    assert not torch.allclose(photograph(encoded, turned_views).flip(2, 3), features, atol=1e-4)
    plain = build_photograph(CONFIG, 8, 40)
    torch.testing.assert_close(plain(encoded, turned_views).flip(2, 3), plain(encoded, views))


@pytest.mark.parametrize("kind", ["projection", "projected_self_attention"])
def test_gradients_reach_every_parameter(kind: str) -> None:
    config = CONFIG.model_copy(update={"kind": kind, "layers": 2, "pad_token": True})
    photograph = build_photograph(config, 8, 40)
    features = photograph(tokens([(0.4, 0.4, 0.0), (-1.0, 0.3, 0.2)]), camera_from_above())
    (features * torch.randn_like(features)).sum().backward()
    assert [key for key, value in photograph.named_parameters() if value.grad is None or not value.grad.any()] == []
