from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from render.camera import cell_centers, project
from render.rig import Viewpoint, mvcnn12
from tap.batch import Encoded, ViewBatch
from tap.errors import TapError
from tap.network.memory import MemoryBuilder
from tap.network.photograph import Photograph, PhotographConfig, build_photograph, reference_photograph
from tap.network.query import PARTS, QueryGenerator

CONFIG = PhotographConfig(channels=16, layers=2, num_heads=2, drop_path=0.0, cells=7)


def cameras(projection: Literal["parallel", "perspective"], num_objects: int = 2, num_views: int = 3) -> ViewBatch:
    rig = mvcnn12(Viewpoint(112, projection))
    return ViewBatch(
        torch.from_numpy(rig.world_to_camera[:num_views]).expand(num_objects, -1, -1, -1),
        torch.from_numpy(rig.intrinsics[:num_views]).expand(num_objects, -1, -1, -1),
        torch.full((num_objects,), projection == "parallel"),
    )


def encoded(mask: Tensor | None = None) -> Encoded:
    return Encoded(torch.randn(2, 5, 8), torch.randn(2, 5, 3), mask)


def test_line_of_a_known_camera_by_hand() -> None:
    """A camera at (0, 0, 4) that looks down along -z, 10 pixels a unit (parallel), image of 28 pixels in 7 cells."""
    pose = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 4], [0, 0, 0, 1]])
    lens = torch.tensor([[10.0, 0, 14], [0, 10, 14], [0, 0, 1]])
    views = ViewBatch(pose.expand(2, 1, 4, 4), lens.expand(2, 1, 3, 3), torch.tensor([True, False]))
    lines = QueryGenerator(8, 7, 28, 0, PARTS).lines(views)
    assert lines.shape == (2, 1, 49, 8)
    # Row 2, column 4 is centred on the pixel (18, 10): .4 right of and .4 above the middle, so x = .4, y = .4.
    place = torch.tensor([18 / 28, 10 / 28])
    expected = torch.cat([torch.tensor([0.4, 0.4, 0.0, 0.0, 0.0, -1.0]), place])
    torch.testing.assert_close(lines[0, 0, 2 * 7 + 4], expected)
    direction = torch.tensor([0.4, 0.4, -1.0]) / np.sqrt(1.32)
    along = 4 / 1.32**0.5  # from (0, 0, 4) to the foot of the perpendicular from the origin
    nearest = torch.tensor([0.0, 0.0, 4.0]) + along * direction
    torch.testing.assert_close(lines[1, 0, 2 * 7 + 4], torch.cat([nearest, direction, place]))


@pytest.mark.parametrize("projection", ["parallel", "perspective"])
def test_every_point_of_a_line_lands_on_its_cell(projection: Literal["parallel", "perspective"]) -> None:
    views = cameras(projection)
    origin, direction, position = torch.split(QueryGenerator(8, 7, 112, 0, PARTS).lines(views), [3, 3, 2], dim=-1)
    cells = torch.from_numpy(cell_centers(112, 7))
    for distance in (-0.5, 0.0, 0.8):
        points = origin + distance * direction
        pixels, _ = project(points, views.world_to_camera, views.intrinsics, views.parallel[:, None, None])
        torch.testing.assert_close(pixels, cells.expand_as(pixels), atol=1e-3, rtol=0)
    torch.testing.assert_close(position * 112, cells.expand_as(pixels))
    assert (origin * direction).sum(-1).abs().max() < 1e-5  # nearest to the world's origin
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(2, 3, 49))


def test_parts_of_a_query_are_chosen() -> None:
    views = cameras("parallel")
    every = QueryGenerator(8, 7, 112, 0, PARTS).lines(views)
    assert torch.equal(QueryGenerator(8, 7, 112, 0, ("direction",)).lines(views), every[..., 3:6])
    without = PhotographConfig(query_origin=False)
    assert without.query_parts == ("direction", "position")
    assert QueryGenerator(8, 7, 112, 4, without.query_parts).mlp[0].in_features == 5 * 9
    with pytest.raises(ValidationError, match="at least one of"):
        PhotographConfig(query_origin=False, query_direction=False, query_position=False)


def test_lines_stay_exact_under_autocast() -> None:
    generator, views = QueryGenerator(8, 7, 112, 4, PARTS), cameras("perspective")
    seen: list[Tensor] = []
    generator.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generator(views)
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(views).dtype == torch.bfloat16
    assert torch.equal(seen[0], seen[1])


def test_memory_ends_with_the_pad_token_which_is_always_visible() -> None:
    mask = torch.tensor([[True] * 5, [True, False, False, False, False]])
    builder = MemoryBuilder(8, 16, 2, pad_token=True)
    memory, visible = builder(encoded(mask))
    assert builder.pad_token is not None
    assert memory.shape == (2, 6, 16)
    assert torch.equal(memory[:, 5], builder.pad_token.expand(2, -1))
    assert visible is not None
    assert visible.tolist() == [[True] * 6, [True, False, False, False, False, True]]
    assert builder(encoded())[1] is None
    memory, visible = MemoryBuilder(8, 16, 0, pad_token=False)(encoded(mask))
    assert memory.shape == (2, 5, 16)
    assert visible is mask


