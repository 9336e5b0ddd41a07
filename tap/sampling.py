"""Which samples form which batch, on which rank, from which batch on. Knows addresses, not their content."""

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from shards.errors import ShardError
from tap.errors import TapError

IntArray = npt.NDArray[np.int64]
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
EVALUATION = -1  # the epoch whose draws are fixed: nothing depends on how long the run has trained


class Address(NamedTuple):
    """One sample at one moment of the run.

    Attributes:
        epoch: 0-based, or `EVALUATION`; with the index it seeds all that the sample draws.
        sample: place in the reader.
        counted: false where a sample only fills up the last batch.
    """

    epoch: int
    sample: int
    counted: bool = True


class EpochBatches(Sampler[list[Address]]):
    """The batches of one rank in one epoch, from any batch on.

    The order of the epoch is cut into batches, and rank r of W takes batches r, r + W, and so on, equally many on each
    rank; the remainder that fills no batch on every rank is dropped, a different one in each epoch. A data set smaller
    than that gives one smaller batch.

    Args:
        order: epoch -> order of sample indices, the same set in each epoch.
        num_samples: length of that order.
        batch_size: samples of one batch on one rank.
        rank: this process.
        world_size: processes.

    Raises:
        TapError: fewer samples than processes.
    """

    def __init__(
        self, order: Callable[[int], IntArray], num_samples: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if num_samples < world_size:
            raise TapError(f"{num_samples} training samples for {world_size} processes: use fewer devices or more data")
        self.order, self.num_samples, self.batch_size = order, num_samples, batch_size
        self.rank, self.world_size = rank, world_size
        self.epoch, self.start = 0, 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """The next iteration yields ``epoch`` from its batch number ``start``."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Batches of a whole epoch on one rank."""
        return max(1, self.num_samples // self.batch_size // self.world_size)

    def __iter__(self) -> Iterator[list[Address]]:
        order = self.order(self.epoch)
        size = min(self.batch_size, self.num_samples // self.world_size)
        for number in range(self.start, len(self)):
            begin = (number * self.world_size + self.rank) * size
            yield [Address(self.epoch, int(index)) for index in order[begin : begin + size]]


def evaluation_batches(
    indices: Sequence[int] | IntArray, batch_size: int, rank: int = 0, world_size: int = 1
) -> list[list[Address]]:
    """Every sample once, in batches of equal number on each rank.

    Args:
        indices: samples, at least one.
        batch_size: samples of a batch; the last may be smaller.
        rank: this process.
        world_size: processes.

    Returns:
        This rank's batches; samples that are repeated so that no rank waits for another are not ``counted``.
    """
    length = -(-len(indices) // world_size) * world_size
    padded = [Address(EVALUATION, int(indices[i % len(indices)]), i < len(indices)) for i in range(length)]
    mine = padded[rank::world_size]
    return [mine[begin : begin + batch_size] for begin in range(0, len(mine), batch_size)]


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
    """One-line errors: without the traceback that a loader worker wraps around them; a disk that takes no more is one too."""
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
        raise TapError(f"{error.filename or 'the run folder'}: {error.strerror}; free space or change --out") from error


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
