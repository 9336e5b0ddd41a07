import numpy as np
import pytest

from shards.errors import ShardError
from shards.order import epoch_order

COUNTS = [5, 0, 7, 3, 4, 6]


def test_permutation_that_differs_by_epoch_and_seed() -> None:
    orders = [epoch_order(COUNTS, seed, epoch, 2) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    for order in orders:
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(25))
    assert len({tuple(order) for order in orders}) == 3
    np.testing.assert_array_equal(orders[0], epoch_order(COUNTS, 0, 0, 2))


def test_only_a_group_of_shards_is_in_use_at_a_time() -> None:
    counts = [5, 7, 3, 4, 6]
    shard_of = np.repeat(np.arange(len(counts)), counts)
    order = epoch_order(counts, 3, 4, 2)
    position = 0
    seen: set[int] = set()
    while position < len(order):
        group: set[int] = set()
        while position < len(order) and len(group | {int(shard_of[order[position]])}) <= 2:
            group.add(int(shard_of[order[position]]))
            position += 1
        assert not group & seen
        seen |= group
    mixed = epoch_order([100, 100], 0, 0, 2) // 100
    assert np.count_nonzero(np.diff(mixed)) > 50  # the samples of a group are shuffled together


def test_edges() -> None:
    assert len(epoch_order([], 0, 0)) == 0
    assert len(epoch_order([0, 0], 0, 0)) == 0
    for arguments in [(-1, 0, 1), (0, -1, 1), (0, 0, 0)]:
        with pytest.raises(ShardError):
            epoch_order([1], *arguments)
