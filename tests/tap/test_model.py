import pytest
import torch
from pydantic import ValidationError

from render.camera import Projection
from render.rig import Viewpoint, load_rig, mvcnn12
from tap.batch import PointBatch, ViewBatch
from tap.errors import TapError
from tap.losses import RegionLoss
from tap.network.model import ModelConfig, TakeAPhoto, build_model

TINY = {
    "backbone": {
        "name": "transformer",
        "settings": {
            "num_groups": 16,
            "group_size": 8,
            "radius": 0.5,
            "embed_hidden": [16, 16, 32],
            "embed_channels": 32,
            "channels": 32,
            "depth": 2,
            "num_heads": 2,
            "drop_path": 0.0,
        },
    },
    "photograph": {"channels": 32, "layers": 2, "num_heads": 2, "query_octaves": 3, "drop_path": 0.0},
    "generator": {"strides": [2, 2]},
    "image_size": 28,
}


def half_white_pictures() -> tuple[PointBatch, ViewBatch]:
    """Two objects, two views; in each picture a dark square that differs by object and view."""
    torch.manual_seed(0)
    rig = mvcnn12(Viewpoint(28, "parallel"))
    mask = torch.zeros(2, 2, 28, 28, dtype=torch.bool)
    for index, (top, left) in enumerate(((4, 4), (4, 16), (16, 4), (16, 16))):
        mask[index // 2, index % 2, top : top + 8, left : left + 8] = True
    images = torch.where(mask[:, :, None], 0.2, 1.0).expand(-1, -1, 3, -1, -1)
    poses, lenses = torch.from_numpy(rig.world_to_camera[:2]), torch.from_numpy(rig.intrinsics[:2])
    views = ViewBatch(
        poses.expand(2, -1, -1, -1), lenses.expand(2, -1, -1, -1), torch.tensor([True, True]), images, mask
    )
    return PointBatch(torch.randn(2, 64, 3) * torch.tensor([[[1.0]], [[0.3]]])), views


def tiny_model() -> TakeAPhoto:
    torch.manual_seed(0)
    return build_model(ModelConfig.model_validate(TINY))


def test_overfits_one_batch() -> None:
    model, loss = tiny_model(), RegionLoss()
    points, views = half_white_pictures()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    values = []
    for _ in range(80):
        optimizer.zero_grad()
        total = loss(model(points, views), views)["total"]
        total.backward()
        optimizer.step()
        values.append(total.item())
    assert values[-1] < values[0] / 10
    generated = model(points, views).detach()
    assert generated.shape == (2, 2, 3, 28, 28)
    assert generated.std(dim=1).mean() > 0.5 * views.images.std(dim=1).mean()  # type: ignore[union-attr]


def test_gradients_reach_every_parameter() -> None:
    model = tiny_model()
    points, views = half_white_pictures()
    RegionLoss()(model(points, views), views)["total"].backward()
    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_config_survives_json_and_rebuilds_the_same_model() -> None:
    config = ModelConfig.model_validate(TINY)
    again = ModelConfig.model_validate_json(config.model_dump_json())
    assert again == config
    model, other = build_model(config), build_model(again)
    other.load_state_dict(model.state_dict(), strict=True)
    points, views = half_white_pictures()
    assert torch.equal(model.eval()(points, views), other.eval()(points, views))


@pytest.mark.parametrize("size", [64, 96, 256])
def test_cells_follow_the_size_of_the_images_and_are_stored(size: int) -> None:
    photograph = TINY["photograph"]
    config = ModelConfig.model_validate({"photograph": photograph, "image_size": size})
    assert config.photograph.cells == size // 32
    assert config.model_dump()["photograph"]["cells"] == size // 32
    small = ModelConfig.model_validate(TINY | {"generator": {"strides": [4, 4, 2]}, "image_size": size})
    points, _ = half_white_pictures()
    cases: tuple[tuple[Projection, int], ...] = (("parallel", 1), ("perspective", 20))
    for projection, num_views in cases:
        rig = load_rig("dodecahedron20")(Viewpoint(size, projection))
        poses, lenses = (torch.from_numpy(array[:num_views]) for array in (rig.world_to_camera, rig.intrinsics))
        views = ViewBatch(
            poses.expand(2, -1, -1, -1), lenses.expand(2, -1, -1, -1), torch.tensor([projection == "parallel"] * 2)
        )
        with torch.no_grad():
            assert build_model(small)(points, views).shape == (2, num_views, 3, size, size)


def test_sizes_that_do_not_fit_are_refused() -> None:
    seven = TINY | {"photograph": TINY["photograph"] | {"cells": 7}}  # type: ignore[operator]
    assert ModelConfig.model_validate(seven) == ModelConfig.model_validate(TINY)
    with pytest.raises(
        ValidationError, match=r"7 cells and strides \(2, 2\) give 28 pixels; set photograph.cells to 8"
    ):
        ModelConfig.model_validate(seven | {"image_size": 32})
    with pytest.raises(ValidationError, match=r"must be a multiple of 4.*the nearest multiples are 28 and 32"):
        ModelConfig.model_validate(TINY | {"image_size": 30})
    with pytest.raises(ValidationError, match="the nearest multiple is 4"):
        ModelConfig.model_validate(TINY | {"image_size": 3})
    with pytest.raises(ValidationError, match="cannot be halved 1 times"):
        ModelConfig.model_validate(TINY | {"photograph": {"channels": 33, "num_heads": 3}})
    with pytest.raises(ValidationError, match="extra"):
        ModelConfig.model_validate(TINY | {"imagesize": 32})
    points, views = half_white_pictures()
    with pytest.raises(TapError, match="1 clouds but cameras of 2 objects"):
        tiny_model()(PointBatch(points.points[:1]), views)


@pytest.mark.gpu
def test_a_cuda_step_gives_the_loss_of_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = tiny_model().eval()
    points, views = half_white_pictures()
    expected = model(points, views)
    model.to("cuda")
    found = model(points.to("cuda"), views.to("cuda"))
    RegionLoss()(found, views.to("cuda"))["total"].backward()
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=1e-3)
