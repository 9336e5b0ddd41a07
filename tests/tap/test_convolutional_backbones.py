"""Each convolutional backbone against its definition written out: layers on joined features, nothing computed ahead."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tap.backbones.dgcnn import DGCNN, DGCNNConfig, EdgeConvolution
from tap.backbones.inputs import point_inputs
from tap.backbones.pointmlp import PointMLP, PointMLPConfig
from tap.backbones.pointnet2 import PointNet2, PointNet2Config, SetAbstraction
from tap.backbones.shared_mlp import SharedLayer
from tap.batch import PointBatch
from tap.errors import TapError
from tap.ops.reference import ball_query, farthest_point_sampling, gather, nearest_neighbors


def layer(module: nn.Module, features: Tensor) -> Tensor:
    """A shared layer as a 1 x 1 convolution over (B, ..., C)."""
    assert isinstance(module, SharedLayer)
    channels = module.linear.weight[:, :, None]
    hidden = F.conv1d(features.flatten(0, -2).T[None], channels)[0].T  # (rows, C)
    hidden = module.norm(hidden).view(*features.shape[:-1], -1)
    return F.leaky_relu(hidden, {"relu": 0.0, "leaky_relu": 0.2, None: 1.0}[module.activation])


@pytest.fixture
def points() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(2, 96, 3)


@pytest.mark.parametrize("training", [False, True])
def test_pointnet2_is_a_small_pointnet_on_each_ball(points: Tensor, training: bool) -> None:
    config = PointNet2Config(
        strides=(2, 3), mlps=((8, 9), (10, 11, 12)), radii=(0.3, 0.5), num_neighbors=(7, 9), inputs="xyz_height"
    )
    backbone = PointNet2(config).train(training)
    encoded = backbone(PointBatch(points))
    features = torch.cat([points, points[..., 2:] - points[..., 2:].amin(1, keepdim=True)], dim=-1)
    place = points
    for index, stage in enumerate(backbone.stages):
        chosen = farthest_point_sampling(place, place.shape[1] // config.strides[index], None)
        centers = gather(place, chosen)
        radius = config.radii[index]
        assert radius is not None
        around = ball_query(place, centers, radius, config.num_neighbors[index], None)
        hidden = torch.cat([gather(place, around) - centers[:, :, None], gather(features, around)], dim=-1)
        for module in stage.layers:  # type: ignore[union-attr]
            hidden = layer(module, hidden)
        place, features = centers, hidden.amax(2)
    torch.testing.assert_close(encoded.tokens, features, atol=1e-5, rtol=1e-4)
    assert torch.equal(encoded.centers, place)
    assert [level.points.shape[1] for level in encoded.levels] == [96, 48, 16]


def test_pointnet2_may_end_with_one_group_of_all_points(points: Tensor) -> None:
    config = PointNet2Config(strides=(2, 1), mlps=((8,), (12,)), radii=(0.3, None), num_neighbors=(7, 1), inputs="xyz")
    backbone = PointNet2(config).eval()
    encoded = backbone(PointBatch(points))
    before = encoded.levels[1]
    assert before.features is not None
    joined = torch.cat([before.points, before.features], dim=-1)
    expected = layer(backbone.get_submodule("stages.1.layers.0"), joined).amax(1, keepdim=True)
    torch.testing.assert_close(encoded.tokens, expected)
    mask = torch.arange(96) < torch.tensor([[96], [3]])
    moved = torch.where(mask[..., None], points, points + 5.0)
    torch.testing.assert_close(
        backbone(PointBatch(points, mask=mask)).tokens, backbone(PointBatch(moved, mask=mask)).tokens
    )


@pytest.mark.parametrize("training", [False, True])
def test_dgcnn_is_edge_convolutions_on_neighbours_found_anew(points: Tensor, training: bool) -> None:
    backbone = DGCNN(DGCNNConfig(widths=(8, 6, 10), channels=16, num_neighbors=5, inputs="xyz")).train(training)
    place, features, found = points, points, []
    for convolution in backbone.convolutions:
        around = nearest_neighbors(place, place, 5, None)
        own = features[:, :, None].expand(-1, -1, 5, -1)
        edges = torch.cat([own, gather(features, around) - own], dim=-1)
        place = features = layer(convolution.layer, edges).amax(2)  # type: ignore[arg-type]
        found.append(features)
    expected = layer(backbone.fusion, torch.cat(found, dim=-1))
    encoded = backbone(PointBatch(points))
    torch.testing.assert_close(encoded.tokens, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("training", "masked"), [*itertools.product([False, True], [False, True])])
def test_pointmlp_is_residual_layers_on_normalised_neighbourhoods(points: Tensor, training: bool, masked: bool) -> None:
    config = PointMLPConfig(
        embed_channels=6, expansions=(2, 2), pre_blocks=(1, 2), pos_blocks=(2, 1), num_neighbors=(6, 5), strides=(2, 3),
        residual_ratio=0.5, inputs="xyz_height",
    )  # fmt: skip
    backbone = PointMLP(config).train(training)
    for stage in backbone.stages:
        nn.init.normal_(stage.affine_scale)  # type: ignore[arg-type]
        nn.init.normal_(stage.affine_shift)  # type: ignore[arg-type]
    mask = torch.ones(2, 96, dtype=torch.bool) if masked else None
    encoded = backbone(PointBatch(points, mask=mask))
    features = layer(backbone.embed, point_inputs(PointBatch(points), "xyz_height"))
    place = points

    def residual(block: nn.Module, hidden: Tensor) -> Tensor:
        inner = layer(block.expand, hidden)  # type: ignore[arg-type]
        linear, norm = block.contract.linear, block.contract.norm  # type: ignore[union-attr]
        outer = norm(linear(inner).flatten(0, -2)).view(hidden.shape)  # type: ignore[operator]
        return F.relu(outer + hidden)

    for index, stage in enumerate(backbone.stages):
        chosen = farthest_point_sampling(place, place.shape[1] // config.strides[index], None)
        centers, own = gather(place, chosen), gather(features, chosen)
        around = nearest_neighbors(place, centers, config.num_neighbors[index], None)
        offsets = gather(features, around) - own[:, :, None]
        spread = offsets.flatten(1).std(1)[:, None, None, None]
        scale, shift = stage.get_parameter("affine_scale"), stage.get_parameter("affine_shift")
        normalised = scale * offsets / (spread + 1e-5) + shift
        hidden = torch.cat([normalised, own[:, :, None].expand_as(normalised)], dim=-1)
        hidden = layer(stage.transfer, hidden)  # type: ignore[arg-type]
        for block in stage.pre:  # type: ignore[union-attr]
            hidden = residual(block, hidden)
        hidden = hidden.amax(2)
        for block in stage.pos:  # type: ignore[union-attr]
            hidden = residual(block, hidden)
        place, features = centers, hidden
    torch.testing.assert_close(encoded.tokens, features, atol=2e-5, rtol=1e-4)
    assert torch.equal(encoded.centers, place)


@pytest.mark.parametrize("name", ["dgcnn", "pointnet2"])
def test_half_the_digits_do_not_blur_the_differences_of_neighbours(name: str) -> None:
    # At 100 a bfloat16 moves in steps of a half, and neighbours lie a hundredth apart: each must be subtracted before.
    points = 100.0 + 0.01 * torch.arange(8.0)[None, :, None].expand(1, 8, 3).contiguous()
    stage: nn.Module
    if name == "dgcnn":
        stage = EdgeConvolution(3, 3).eval()
        nn.init.zeros_(stage.layer.linear.weight).detach()[:, 3:] = torch.eye(3)
    else:
        stage = SetAbstraction(3, (3,), 1, 1.0, 8).eval()
        nn.init.zeros_(stage.get_submodule("layers.0.linear").get_parameter("weight")).detach()[:, :3] = torch.eye(3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        if name == "dgcnn":
            found = stage(points, nearest_neighbors(points, points, 8, None))
            expected = points.amax(1, keepdim=True) - points
        else:
            centers, found, _ = stage(points, points, None)
            expected = points.amax(1, keepdim=True) - centers
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=1e-4, rtol=0.01)


def test_pointmlp_tells_near_points_apart_with_half_the_digits(points: Tensor) -> None:
    backbone = PointMLP(PointMLPConfig(embed_channels=8, num_neighbors=(4,) * 4, inputs="xyz")).eval()
    batch = PointBatch(1.0 + 0.001 * points)  # within one step of a bfloat16
    expected = backbone(batch).levels[0].features
    with torch.autocast("cpu", torch.bfloat16):
        encoded = backbone(batch)
    assert encoded.tokens.dtype == torch.bfloat16
    torch.testing.assert_close(encoded.levels[0].features, expected)


def test_stages_must_agree_in_number() -> None:
    with pytest.raises(ValueError, match="equally many stages"):
        PointNet2Config(strides=(2, 2))
    with pytest.raises(ValueError, match="equally many stages"):
        PointMLPConfig(strides=(2, 2))
    with pytest.raises(ValueError, match="above 0"):
        DGCNNConfig(widths=(8, 0))


def test_inputs_are_places_heights_or_normals() -> None:
    points = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, -2.0], [0.0, 0.0, -5.0]]])
    normals = torch.ones(1, 3, 3)
    assert point_inputs(PointBatch(points), "xyz") is points
    heights = point_inputs(PointBatch(points), "xyz_height")
    assert heights[0, :, 3].tolist() == [6, 3, 0]
    mask = torch.tensor([[True, True, False]])
    assert point_inputs(PointBatch(points, mask=mask), "xyz_height")[0, :2, 3].tolist() == [3, 0]
    assert point_inputs(PointBatch(points, normals), "xyz_normal").shape == (1, 3, 6)
    with pytest.raises(TapError, match="no features"):
        point_inputs(PointBatch(points), "xyz_normal")
