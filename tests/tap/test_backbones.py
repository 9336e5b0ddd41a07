import sys
import types
from typing import ClassVar

import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from tap.backbones import BACKBONES, BackboneConfig, build_backbone, find_backbone
from tap.batch import Encoded, PointBatch
from tap.errors import TapError

SMALL = {
    "transformer": {
        "num_groups": 16,
        "group_size": 8,
        "radius": 0.4,
        "embed_hidden": (8, 8, 8),
        "embed_channels": 8,
        "channels": 12,
        "depth": 2,
        "num_heads": 2,
    }
}


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
    backbone = build_backbone(BackboneConfig(name=name, settings=SMALL[name]))
    assert isinstance(backbone, nn.Module)
    points = torch.randn(2, 100, 3)
    encoded = backbone(PointBatch(points))
    num_tokens = backbone.num_tokens or 100
    assert encoded.tokens.shape == (2, num_tokens, backbone.channels)
    assert encoded.centers.shape == (2, num_tokens, 3)
    assert (encoded.class_token is not None) == backbone.has_class_token
    assert torch.equal(encoded.levels[0].points, points)
    assert encoded.levels[-1].features is encoded.tokens
    # tokens.sum() alone would be constant behind a layer norm
    loss = (encoded.tokens * torch.randn_like(encoded.tokens)).sum()
    if encoded.class_token is not None:
        loss = loss + (encoded.class_token * torch.randn_like(encoded.class_token)).sum()
    torch.autograd.backward(loss)
    without = [key for key, value in backbone.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_points_outside_the_mask_change_nothing(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name=name, settings=SMALL[name]))
    assert isinstance(backbone, nn.Module)
    backbone.eval()
    mask = torch.rand(2, 100) < 0.6
    mask[1] = torch.arange(100) < 5  # fewer real points than tokens
    points = torch.randn(2, 100, 3)
    changed = torch.where(mask[..., None], points, torch.randn(2, 100, 3))
    first, second = backbone(PointBatch(points, mask=mask)), backbone(PointBatch(changed, mask=mask))
    assert first.token_mask is not None
    assert torch.equal(first.tokens[first.token_mask], second.tokens[first.token_mask])
    assert first.token_mask.sum(1).tolist() == [16, 5]
    alone = backbone(PointBatch(points[:1, mask[0]]))
    torch.testing.assert_close(alone.tokens, first.tokens[:1])


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
    with pytest.raises(TapError, match=r"backbone 'transfomer' is unknown; name one of transformer"):
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
