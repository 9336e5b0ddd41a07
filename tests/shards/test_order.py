import numpy as np
import pytest

from shards.ahead import shard_groups
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


def counts_by_position(num_per_shard: list[int], shards_in_group: int, num_epochs: int) -> np.ndarray:
    """(samples, positions) how often each sample stood where."""
    total = sum(num_per_shard)
    table = np.zeros((total, total), int)
    for epoch in range(num_epochs):
        table[epoch_order(num_per_shard, 7, epoch, shards_in_group), np.arange(total)] += 1
    return table


@pytest.mark.parametrize("shards_in_group", [8, 3])
def test_over_many_epochs_a_sample_is_met_everywhere_equally_often(shards_in_group: int) -> None:
    num_epochs = 2000  # of 20 samples: 100 expected in each place, with a standard deviation of 9.7
    table = counts_by_position([4] * 5, shards_in_group, num_epochs)
    assert np.abs(table - 100).max() < 5 * 9.7
    assert np.square(table - 100).mean() == pytest.approx(9.7**2, rel=0.2)


def test_uneven_shards_are_nearly_as_even() -> None:
    table = counts_by_position([1, 2, 3, 4, 5, 6, 7], 3, 4000)
    halves = table[:, :14].sum(axis=1) / 4000  # how often a sample is met in the first half of the epoch
    assert 0.4 < halves.min() < halves.max() < 0.6


def test_neighbours_share_a_shard_as_seldom_as_their_group_allows() -> None:
    counts, in_group, num_epochs = [10] * 24, 8, 60
    shared = dict.fromkeys((1, 2, 7, 40), 0)
    tried = dict.fromkeys(shared, 0)
    for epoch in range(num_epochs):
        shards = (epoch_order(counts, 0, epoch, in_group) // 10).reshape(3, 80)  # a row each group
        assert not set(shards[0]) & set(shards[1])
        for distance in shared:
            same = shards[:, distance:] == shards[:, :-distance]
            shared[distance] += int(same.sum())
            tried[distance] += same.size
    for distance, number in shared.items():
        expected = 9 / 79  # just below 1 / 8, at every distance within the group
        deviation = (expected * (1 - expected) / tried[distance]) ** 0.5
        assert abs(number / tried[distance] - expected) < 5 * deviation, distance


def test_no_group_is_left_with_few_shards() -> None:
    order = epoch_order([10] * 17, 0, 0)
    assert [len(shards) for _, shards in shard_groups(order, [10] * 17)] == [9, 8]
    for num_shards in range(1, 70):
        groups = shard_groups(epoch_order([9] * num_shards, 0, 0), [9] * num_shards)
        assert min(len(shards) for _, shards in groups) >= min(num_shards, 8)
