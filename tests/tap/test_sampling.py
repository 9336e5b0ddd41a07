import errno

import numpy as np
import pytest

from tap.errors import TapError
from tap.loading.sampling import EVALUATION, EpochBatches, evaluation_batches, plain_errors


def order(epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.roll(np.arange(10), epoch)


def test_batches_of_the_ranks_are_the_plan_cut_in_turn() -> None:
    ranks = [
        [[address.sample for address in batch] for batch in EpochBatches(order, 10, 2, rank, 2)] for rank in (0, 1)
    ]
    assert ranks == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]


def test_starts_at_a_given_batch_of_a_given_epoch() -> None:
    batches = EpochBatches(order, 10, 4)
    whole = list(batches)
    batches.set_position(0, 1)
    assert list(batches) == whole[1:]
    batches.set_position(1)
    assert [address.sample for address in next(iter(batches))] == [9, 0, 1, 2]
    assert {address.epoch for batch in batches for address in batch} == {1}
    assert len(batches) == 2


def test_fewer_samples_than_a_batch_make_one_batch() -> None:
    assert [len(batch) for batch in EpochBatches(order, 10, 64)] == [10]
    assert [len(batch) for batch in EpochBatches(order, 10, 64, 1, 3)] == [3]
    with pytest.raises(TapError, match="10 training samples for 11 processes"):
        EpochBatches(order, 10, 1, 0, 11)


def test_evaluation_counts_every_sample_once_and_no_rank_waits() -> None:
    ranks = [evaluation_batches(range(7), 2, rank, 3) for rank in range(3)]
    assert len({len(batches) for batches in ranks}) == 1
    addresses = [address for batches in ranks for batch in batches for address in batch]
    assert sorted(address.sample for address in addresses if address.valid) == list(range(7))
    assert all(address.epoch == EVALUATION for address in addresses)


def test_worker_errors_become_one_line() -> None:
    wrapped = (
        "Caught TapError in DataLoader worker process 0.\nOriginal Traceback:\n  File x\ntap.errors.TapError: a: b\n"
    )
    with pytest.raises(TapError, match=r"^a: b$"), plain_errors():
        raise TapError(wrapped)
    with pytest.raises(TapError, match=r"^plain$"), plain_errors():
        raise TapError("plain")
    with pytest.raises(TapError, match=r"^out: No space left; free space"), plain_errors():
        raise OSError(errno.ENOSPC, "No space left", "out")
    with pytest.raises(FileNotFoundError), plain_errors():
        raise FileNotFoundError(errno.ENOENT, "a bug", "file")
