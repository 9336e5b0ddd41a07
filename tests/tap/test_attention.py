import pytest
import torch

from tap.network.attention import (
    CrossAttention,
    DropPath,
    FeedForward,
    GatedFeedForward,
    SelfAttention,
    rising_drop_path,
)


def test_drop_path_drops_whole_rows_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2, 3))
    rows = dropped.flatten(1)
    assert ((rows == rows[:, :1]).all(1)).all()
    assert sorted(rows[:, 0].unique().tolist()) == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)
    branch = torch.ones(4, 2)
    assert DropPath(0.25).eval()(branch) is branch


def test_drop_path_rises_linearly() -> None:
    assert rising_drop_path(0.2, 5) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_cross_attention_is_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(4, 1)
    queries, memory = torch.randn(1, 3, 4), torch.randn(1, 5, 4)
    key, value = attention.to_key_value(memory).chunk(2, -1)
    weights = (attention.to_query(queries) @ key.transpose(1, 2) / 2).softmax(-1)
    torch.testing.assert_close(attention(queries, memory), attention.to_output(weights @ value))


def test_masked_entries_are_not_looked_at() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    sequence, other = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    changed = torch.where(mask[..., None], sequence, other)
    attend, cross = SelfAttention(8, 2), CrossAttention(8, 2)
    torch.testing.assert_close(attend(sequence, mask)[mask], attend(changed, mask)[mask])
    torch.testing.assert_close(attend(sequence, mask)[0, :2], attend(sequence[:1, :2])[0])
    queries = torch.randn(2, 4, 8)
    torch.testing.assert_close(cross(queries, sequence, mask), cross(queries, changed, mask))


def test_heads_and_their_width_are_free_of_the_channels() -> None:
    torch.manual_seed(0)
    sequence, memory = torch.randn(2, 3, 6), torch.randn(2, 5, 6)
    attend, cross = SelfAttention(6, 4, head_width=5), CrossAttention(6, 4, head_width=5)
    assert attend.to_query_key_value.out_features == 3 * 20
    assert (cross.to_query.out_features, cross.to_output.in_features) == (20, 20)
    assert attend(sequence).shape == cross(sequence, memory).shape == (2, 3, 6)
    # The first head alone, by hand: its slices of the three projections.
    query = cross.to_query(sequence)
    key, value = cross.to_key_value(memory).chunk(2, -1)
    weights = (query[..., :5] @ key[..., :5].transpose(1, 2) / 5**0.5).softmax(-1)
    found = cross.weights(sequence, memory)
    torch.testing.assert_close(found[:, 0], weights)
    assert found.shape == (2, 4, 3, 5)
    mixed = torch.cat([found[:, head] @ value[..., 5 * head : 5 * head + 5] for head in range(4)], dim=-1)
    torch.testing.assert_close(cross(sequence, memory), cross.to_output(mixed))


def test_weights_are_0_at_masked_entries() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    weights = CrossAttention(8, 2).weights(torch.randn(2, 4, 8), torch.randn(2, 3, 8), mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4))
    assert not weights[0, ..., 2].any()
    assert not weights[1, ..., 1:].any()


def test_dropout_drops_units_in_training_only() -> None:
    torch.manual_seed(0)
    sequence = torch.randn(50, 8, 16)
    for module in (SelfAttention(16, 2, dropout=0.25), CrossAttention(16, 2, dropout=0.25)):
        inputs = (sequence,) if isinstance(module, SelfAttention) else (sequence, sequence)
        kept = module.eval()(*inputs)
        dropped = module.train()(*inputs)
        assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
        torch.testing.assert_close(dropped[dropped != 0], (kept / 0.75)[dropped != 0])
    gated = GatedFeedForward(16, 4.0, dropout=0.25)
    assert not torch.equal(gated(sequence), gated.eval()(sequence))


def test_feed_forward_widths() -> None:
    assert FeedForward(8, 4.0).expand.out_features == 32
    gated = GatedFeedForward(8, 4.0)
    assert (gated.expand.out_features, gated.contract.in_features) == (64, 32)
    assert gated(torch.zeros(2, 3, 8)).shape == (2, 3, 8)
