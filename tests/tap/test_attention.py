import pytest
import torch

from tap.attention import CrossAttention, DropPath, FeedForward, GatedFeedForward, SelfAttention, rising_drop_path


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


def test_feed_forward_widths() -> None:
    assert FeedForward(8, 4.0).expand.out_features == 32
    gated = GatedFeedForward(8, 4.0)
    assert (gated.expand.out_features, gated.contract.in_features) == (64, 32)
    assert gated(torch.zeros(2, 3, 8)).shape == (2, 3, 8)
