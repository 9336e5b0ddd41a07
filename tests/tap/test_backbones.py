import sys
import types
from typing import Any, ClassVar

import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from tap.backbones import BACKBONES, BackboneConfig, build_backbone, find_backbone
from tap.batch import Encoded, PointBatch
from tap.errors import TapError
from tap.tasks.classes.classifier import Classifier

SMALL: dict[str, dict[str, Any]] = {
    "transformer": {
        "num_groups": 16,
        "group_size": 100,
        "radius": 0.4,
        "embed_hidden": (8, 8, 8),
        "embed_channels": 8,
        "channels": 12,
        "depth": 2,
        "num_heads": 2,
    },
    "pointnet2": {
        "strides": (3, 2),
        "mlps": ((8, 8), (8, 12)),
        "radii": (0.5, 0.9),
        "num_neighbors": (100, 100),
    },
    "dgcnn": {"widths": (8, 6), "channels": 12, "num_neighbors": 6},
    "pointmlp": {
        "embed_channels": 6,
        "expansions": (2, 1),
        "pre_blocks": (1, 2),
        "pos_blocks": (2, 0),
        "num_neighbors": (5, 4),
        "strides": (3, 2),
    },
    "pointmlp_elite": {
        "embed_channels": 8,
        "expansions": (2, 1),
        "pre_blocks": (1, 1),
        "pos_blocks": (1, 1),
        "num_neighbors": (5, 4),
        "strides": (3, 2),
    },
}
"""Settings under which no ball holds more points than it takes, so that only the first point's place matters."""
NUM_TOKENS = {"transformer": 16, "pointnet2": 16, "dgcnn": 100, "pointmlp": 16, "pointmlp_elite": 16}  # of 100 points


def build(name: str) -> nn.Module:
    backbone = build_backbone(BackboneConfig(name=name, settings=SMALL[name]))
    assert isinstance(backbone, nn.Module)
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm1d):  # neither ones nor zeros, and scales of both signs
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.3)
            layer.running_mean = 0.3 * torch.randn(layer.num_features)
            layer.running_var = 0.5 + 1.5 * torch.rand(layer.num_features)
    return backbone


class OneNumber(BaseModel, frozen=True, extra="forbid"):
    channels: int = 4


