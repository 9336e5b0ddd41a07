"""Batches of an epoch by index, the same ones for every number of ranks and loader processes, and how one is read.

A stream is exact: every sample once an epoch, as many batches on each rank, and a run that goes on in the middle of an
epoch goes on with the next sample. Nothing is drawn here; the order comes from `epoch_order` or from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError

IntArray = NDArray[np.int64]
OnError = Literal["raise", "skip"]
ItemT = TypeVar("ItemT")


class Address(NamedTuple):
    """One sample at one moment of a run.

    Attributes:
        epoch: whose draws are meant; with the sample it seeds all that is drawn for it.
        sample: global index in the reader.
        valid: false where the sample only fills up a batch and nothing is to be learned from it or measured on it.
    """

    epoch: int
    sample: int
    valid: bool = True


@dataclass(frozen=True)
class BatchPlan:
    """How the order of an epoch is cut into batches, and which rank takes which.

    Batch b holds `batch_size` samples of the order from b * batch_size on, and goes to rank b mod num_ranks. So the
    batches in the order of b give the order of the epoch, whatever the number of ranks; loader processes of a rank take
    whole batches and change nothing. Each rank has the same number of batches. What is left at the end

    - is filled up with samples that are not valid: the last batch with its own samples again, and as many further
      batches as the ranks need with those of the last batch; every sample is valid exactly once an epoch; or
    - is dropped with `drop_last`: the batch that is not full, and those that not every rank would have. The order differs
      from epoch to epoch, and so do the samples that are dropped.

    An epoch that has less than one full batch for each rank has one smaller batch for each.

    Attributes:
        num_samples: length of the order, at least 1; at least `num_ranks` with `drop_last`.
        batch_size: samples of a batch on one rank.
        num_ranks: processes that share the epoch.
        drop_last: drop what fills no batch on every rank, instead of filling it up.
    """

    num_samples: int
    batch_size: int
    num_ranks: int = 1
    drop_last: bool = False

    def __post_init__(self) -> None:
        least = self.num_ranks if self.drop_last else 1
        if self.batch_size < 1 or self.num_ranks < 1 or self.num_samples < least:
            raise ShardError(
                f"{self.num_samples} samples (at least {least}) in batches of {self.batch_size} (at least 1) "
                f"on {self.num_ranks} ranks (at least 1)"
            )

    @property
    def size(self) -> int:
        """Samples of every batch: `batch_size`, or less in an epoch too short for that."""
        share = self.num_samples // self.num_ranks if self.drop_last else -(-self.num_samples // self.num_ranks)
        return min(self.batch_size, share)

    def __len__(self) -> int:
        """Batches of a whole epoch on each rank."""
        return self.num_left(0)

    def num_left(self, done: int) -> int:
        """Batches left on each rank when `done` batches of the epoch, counted over all ranks, are behind."""
        if self.drop_last:
            return max(0, self.num_samples // self.size - done) // self.num_ranks
        return -(-max(0, self._num_held - done) // self.num_ranks)

    def begin(self, number: int) -> int:
        """Position in the order at which a batch begins."""
        return number * self.size

    def numbers(self, rank: int = 0, done: int = 0) -> range:
        """Numbers of the batches that a rank takes.

        Args:
            rank: 0 to num_ranks - 1.
            done: batches of the epoch behind, over all ranks. The rest is dealt out anew, so that a run may go on with
                another number of ranks.

        Raises:
            ShardError: no such rank, or a negative `done`.
        """
        if not 0 <= rank < self.num_ranks or done < 0:
            raise ShardError(f"rank {rank} of {self.num_ranks}, {done} batches done (at least 0)")
        first = done + rank
        return range(first, first + self.num_left(done) * self.num_ranks, self.num_ranks)

    def batch(self, order: IntArray, epoch: int, number: int) -> list[Address]:
        """One batch of `size` addresses.

        Args:
            order: (num_samples,) global indices of the epoch.
            epoch: for the addresses.
            number: of the batch; beyond the last one that holds a sample, all are fill.

        Raises:
            ShardError: the order has another length.
        """
        if len(order) != self.num_samples:
            raise ShardError(f"an order of {len(order)} samples for a plan of {self.num_samples}")
        held = min(number, self._num_held - 1)
        samples = order[self.begin(held) : self.begin(held + 1)].tolist()
        real = len(samples) if number == held else 0
        return [Address(epoch, samples[place % len(samples)], place < real) for place in range(self.size)]

    def batches(self, order: IntArray, epoch: int, rank: int = 0, done: int = 0) -> Iterator[list[Address]]:
        """The batches of a rank, see `numbers` and `batch`."""
        for number in self.numbers(rank, done):
            yield self.batch(order, epoch, number)

    @property
    def _num_held(self) -> int:
        """Batches that hold at least one sample of the order."""
        return -(-self.num_samples // self.size)


class Reading(NamedTuple, Generic[ItemT]):
    """One sample of a batch as it was read.

    Attributes:
        address: of what was read; not valid where it stands in for a damaged sample.
        item: what was read.
        problem: what was wrong with the sample that belongs here, in one line; empty where nothing was.
    """

    address: Address
    item: ItemT
    problem: str = ""


def read_batch(
    addresses: Sequence[Address],
    read: Callable[[Address], ItemT],
    on_error: OnError = "raise",
    spares: Sequence[Address] = (),
) -> list[Reading[ItemT]]:
    """The samples of a batch, each of them read once.

    Args:
        addresses: the batch; repeated samples share one item.
        read: gives the item of an address, whatever its `valid`.
        on_error: `raise` lets the error of a damaged sample through; `skip` puts the next good sample of the batch in its
            place, not valid, and says in `problem` what was wrong, once for each valid sample that is lost.
        spares: with `skip`, the first good one of these fills a batch that has not one good sample.

    Returns:
        As many readings as addresses, in their order.

    Raises:
        ShardError: a damaged sample with `raise`; with `skip`, not one good sample in the batch, nor among the spares.
    """
    items: dict[int, ItemT] = {}
    problems: dict[int, ShardError] = {}
    for address in addresses:
        if address.sample in items or address.sample in problems:
            continue
        try:
            items[address.sample] = read(address)
        except ShardError as error:
            if on_error == "raise":
                raise
            problems[address.sample] = error
    if not items and problems:
        return _filled(addresses, read, spares, problems)
    return [_reading(addresses, place, items, problems) for place in range(len(addresses))]


def _reading(
    addresses: Sequence[Address], place: int, items: dict[int, ItemT], problems: dict[int, ShardError]
) -> Reading[ItemT]:
    address = addresses[place]
    if address.sample in items:
        return Reading(address, items[address.sample])
    around = [*addresses[place + 1 :], *addresses[:place]]
    stand_in = next(other.sample for other in around if other.sample in items)
    return Reading(Address(address.epoch, stand_in, False), items[stand_in], _lost(address, problems))


def _filled(
    addresses: Sequence[Address],
    read: Callable[[Address], ItemT],
    spares: Sequence[Address],
    problems: dict[int, ShardError],
) -> list[Reading[ItemT]]:
    """A batch whose samples are all damaged, filled with the first good spare."""
    for spare in spares:
        try:
            item = read(spare)
        except ShardError:  # noted when a batch meets it
            continue
        return [Reading(spare._replace(valid=False), item, _lost(address, problems)) for address in addresses]
    first = next(iter(problems.values()))
    raise ShardError(f"not one of the {len(problems)} samples of a batch can be read; the first: {first}") from first


def _lost(address: Address, problems: dict[int, ShardError]) -> str:
    """What was wrong with a damaged sample, in one line; empty where it was but fill."""
    return " ".join(str(problems[address.sample]).split()) if address.valid else ""
