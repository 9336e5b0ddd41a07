import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.reader import ShardReader
from shards.schema import Sample
from shards.stream import Address, BatchPlan, read_batch
from tests.shards import synthetic


def numbers(plan: BatchPlan, rank: int = 0, done: int = 0) -> list[list[str]]:
    """The batches of a rank over the order 0, 1, 2, ...; what is not valid in brackets."""
    batches = plan.batches(np.arange(plan.num_samples), 5, rank, done)
    return [[f"{item.sample}" if item.valid else f"({item.sample})" for item in batch] for batch in batches]


def test_batches_by_hand() -> None:
    assert numbers(BatchPlan(10, 4)) == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9", "(8)", "(9)"]]
    assert numbers(BatchPlan(10, 4, drop_last=True)) == [["0", "1", "2", "3"], ["4", "5", "6", "7"]]
    assert [numbers(BatchPlan(7, 2, 3), rank) for rank in range(3)] == [
        [["0", "1"], ["6", "(6)"]],
        [["2", "3"], ["(6)", "(6)"]],
        [["4", "5"], ["(6)", "(6)"]],
    ]
    assert [numbers(BatchPlan(7, 2, 2, drop_last=True), rank) for rank in (0, 1)] == [[["0", "1"]], [["2", "3"]]]
    assert BatchPlan(3, 1).batch(np.array([7, 8, 9]), 4, 1) == [Address(4, 8, True)]


def test_an_epoch_shorter_than_its_batches_has_one_smaller_batch_on_each_rank() -> None:
    assert numbers(BatchPlan(5, 64)) == [["0", "1", "2", "3", "4"]]
    assert [numbers(BatchPlan(5, 64, 2), rank) for rank in (0, 1)] == [[["0", "1", "2"]], [["3", "4", "(3)"]]]
    dropping = BatchPlan(5, 64, 2, drop_last=True)
    assert [numbers(dropping, rank) for rank in (0, 1)] == [[["0", "1"]], [["2", "3"]]]
    assert [numbers(BatchPlan(1, 2, 3), rank) for rank in range(3)] == [[["0"]], [["(0)"]], [["(0)"]]]


@pytest.mark.parametrize("drop_last", [False, True])
def test_every_plan_is_exact(drop_last: bool) -> None:
    random = np.random.default_rng(0)
    for num_samples, batch_size, num_ranks in itertools.product((3, 4, 11, 24, 37), (1, 2, 5), (1, 2, 3)):
        order = random.permutation(num_samples)
        plan = BatchPlan(num_samples, batch_size, num_ranks, drop_last)
        ranks = [list(plan.batches(order, 0, rank)) for rank in range(num_ranks)]
        assert {len(batches) for batches in ranks} == {len(plan)}
        assert {len(batch) for batches in ranks for batch in batches} == {plan.size}
        stream = [item for step in zip(*ranks, strict=True) for batch in step for item in batch]
        valid = [item.sample for item in stream if item.valid]
        if drop_last:
            assert valid == order[: len(plan) * num_ranks * plan.size].tolist()
            assert num_samples - len(valid) < plan.size * num_ranks or len(plan) == 1
        else:
            assert valid == order.tolist()
            assert [item.sample for item in stream[:num_samples]] == valid  # fill stands at the end only
            assert len(stream) - num_samples < plan.size * num_ranks


def test_the_rest_of_an_epoch_is_dealt_out_to_any_number_of_ranks() -> None:
    order = np.random.default_rng(1).permutation(41)
    for before, after, steps in itertools.product((1, 2, 3), (1, 2, 3), (0, 1, 2, 4)):
        plan = BatchPlan(41, 3, before)
        ranks = [list(plan.batches(order, 0, rank))[:steps] for rank in range(before)]
        seen = [item.sample for batches in ranks for batch in batches for item in batch if item.valid]
        rest = BatchPlan(41, 3, after)
        others = [list(rest.batches(order, 0, rank, steps * before)) for rank in range(after)]
        assert {len(batches) for batches in others} == {rest.num_left(steps * before)}
        seen += [item.sample for step in zip(*others, strict=True) for batch in step for item in batch if item.valid]
        assert sorted(seen) == list(range(41))
        assert seen[steps * before * 3 :] == order[steps * before * 3 :].tolist()
    assert numbers(BatchPlan(10, 4), done=3) == []
    assert numbers(BatchPlan(10, 4), done=9) == []


def test_what_cannot_be_planned_is_refused() -> None:
    for arguments in [(0, 1, 1, False), (1, 0, 1, False), (1, 1, 0, False), (2, 1, 3, True)]:
        with pytest.raises(ShardError, match=r"samples .* in batches of"):
            BatchPlan(*arguments)
    with pytest.raises(ShardError, match="rank 2 of 2"):
        BatchPlan(5, 1, 2).numbers(2)
    with pytest.raises(ShardError, match="-1 batches done"):
        BatchPlan(5, 1, 2).numbers(0, -1)
    with pytest.raises(ShardError, match="order of 4 samples for a plan of 5"):
        BatchPlan(5, 1).batch(np.arange(4), 0, 0)


