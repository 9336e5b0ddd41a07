from typing import ClassVar

import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from tap.backbones import BACKBONES, BackboneClass, BackboneConfig
from tap.batch import Encoded, Level, PointBatch
from tap.errors import TapError
from tap.network.part_heads import DECODERS, PointMLPDecoder, Propagation
from tap.network.part_segmenter import PartSegmenter
from tap.ops import three_nearest
from tap.presets import SMALL_SETTINGS
from tap.tasks.parts.part_segmentation import build_segmenter
from tap.tasks.parts.partseg_presets import PARTSEG_PRESETS

NUM_PARTS, NUM_CLASSES, NUM_POINTS = 7, 3, 256


class PlainConfig(BaseModel, frozen=True, extra="forbid"):
    levels: str = "none"


class Plain(nn.Module):
    """A user's own backbone: every eighth point is a token, with levels or without."""

    config_class: ClassVar[type[BaseModel]] = PlainConfig
    channels = 6
    num_tokens: int | None = None
    has_class_token = False

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.levels = config.levels
        self.linear = nn.Linear(3, 6)

    def forward(self, batch: PointBatch) -> Encoded:
        centers = batch.points[:, ::8]
        tokens = self.linear(centers)
        levels = {"none": (), "coarse": (Level(centers, tokens),), "bare": (Level(batch.points), Level(centers))}
        return Encoded(tokens, centers, None, None, levels[self.levels])


OWN = f"{__name__}:Plain"


def clouds(number: int = 2) -> PointBatch:
    generator = torch.Generator().manual_seed(1)
    points = nn.functional.normalize(torch.randn(number, NUM_POINTS, 3, generator=generator), dim=-1)
    return PointBatch(points, points.clone())


def configs() -> dict[str, BackboneConfig]:
    found = {name: BackboneConfig(name=name, settings=dict(SMALL_SETTINGS[name])) for name in BACKBONES}
    own = {f"own {levels}": BackboneConfig(name=OWN, settings={"levels": levels}) for levels in ("none", "coarse")}
    return found | own


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    import tap.backbones

    def plain(name: str) -> BackboneClass:
        return Plain if name == OWN else BACKBONES[name]

    monkeypatch.setattr(tap.backbones, "find_backbone", plain)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", [*BACKBONES, "own none", "own coarse"])
def test_every_backbone_scores_every_point(name: str) -> None:
    torch.manual_seed(0)
    model = PartSegmenter(configs()[name], NUM_PARTS, NUM_CLASSES, num_points=NUM_POINTS)
    categories = torch.tensor([0, 2])
    scores = model(clouds(), categories)
    assert scores.shape == (2, NUM_POINTS, NUM_PARTS)
    scores.square().mean().backward()
    untouched = [name for name, value in model.head.named_parameters() if value.grad is None or not value.grad.any()]
    # ReLU after an input that is never positive may leave a bias without gradient; whole layers may not be left out
    assert [name for name in untouched if name.endswith("weight") and "norm" not in name] == []
    model.eval()
    with torch.no_grad():
        first, second = model(clouds(), categories), model(clouds(), torch.tensor([1, 2]))
    assert not torch.equal(first[0], second[0])  # the category tells
    assert torch.allclose(first[1], second[1], atol=1e-5)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", ["pointnet2", "pointmlp", "own none"])
def test_points_are_told_apart_by_their_place(name: str) -> None:
    model = PartSegmenter(configs()[name], NUM_PARTS, NUM_CLASSES, num_points=NUM_POINTS).eval()
    with torch.no_grad():
        scores = model(clouds(1), torch.tensor([0]))[0]
    assert len(torch.unique(scores, dim=0)) == NUM_POINTS


def test_a_level_without_features_needs_the_general_decoder() -> None:
    with pytest.raises(TapError, match=r"decoder pointmlp: .* choose decoder=levels"):
        PartSegmenter(configs()["transformer"], NUM_PARTS, NUM_CLASSES, "pointmlp", num_points=NUM_POINTS)


