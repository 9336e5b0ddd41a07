"""Which samples form which batch, on which rank, from which batch on. Knows addresses, not their content."""

import contextlib
import errno
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from shards.ahead import FetchAhead
from shards.errors import ShardError
from shards.reader import ShardReader
from shards.stores.store import is_url
from shards.stream import Address, BatchPlan, IntArray
from tap.errors import TapError
from tap.training.ranks import one_fate

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
EVALUATION = -1  # the epoch whose draws are fixed: nothing depends on how long the run has trained


class EpochBatches(Sampler[list[Address]]):
    """The batches of one rank in one epoch, from any batch on; see `shards.stream.BatchPlan` for how they are cut.

    A loss is the mean over the valid samples of its rank, and the ranks weigh equally: where a batch is filled up, its few
    samples weigh more in that step.

    Args:
        order: epoch -> order of sample indices, the same set in each epoch.
        num_samples: length of that order.
        batch_size: samples of one batch on one rank.
        rank: this process.
        world_size: processes.
        drop_last: drop what fills no batch on every rank, instead of filling it up with samples that are not valid.
        reader: of a set behind a URL, which then fetches the shards that come next.

    Raises:
        TapError: fewer samples than processes.
    """

    def __init__(
        self,
        order: Callable[[int], IntArray],
        num_samples: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
        reader: ShardReader | None = None,
    ) -> None:
        if drop_last and num_samples < world_size:
            raise TapError(f"{num_samples} training samples for {world_size} processes: use fewer devices or more data")
        self.plan = BatchPlan(num_samples, batch_size, world_size, drop_last)
        self.order, self.rank, self.reader = order, rank, reader
        self.epoch, self.start = 0, 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """The next iteration yields ``epoch`` from batch number ``start`` of each rank on."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Batches of a whole epoch on one rank."""
        return len(self.plan)

    def __iter__(self) -> Iterator[list[Address]]:
        order = self.order(self.epoch)
        ahead = None if self.reader is None else fetch_ahead(self.reader, order)
        for number in self.plan.numbers(self.rank, self.start * self.plan.num_ranks):
            if ahead is not None:
                ahead.reached(self.plan.begin(number))
            yield self.plan.batch(order, self.epoch, number)


def fetch_ahead(reader: ShardReader, order: IntArray) -> FetchAhead | None:
    """What has a reader fetch the shards that an order comes to next; None for a set in a folder."""
    if not is_url(reader.store.location):
        return None
    return FetchAhead(reader, order, [len(indices) for indices in reader.ranges()])


def evaluation_batches(
    indices: Sequence[int] | IntArray,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    reader: ShardReader | None = None,
) -> EpochBatches:
    """Every sample once, in batches of equal number and size on each rank.

    Args:
        indices: samples in the order in which they are taken, at least one.
        batch_size: samples of a batch.
        rank: this process.
        world_size: processes.
        reader: of a set behind a URL, which then fetches the shards that come next.

    Returns:
        This rank's batches of addresses with the epoch `EVALUATION`; samples that only fill up are not ``valid``.
    """
    order = np.asarray(indices, np.int64)
    batches = EpochBatches(lambda _: order, len(order), batch_size, rank, world_size, drop_last=False, reader=reader)
    batches.set_position(EVALUATION)
    return batches


def make_loader(
    dataset: Dataset[Any],
    batches: Sampler[list[Address]] | Sequence[list[Address]],
    collate: Callable[[list[Any]], Any],
    num_workers: int,
    pin_memory: bool = False,
) -> DataLoader[Any]:
    """A loader over given batches; its workers stay from epoch to epoch and use one thread each.

    Args:
        dataset: addressed by `Address`.
        batches: yields lists of addresses.
        collate: list of items -> batch, run in the worker.
        num_workers: 0 loads in this process.
        pin_memory: for a copy to a GPU beside its computation.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_start_worker if num_workers > 0 else None,
        pin_memory=pin_memory,
    )


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """One-line errors: without the traceback that a loader worker wraps around them; a disk that takes no more is one too.

    Where several processes train together, one of them raises its error and the others `tap.training.ranks.PeerError`.
    """
    with one_fate():
        try:
            yield
        except (TapError, ShardError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            if not lines or not lines[0].startswith("Caught "):
                raise
            raise type(error)(lines[-1].partition(": ")[2]) from error
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            told = f"{error.filename or 'the run folder'}: {error.strerror}; free space or change --out"
            raise TapError(told) from error


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the training process, which may have to end a step first
