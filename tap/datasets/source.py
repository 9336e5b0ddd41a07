"""A labelled data set with its splits, whatever it is stored as, and the choice among the ways of storing it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from shards.record import read_manifest
from shards.stores.store import Location, open_store
from tap.datasets.classes import match_classes
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig, SampleData, open_reader
from tap.loading.samples import Samples
from tap.loading.skipped import Skipped


class DatasetConfig(BaseModel):
    """How a data set is stored and what its classes are called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: str = Field("auto", description="How it is stored; auto finds out.")
    label_map: dict[str, str] = Field(
        default_factory=dict, description="A class name in the data set to the name that counts."
    )


class Source(Protocol):
    """A data set.

    Attributes:
        location: where it lies, for messages.
        layout: how it is stored.
        classes: class names in the order of their label indices.
        num_samples: split to how many samples it has.
    """

    @property
    def location(self) -> str:
        """Where it lies, for messages."""
        ...

    @property
    def layout(self) -> str:
        """How it is stored."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their label indices."""
        ...

    @property
    def num_samples(self) -> Mapping[str, int]:
        """Split to how many samples it has."""
        ...

    def open(
        self,
        split: str,
        config: DataConfig,
        seed: int,
        augmentation: AugmentConfig | None = None,
        skipped: Skipped | None = None,
    ) -> Samples:
        """The samples of a split.

        Raises:
            TapError, ShardError: there is no such split, or it is damaged.
        """
        ...


class ShardSource:
    """A shard set, see `Source`; its splits are read when they are opened, the manifest alone before.

    Args:
        location: path or URL of the set.
        label_map: see `DatasetConfig`.
        classes: of a trained model; None for those of the set.

    Raises:
        ShardError: no manifest.
        TapError: classes that do not match.
    """

    layout = "shards"

    def __init__(
        self, location: Location, label_map: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
    ) -> None:
        self.location = str(location)
        self._location = location
        manifest = read_manifest(open_store(location))
        found = sorted(manifest.classes, key=lambda name: manifest.classes[name])
        self.classes, self._labels = match_classes(self.location, found, label_map or {}, classes)
        sizes: Counter[str] = Counter()
        for entry in manifest.shards:
            sizes[entry.split] += entry.count
        self.num_samples: Mapping[str, int] = dict(sizes)

    def open(
        self,
        split: str,
        config: DataConfig,
        seed: int,
        augmentation: AugmentConfig | None = None,
        skipped: Skipped | None = None,
    ) -> SampleData:
        """The samples of a split, without views."""
        reader = open_reader(self._location, split, config)
        return SampleData(
            reader, config, seed, "none", augmentation, skipped, labels=self._labels, classes=self.classes
        )


def open_source(location: Location, config: DatasetConfig, classes: Sequence[str] | None = None) -> Source:
    """The data set that lies somewhere.

    Args:
        location: path, or URL of a shard set.
        config: how it is stored.
        classes: of a trained model, which those of the data set must be among; None for those of the data set.

    Raises:
        TapError: no data set of that layout, or classes that do not match.
        ShardError: a damaged shard set.
    """
    return ShardSource(location, config.label_map, classes)