@pytest.mark.usefixtures("own")
def test_tokens_without_features_and_padded_clouds_are_refused() -> None:
    bare = PartSegmenter(BackboneConfig(name=OWN, settings={"levels": "bare"}), 2, 2, num_points=NUM_POINTS)
    with pytest.raises(TapError, match="the last level of a backbone are its tokens; this one has no features"):
        bare(clouds(), torch.tensor([0, 1]))
    model = PartSegmenter(configs()["own none"], 2, 2, num_points=NUM_POINTS)
    padded = PointBatch(clouds().points, None, torch.ones(2, NUM_POINTS, dtype=torch.bool))
    with pytest.raises(TapError, match="of one size, without a mask"):
        model(padded, torch.tensor([0, 1]))


def test_too_few_points_for_the_backbone_are_met_at_once() -> None:
    with pytest.raises(TapError, match="transformer: clouds of 32 points cannot give 64 tokens"):
        PartSegmenter(configs()["transformer"], NUM_PARTS, NUM_CLASSES, num_points=32)


def test_the_seed_decides_the_weights_whatever_the_look_at_the_levels_drew() -> None:
    weights = []
    for num_points in (NUM_POINTS, 2 * NUM_POINTS):
        torch.manual_seed(3)
        weights.append(PartSegmenter(configs()["pointmlp"], NUM_PARTS, NUM_CLASSES, num_points=num_points).state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_propagation_is_the_layer_on_joined_features() -> None:
    torch.manual_seed(0)
    points, centers = torch.randn(2, 9, 3), torch.randn(2, 4, 3)
    own, coarse = torch.randn(2, 9, 5), torch.randn(2, 4, 6)
    for power in (1, 2):
        layer = Propagation(6, 5, 8, 0, power).eval()
        index, weight = three_nearest(points, centers)
        weight = weight**power / (weight**power).sum(-1, keepdim=True)
        around = torch.stack([coarse[number][index[number]] for number in range(2)])  # (B, N, 3, C)
        joined = torch.cat([own, (around * weight[..., None]).sum(2)], dim=-1)
        wanted = layer.fuse(joined.flatten(0, 1)).view(2, 9, 8)
        assert torch.allclose(layer(points, own, centers, coarse), wanted, atol=1e-5)
    bare = Propagation(6, 0, 8, 0).eval()
    index, weight = three_nearest(points, centers)
    around = torch.stack([coarse[number][index[number]] for number in range(2)])
    wanted = bare.fuse((around * weight[..., None]).sum(2).flatten(0, 1)).view(2, 9, 8)
    assert torch.allclose(bare(points, None, centers, coarse), wanted, atol=1e-5)


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_published_decoder_has_the_published_parameters() -> None:
    """The module that Take-A-Photo's authors fine-tune, built from their code: 12,570,752 and 4,151,808 parameters."""
    model = build_segmenter(PARTSEG_PRESETS["reference/pointmlp"](), 50, 16)
    assert isinstance(model.head, PointMLPDecoder)
    assert count(model) == 16_722_560
    # that module counts its levels' propagation, category, contexts and classifier apart
    assert count(model.head.steps) == 3_958_784
    assert count(model.head.category) == 5_376
    assert count(model.head.contexts) == 127_616
    assert count(model.head.context) == 20_608


def test_one_cloud_in_evaluation_is_scored_as_in_a_batch() -> None:
    torch.manual_seed(0)
    settings = dict(SMALL_SETTINGS["pointmlp"])
    for decoder in DECODERS:
        backbone = BackboneConfig(name="pointmlp", settings=settings)
        model = PartSegmenter(backbone, 5, 2, decoder, num_points=NUM_POINTS).eval()
        both = clouds()
        with torch.no_grad():
            whole: Tensor = model(both, torch.tensor([0, 1]))
            alone = model(PointBatch(both.points[1:]), torch.tensor([1]))
        assert torch.allclose(whole[1:], alone, atol=1e-4)
