import pytest
import torch
from torch import Tensor, nn

from tap.backbones.transformer import MiniPointNet, Transformer, TransformerConfig
from tap.batch import PointBatch
from tap.errors import TapError
from tap.network.heads import ClassificationHead

TINY = TransformerConfig(
    num_groups=16, group_size=8, radius=0.4, embed_hidden=(8, 8, 8), embed_channels=8, channels=12, depth=2, num_heads=2
)


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_reference_has_the_parameters_of_the_authors_encoder() -> None:
    first_convolutions = (3 * 128 + 128) + 2 * 128 + (128 * 256 + 256)
    second_convolutions = (512 * 512 + 512) + 2 * 512 + (512 * 256 + 256)
    to_width = 256 * 384 + 384
    class_token_and_position = 2 * 384
    position = (3 * 128 + 128) + (128 * 384 + 384)
    attention = 384 * 3 * 384 + (384 * 384 + 384)
    mlp = (384 * 1536 + 1536) + (1536 * 384 + 384)
    block = 2 * 384 + attention + 2 * 384 + mlp
    expected = first_convolutions + second_convolutions + to_width + class_token_and_position + position
    expected += 12 * block + 2 * 384
    backbone = Transformer(TransformerConfig())
    assert num_parameters(backbone) == expected
    head = ClassificationHead(384, 15, pooling="class_max")
    assert num_parameters(head) == 768 * 512 + 2 * 512 + 512 * 256 + 2 * 256 + 256 * 15 + 15
    # The published 22.1 M are with the head 768-256-256-15 of Point-BERT; the authors' config has 512-256 and 22.4 M.
    point_bert_head = (768 * 256 + 256 + 512) + (256 * 256 + 256 + 512) + (256 * 15 + 15)
    assert round((expected + point_bert_head) / 1e6, 1) == 22.1
    assert round((expected + num_parameters(head)) / 1e6, 1) == 22.4


def test_mini_pointnet_is_the_network_on_concatenated_features() -> None:
    torch.manual_seed(0)
    embed = MiniPointNet((8, 16, 8), 12).eval()
    groups = torch.randn(2, 5, 7, 3)
    rows = embed.second(torch.relu(embed.first_norm(embed.first(groups.flatten(0, 2)))))
    rows = rows.unflatten(0, (10, 7))
    rows = torch.cat([rows.amax(1, keepdim=True).expand_as(rows), rows], dim=-1).flatten(0, 1)
    rows = embed.fourth(torch.relu(embed.third_norm(embed.third(rows))))
    torch.testing.assert_close(embed(groups), rows.unflatten(0, (2, 5, 7)).amax(2))


def test_order_of_the_points_behind_the_first_does_not_matter() -> None:
    torch.manual_seed(0)
    backbone = Transformer(TINY.model_copy(update={"group_size": 100})).eval()  # no ball is ever full
    points = torch.randn(3, 100, 3)
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(99)])
    first, second = backbone(PointBatch(points)), backbone(PointBatch(points[:, order]))
    torch.testing.assert_close(first.tokens, second.tokens)
    assert torch.equal(first.centers, second.centers)


def test_tokens_follow_their_neighbourhood_not_its_place() -> None:
    backbone = Transformer(TINY)
    seen: list[Tensor] = []
    backbone.embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    points = torch.randn(1, 100, 3)
    backbone(PointBatch(points))
    backbone(PointBatch(points + 4))
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=0)
    assert seen[0].norm(dim=-1).max() < TINY.radius


def test_too_few_points_are_refused() -> None:
    with pytest.raises(TapError, match="clouds of 10 points cannot give 16 tokens"):
        Transformer(TINY)(PointBatch(torch.zeros(1, 10, 3)))


def test_runs_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        encoded = Transformer(TINY)(PointBatch(torch.randn(2, 50, 3), mask=torch.rand(2, 50) < 0.5))
    assert encoded.tokens.isfinite().all()
    assert encoded.centers.dtype == torch.float32