class Everywhere(nn.Module):
    """The smallest backbone: every point is a token."""

    config_class: ClassVar[type[BaseModel]] = OneNumber
    num_tokens = None
    has_class_token = False

    def __init__(self, config: OneNumber) -> None:
        super().__init__()
        self.channels = config.channels
        self.layer = nn.Linear(3, config.channels)

    def forward(self, batch: PointBatch) -> Encoded:
        return Encoded(self.layer(batch.points), batch.points, batch.mask)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_keeps_the_contract(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(name)
    points = torch.randn(2, 100, 3)
    encoded = backbone(PointBatch(points))
    num_tokens = backbone.num_tokens or NUM_TOKENS[name]
    assert encoded.tokens.shape == (2, num_tokens, backbone.channels)
    assert encoded.centers.shape == (2, num_tokens, 3)
    assert (encoded.centers[:, :, None] == points[:, None]).all(-1).any(-1).all()  # a token sits at a point
    assert (encoded.class_token is not None) == backbone.has_class_token
    assert torch.equal(encoded.levels[0].points, points)
    assert encoded.levels[-1].features is encoded.tokens
    assert torch.equal(encoded.levels[-1].points, encoded.centers)
    sizes = [level.points.shape[1] for level in encoded.levels]
    assert sizes == sorted(sizes, reverse=True)  # finest first
    # tokens.sum() alone would be constant behind a layer norm
    loss = (encoded.tokens * torch.randn_like(encoded.tokens)).sum()
    if encoded.class_token is not None:
        loss = loss + (encoded.class_token * torch.randn_like(encoded.class_token)).sum()
    torch.autograd.backward(loss)
    without = [key for key, value in backbone.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []
    assert all(bool(value.grad.isfinite().all()) for value in backbone.parameters() if value.grad is not None)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_points_outside_the_mask_change_nothing(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(name).eval()
    mask = torch.rand(2, 100) < 0.6
    mask[1] = torch.arange(100) < 5  # fewer real points than tokens, and than neighbours
    points = torch.randn(2, 100, 3)
    changed = torch.where(mask[..., None], points, torch.randn(2, 100, 3))
    first, second = backbone(PointBatch(points, mask=mask)), backbone(PointBatch(changed, mask=mask))
    assert first.token_mask is not None
    assert torch.equal(first.tokens[first.token_mask], second.tokens[first.token_mask])
    assert torch.equal(first.centers[first.token_mask], second.centers[first.token_mask])
    fewest = int(mask[0].sum()) if NUM_TOKENS[name] == 100 else 16
    assert first.token_mask.sum(1).tolist() == [fewest, 5]
    if backbone.num_tokens is not None:  # else a cloud that is padded has more tokens than it has alone
        alone = backbone(PointBatch(points[:1, mask[0]]))
        torch.testing.assert_close(alone.tokens, first.tokens[:1])


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_order_of_the_points_behind_the_first_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(name).eval()
    points = torch.randn(1, 100, 3)
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(99)])
    first, second = backbone(PointBatch(points)), backbone(PointBatch(points[:, order]))
    match = torch.cdist(second.centers, first.centers)[0].argmin(-1)  # tokens may come in another order, as the points
    assert sorted(match.tolist()) == list(range(len(match)))
    torch.testing.assert_close(second.tokens[0], first.tokens[0, match], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_one_point_that_repeats_gives_finite_tokens_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(name)
    encoded = backbone(PointBatch(torch.ones(2, 100, 3)))
    torch.autograd.backward((encoded.tokens * torch.randn_like(encoded.tokens)).sum())
    assert encoded.tokens.isfinite().all()
    assert all(bool(value.grad.isfinite().all()) for value in backbone.parameters() if value.grad is not None)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_too_few_points_are_refused(name: str) -> None:
    with pytest.raises(TapError, match=r"points.*sample more points a cloud"):
        build(name)(PointBatch(torch.randn(1, 5, 3)))


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_runs_under_autocast(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        encoded = backbone(PointBatch(torch.randn(2, 100, 3)))
    torch.autograd.backward(encoded.tokens.float().square().mean())
    assert encoded.tokens.isfinite().all()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # Counted on the authors' modules with the settings of their configs, without heads.
        ("pointnet2", 805_440),
        ("dgcnn", 617_984),
        ("pointmlp", 12_570_624),
        ("pointmlp_elite", 441_536),
        ("transformer", 21_858_816),
    ],
)
def test_defaults_have_the_parameters_of_the_public_modules(name: str, count: int) -> None:
    backbone = build_backbone(BackboneConfig(name=name))
    assert sum(parameter.numel() for parameter in backbone.parameters()) == count


def test_dgcnn_and_pointmlp_have_the_published_size_with_their_heads() -> None:
    for name, pooling, count in (("dgcnn", "max_mean", 1.80e6), ("pointmlp", "max", 13.24e6)):
        classifier = Classifier(BackboneConfig(name=name), 15, 0.5, pooling)  # type: ignore[arg-type]
        assert sum(parameter.numel() for parameter in classifier.parameters()) == pytest.approx(count, rel=0.005)


def test_settings_are_completed_and_checked() -> None:
    config = BackboneConfig(settings={"depth": 3})
    assert config.settings["num_groups"] == 256
    assert BackboneConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match=r"settings.num_group of backbone transformer is unknown.*num_groups"):
        BackboneConfig(settings={"num_group": 3})
    with pytest.raises(
        ValidationError, match=r"settings.depth of backbone transformer: Input should be greater than 0"
    ):
        BackboneConfig(settings={"depth": 0})
    with pytest.raises(ValidationError, match="num_heads 5 must divide channels 384"):
        BackboneConfig(settings={"num_heads": 5})


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(
        TapError,
        match=r"backbone 'transfomer' is unknown; name one of dgcnn, pointmlp, pointmlp_elite, pointnet2, transformer",
    ):
        BackboneConfig(name="transfomer")
    with pytest.raises(TapError, match="no_such_module"):
        find_backbone("no_such_module:Name")
    with pytest.raises(TapError, match="config_class"):
        find_backbone("torch.nn:Linear")


def test_a_backbone_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("own_backbones")
    module.Everywhere = Everywhere  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_backbones", module)
    backbone = build_backbone(BackboneConfig(name="own_backbones:Everywhere", settings={"channels": 6}))
    assert backbone(PointBatch(torch.zeros(1, 9, 3))).tokens.shape == (1, 9, 6)
