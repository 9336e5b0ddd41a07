"""What a task trains on: samples addressed by `Address`, with labels, an order for each epoch and a ledger of damage.

Shard sets (`tap.loading.data.SampleData`) and data sets in public layouts (`tap.datasets.clouds.CloudData`) are both.
"""

import abc
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Dataset

from shards.errors import ShardError
from shards.reader import ShardReader
from shards.stream import Address, IntArray, read_batch
from tap.loading.collate import Item
from tap.loading.sampling import EVALUATION
from tap.loading.skipped import Skipped

if TYPE_CHECKING:
    from tap.loading.data import DataConfig

UNLABELLED = -1
NUM_SPARES = 16  # evenly over the set; one of them fills an evaluation batch whose samples are all damaged


class Samples(Dataset[Item], abc.ABC):
    """The samples of one split.

    Args:
        config: what is read of each.
        seed: of the run.
        skipped: the ledger of damaged samples, shared by the data sets of a run so that each is named once; None begins one.
            Whoever takes batches from a loader notes their ``problems`` in it.

    Attributes:
        location: where the set lies, for messages.
        classes: class names in the order of their label indices.
        reader: of a shard set, which may fetch ahead; None of other data sets.
    """

    location: str
    classes: tuple[str, ...]
    reader: ShardReader | None = None

    def __init__(self, config: "DataConfig", seed: int, skipped: Skipped | None = None) -> None:
        self.config, self.seed = config, seed
        self.skipped = skipped or Skipped()

    @abc.abstractmethod
    def __len__(self) -> int:
        """Samples."""

    @abc.abstractmethod
    def key(self, index: int) -> str:
        """The sample's name, unique in the set."""

    @abc.abstractmethod
    def label(self, index: int) -> int | None:
        """The class index of a sample, `UNLABELLED` where it has none; reads no points where it can.

        Returns:
            None where the sample is damaged and damaged samples are skipped; it is noted in ``skipped``.
        """

    @abc.abstractmethod
    def size(self, index: int) -> int | None:
        """A number that is equal for samples of equally many points, as far as it is known without reading them."""

    @abc.abstractmethod
    def order(self, epoch: int) -> IntArray:
        """All samples in the order of an epoch, a function of the seed."""

    @abc.abstractmethod
    def __getitem__(self, address: Address) -> Item:
        """The sample of an address; the epoch `EVALUATION` makes the same draws always and moves nothing.

        Raises:
            TapError: it does not hold what the config asks for.
            ShardError: it is damaged.
        """

    def readable(self, indices: Iterable[int]) -> Iterator[Item]:
        """Some samples one by one, read as they are for evaluation; with ``skip`` damaged ones are noted and left out.

        Raises:
            TapError: one does not hold what the config asks for.
            ShardError: one is damaged, with ``skip`` all are.
        """
        found, last = False, ""
        for index in indices:
            try:
                item = self[Address(EVALUATION, int(index))]
            except ShardError as error:
                if self.config.on_error == "raise":
                    raise
                last = str(error)
                self.skipped.note([last])
                continue
            found = True
            yield item
        if not found:
            raise ShardError(f"not one of the samples can be read; the last: {last}")

    def __getitems__(self, addresses: Sequence[Address]) -> list[Item]:
        """The samples of a batch, as the loader asks for them; damaged ones as `DataConfig.on_error` says."""
        spares: list[Address] = []
        if addresses and addresses[0].epoch == EVALUATION:  # goes by order: damage of a whole shard fills batches
            places = np.linspace(0, len(self), NUM_SPARES, endpoint=False).astype(int)
            spares = [Address(EVALUATION, index, False) for index in places.tolist()]
        readings = read_batch(addresses, self.__getitem__, self.config.on_error, spares)
        return [
            dataclasses.replace(reading.item, valid=reading.address.valid, problem=reading.problem)
            for reading in readings
        ]


class WrappedSamples(Samples):
    """Samples that are those of another data set but for what a subclass changes.

    Args:
        samples: of the other one, whose ledger of damage is shared.
    """

    def __init__(self, samples: Samples) -> None:
        super().__init__(samples.config, samples.seed, samples.skipped)
        self.location, self.classes, self.reader = samples.location, samples.classes, samples.reader
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, index: int) -> str:
        """Theirs."""
        return self.samples.key(index)

    def label(self, index: int) -> int | None:
        """Theirs."""
        return self.samples.label(index)

    def size(self, index: int) -> int | None:
        """Theirs."""
        return self.samples.size(index)

    def order(self, epoch: int) -> IntArray:
        """Theirs."""
        return self.samples.order(epoch)

    def __getitem__(self, address: Address) -> Item:
        """Theirs, with their errors."""
        return self.samples[address]
