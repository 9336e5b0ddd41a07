from collections.abc import Sequence

import numpy as np

from shards.ahead import FetchAhead, shard_groups


def test_groups_are_read_off_an_order() -> None:
    counts = [2, 3, 0, 1, 2]  # global indices 0 1 | 2 3 4 | | 5 | 6 7
    assert shard_groups(np.array([3, 0, 2, 1, 4, 6, 5, 7]), counts) == [(0, [1, 0]), (5, [4, 3])]
    assert shard_groups(np.arange(8), counts) == [(0, [0]), (2, [1]), (5, [3]), (6, [4])]
    assert shard_groups(np.array([7, 0]), counts) == [(0, [4]), (1, [0])]  # some of the samples
    assert shard_groups(np.array([], np.int64), counts) == []


class Noted:
    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def prefetch(self, numbers: Sequence[int]) -> None:
        self.asked.append(list(numbers))


def test_the_next_group_is_asked_for_when_one_is_begun() -> None:
    reader = Noted()
    ahead = FetchAhead(reader, np.arange(8), [2, 2, 2, 2])
    asked = []
    for position in range(8):
        ahead.reached(position)
        asked.append([group for groups in reader.asked for group in groups])
    assert asked == [[0, 1], [0, 1], [0, 1, 2], [0, 1, 2], *[[0, 1, 2, 3]] * 4]
    later = Noted()
    FetchAhead(later, np.arange(8), [2, 2, 2, 2]).reached(5)
    assert later.asked == [[2], [3]]
    jumping = Noted()
    ahead = FetchAhead(jumping, np.arange(8), [2, 2, 2, 2])
    ahead.reached(0)
    ahead.reached(7)
    assert jumping.asked == [[0], [1], [3]]