def test_masked_tokens_change_nothing_and_the_pad_token_changes_all() -> None:
    torch.manual_seed(0)
    photograph, views = Photograph(CONFIG, 8, 112), cameras("parallel")
    mask = torch.tensor([[True, True, True, False, False], [True, False, True, False, True]])
    objects, others = encoded(mask), encoded(mask)
    mixed = Encoded(
        torch.where(mask[..., None], objects.tokens, others.tokens),
        torch.where(mask[..., None], objects.centers, others.centers),
        mask,
    )
    features = photograph(objects, views)
    assert features.shape == (6, 16, 7, 7)
    torch.testing.assert_close(photograph(mixed, views), features)
    assert not torch.allclose(photograph(others, views), features)
    assert photograph.memory.pad_token is not None
    nn.init.ones_(photograph.memory.pad_token)
    assert ((photograph(objects, views) - features).abs().amax((1, 2, 3)) > 1e-4).all()


def test_views_are_photographed_independently_and_in_order() -> None:
    torch.manual_seed(0)
    photograph, views, objects = Photograph(CONFIG, 8, 112).eval(), cameras("perspective"), encoded()
    together = photograph(objects, views).unflatten(0, (2, 3))
    for view in range(3):
        one = ViewBatch(views.world_to_camera[:, [view]], views.intrinsics[:, [view]], views.parallel)
        torch.testing.assert_close(photograph(objects, one), together[:, view])


def test_cells_lie_row_by_row() -> None:
    """Without attention between cells the feature of cell (row, column) is that of its own query."""
    torch.manual_seed(0)
    photograph, views = Photograph(CONFIG.model_copy(update={"layers": 1}), 8, 112).eval(), cameras("parallel")
    queries = photograph.query(views)
    del photograph.blocks[0]
    features = photograph(encoded(), views)
    assert torch.equal(features[4, :, 2, 5], queries[4, 2 * 7 + 5])


def test_gradients_reach_every_parameter() -> None:
    photograph = Photograph(PhotographConfig(channels=16, layers=2, num_heads=2, query_octaves=2, cells=7), 8, 112)
    features = photograph(encoded(), cameras("parallel"))
    (features * torch.randn_like(features)).sum().backward()
    assert [key for key, value in photograph.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="num_heads 3 must divide channels 256"):
        PhotographConfig(num_heads=3)
    config = CONFIG.model_copy(update={"num_heads": 3, "head_width": 5})
    assert Photograph(config, 8, 112)(encoded(), cameras("parallel")).shape == (6, 16, 7, 7)


def test_attention_is_that_of_the_last_layer() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    photograph, objects, views = Photograph(CONFIG, 8, 112).eval(), encoded(mask), cameras("perspective")
    seen: list[tuple[Tensor, ...]] = []
    last = photograph.blocks[-1].get_submodule("cross_attention")
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    photograph(objects, views)
    weights = photograph.attention(objects, views)
    assert weights.shape == (2, 3, 49, 6)
    torch.testing.assert_close(weights, last.weights(*seen[0]).mean(1).unflatten(1, (3, 49)))  # type: ignore[operator]
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 49))
    assert not weights[0, ..., 3:5].any()


def test_the_module_of_the_authors_has_their_tensors() -> None:
    photograph = build_photograph(reference_photograph(64).model_copy(update={"cells": 7}), 64, 224)
    shapes = {name: tuple(value.shape) for name, value in photograph.named_parameters()}
    assert shapes["query.mlp.0.weight"] == (8, 8)
    assert shapes["query.mlp.2.weight"] == (256, 8)
    assert shapes["memory.mlp.0.weight"] == (67, 67)
    assert shapes["memory.mlp.2.weight"] == (256, 67)
    assert shapes["blocks.5.self_attention.to_query_key_value.weight"] == (3 * 1024, 256)
    assert shapes["blocks.5.cross_attention.to_key_value.weight"] == (2 * 1024, 256)
    assert shapes["blocks.5.cross_attention.to_output.weight"] == (256, 1024)
    assert shapes["blocks.5.mlp.expand.weight"] == (2048, 256)
    assert "memory.pad_token" not in shapes
    attention, linear, norm = 4 * 256 * 1024 + 256, 256 * 2048 + 2048 + 1024 * 256 + 256, 2 * 256
    own = 8 * 8 + 8 + 8 * 256 + 256 + 67 * 67 + 67 + 67 * 256 + 256
    assert sum(value.numel() for value in photograph.parameters()) == own + 6 * (2 * attention + linear + 3 * norm)
    rates = [module.p for module in photograph.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.1] * 3 * 6


def test_cells_must_be_known() -> None:
    with pytest.raises(TapError, match="cells is not set"):
        build_photograph(PhotographConfig(), 8, 224)
