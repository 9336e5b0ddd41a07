"""Shard sets as a labelled data set: what `tap render` writes of meshes in folders named for their class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from shards.record import MANIFEST_NAME, read_manifest
from shards.stores.store import Location, open_store
from tap.datasets.classes import match_classes
from tap.datasets.source import DatasetConfig
from tap.errors import TapError
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig, SampleData, open_reader
from tap.loading.skipped import Skipped


class ShardSource:
    """A shard set, see `tap.datasets.source.Source`; its splits are read when they are opened, the manifest alone before.

    Args:
        location: path or URL of the set.
        config: what its classes are called.
        classes: of a trained model; None for those of the set.

    Raises:
        ShardError: no manifest.
        TapError: classes that do not match, or a config that turns what is +z up already.
    """

    layout = "shards"
    marks = MANIFEST_NAME
    obtain = "make it of meshes with tap render"
    has_parts = False

    def __init__(
        self, location: Location, config: DatasetConfig | None = None, classes: Sequence[str] | None = None
    ) -> None:
        config = config or DatasetConfig()
        self.location = str(location)
        self._location = location
        if config.up == "y":
            raise TapError(f"{location}: a shard set is +z up, tap render turned it; leave dataset.up out")
        manifest = read_manifest(open_store(location))
        found = sorted(manifest.classes, key=lambda name: manifest.classes[name])
        self.classes, self._labels = match_classes(self.location, found, config.label_map, classes)
        sizes: Counter[str] = Counter()
        for entry in manifest.shards:
            sizes[entry.split] += entry.count
        self.num_samples: Mapping[str, int] = dict(sizes)

    @staticmethod
    def recognise(root: Path) -> bool:
        """Whether a folder holds such a set, by the names in it."""
        return (root / MANIFEST_NAME).is_file()

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