def reads(bad: Sequence[int], seen: list[int]) -> Callable[[Address], str]:
    def read(address: Address) -> str:
        seen.append(address.sample)
        if address.sample in bad:
            raise ShardError(f"sample {address.sample}\n is cut short")
        return f"item {address.sample}"

    return read


def places(text: str) -> list[Address]:
    return [Address(0, int(part.strip("()")), "(" not in part) for part in text.split()]


def test_a_damaged_sample_is_replaced_by_the_next_good_one_and_said() -> None:
    seen: list[int] = []
    batch = read_batch(places("3 4 5 (3) (4)"), reads([4, 5], seen), "skip")
    assert seen == [3, 4, 5]  # each once
    assert [reading.item for reading in batch] == ["item 3"] * 5
    assert [reading.address.valid for reading in batch] == [True, False, False, False, False]
    assert [reading.problem for reading in batch] == [
        "",
        "sample 4 is cut short",
        "sample 5 is cut short",
        "",
        "",  # a copy that only fills up is not lost
    ]
    after = read_batch(places("1 2 3"), reads([1], []), "skip")
    assert [reading.address.sample for reading in after] == [2, 2, 3]


def test_damage_raises_where_it_is_not_skipped_or_leaves_nothing() -> None:
    with pytest.raises(ShardError, match=r"^sample 4"):
        read_batch(places("3 4"), reads([4], []))
    with pytest.raises(ShardError, match="not one of the 2 samples of a batch can be read; the first: sample 3"):
        read_batch(places("3 4 (3)"), reads([3, 4], []), "skip")
    with pytest.raises(ShardError, match="not one of the 1 samples of a batch can be read; the first: sample 3"):
        read_batch(places("3"), reads([3, 4], []), "skip", places("4"))

    def wrong(address: Address) -> str:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        read_batch(places("3 4"), wrong, "skip")
    assert read_batch([], wrong) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_shards(
        synthetic.make_sources(11, 0),
        synthetic.make_sample,
        tmp_path,
        {"rig": "mvcnn12"},
        BuildOptions(samples_per_shard=4),
    )
    return tmp_path


def test_a_spare_fills_a_batch_without_one_good_sample() -> None:
    batch = read_batch(places("3 4 (3)"), reads([3, 4, 7], []), "skip", places("7 8 9"))
    assert [reading.item for reading in batch] == ["item 8"] * 3
    assert [reading.address for reading in batch] == [Address(0, 8, False)] * 3
    assert [reading.problem for reading in batch] == ["sample 3 is cut short", "sample 4 is cut short", ""]
    seen: list[int] = []
    read_batch(places("3 4"), reads([3], seen), "skip", places("8"))
    assert seen == [3, 4]  # no spare is read where none is needed


def test_a_set_is_streamed_without_torch_and_damage_is_named(folder: Path) -> None:
    with ShardReader(folder) as reader:
        key = reader.key(6)
        data = bytearray((folder / f"{reader.entries[1].name}.tar").read_bytes())
        data[data.index(reader.raw(6, "points.npy")) + 200] ^= 1
    (folder / f"{reader.entries[1].name}.tar").write_bytes(data)

    def read(address: Address) -> Sample:
        return reader.read(address.sample, views=(0,))

    with ShardReader(folder) as reader:
        order = reader.order(3, 0)
        batches = list(BatchPlan(len(reader), 4).batches(order, 0))
        readings = [reading for batch in batches for reading in read_batch(batch, read, "skip")]
        keys = [reading.item.key for reading in readings if reading.address.valid]
        assert keys == [reader.key(index) for index in order.tolist() if index != 6]
        problems = [reading.problem for reading in readings if reading.problem]
        assert len(problems) == 1
        assert f"{reader.entries[1].name}.tar: {key}.points.npy is not as it was written" in problems[0]
        with pytest.raises(ShardError, match=f"{key}.points.npy is not as it was written"):
            _ = [read_batch(batch, read) for batch in batches]


def test_a_forked_process_opens_its_own_tars(folder: Path) -> None:
    with ShardReader(folder) as reader:
        whole, mine = reader.read(1), dict(reader._open)
        process_id = os.fork()
        if process_id == 0:
            status = 2
            try:
                same = np.array_equal(reader.read(1).arrays["points"], whole.arrays["points"])
                status = 0 if same and reader._open[0] is not mine[0] else 1
            finally:
                os._exit(status)
        assert os.waitpid(process_id, 0)[1] == 0
        assert reader.read(1).key == whole.key
        assert dict(reader._open) == mine
