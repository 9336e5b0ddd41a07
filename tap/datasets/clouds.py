"""Clouds as training data: what a data set in any layout offers of a split, and the samples that are made of it.

Legend: P stored points, N points of a sample.
"""

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shards.errors import ShardError
from shards.order import epoch_order
from shards.stream import Address, IntArray
from tap.datasets.frame import to_our_frame
from tap.datasets.source import UpAxis
from tap.errors import TapError
from tap.loading.augment import AugmentConfig, augment
from tap.loading.collate import Item
from tap.loading.data import DataConfig
from tap.loading.points import choose_points
from tap.loading.samples import Samples
from tap.loading.sampling import EVALUATION
from tap.loading.skipped import Skipped

Floats = npt.NDArray[np.float32]
NO_POSES, NO_LENSES = np.zeros((0, 4, 4), np.float32), np.zeros((0, 3, 3), np.float32)


class DamagedCloudError(TapError, ShardError):
    """One cloud that cannot be read while the others can: what `DataConfig.on_error` decides about, as of a shard's sample."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cloud:
    """A stored cloud, in our frame.

    Attributes:
        points: (P, 3) float32.
        normals: (P, 3) float32 of length 1 (0 where a point has none), or None.
        parts: (P,) int64 part label of each point, or None.
    """

    points: Floats
    normals: Floats | None = None
    parts: npt.NDArray[np.int64] | None = None


class CloudSet(Protocol):
    """The clouds of one split.

    Attributes:
        location: where the set lies, for messages.
        classes: class names in the order of their label indices.
    """

    @property
    def location(self) -> str:
        """Where the set lies, for messages."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their label indices."""
        ...

    def __len__(self) -> int:
        """Clouds."""
        ...

    def key(self, index: int) -> str:
        """A cloud's name, unique in the set."""
        ...

    def label(self, index: int) -> int:
        """A cloud's class index."""
        ...

    def size(self, index: int) -> int | None:
        """A cloud's points, None where only reading it would tell."""
        ...

    def cloud(self, index: int) -> Cloud:
        """A cloud, in our frame.

        Raises:
            DamagedCloudError: it cannot be read, or has no size to go by; the message names its file.
        """
        ...


class CloudData(Samples):
    """The samples of a set of clouds, addressed by `Address`; drawn from (seed, epoch, index) as those of shards are.

    Args:
        clouds: the set.
        config: points of a sample.
        seed: of the run.
        augmentation: of training samples, or None.
        skipped: see `Samples`.
    """

    def __init__(
        self,
        clouds: CloudSet,
        config: DataConfig,
        seed: int,
        augmentation: AugmentConfig | None = None,
        skipped: Skipped | None = None,
    ) -> None:
        super().__init__(config, seed, skipped)
        self.clouds, self.augmentation = clouds, augmentation
        self.location, self.classes = clouds.location, clouds.classes

    def __len__(self) -> int:
        return len(self.clouds)

    def key(self, index: int) -> str:
        """The cloud's name."""
        return self.clouds.key(index)

    def label(self, index: int) -> int:
        """The class index of a sample; reads no points."""
        return self.clouds.label(index)

    def size(self, index: int) -> int | None:
        """Its points, as far as they are known."""
        return self.clouds.size(index)

    def order(self, epoch: int) -> IntArray:
        """A permutation drawn from (seed, epoch)."""
        return epoch_order([len(self)], self.seed, epoch)

    def __getitem__(self, address: Address) -> Item:
        """The sample of an address, without views.

        Raises:
            TapError: it stores fewer points than the config asks for, or no normals where it asks for them.
            DamagedCloudError: it is damaged.
        """
        epoch, index, valid = address
        rng = np.random.default_rng((self.seed, epoch - EVALUATION, index))
        cloud = self.clouds.cloud(index)
        where = f"{self.location}: sample {self.clouds.key(index)}"
        rows = cloud.points
        if self.config.normals:
            if cloud.normals is None:
                raise TapError(f"{where} stores no normals; set data.normals=false")
            rows = np.concatenate([rows, cloud.normals], axis=1)
        chosen = choose_points(where, cloud.points, self.config, rng, epoch == EVALUATION)
        rows = rows.take(chosen, axis=0)  # (N, 3 or 6)
        if self.augmentation is not None and epoch != EVALUATION:
            rows = augment(rows, NO_POSES, NO_LENSES, False, rng, self.augmentation)[0]
        return Item(
            np.ascontiguousarray(rows[:, :3]),
            NO_POSES,
            NO_LENSES,
            False,
            None,
            self.clouds.label(index),
            index,
            valid,
            self.clouds.key(index),
            normals=np.ascontiguousarray(rows[:, 3:]) if self.config.normals else None,
            parts=None if cloud.parts is None else cloud.parts.take(chosen),
        )


def framed(
    where: str, points: npt.NDArray[np.floating], normals: npt.NDArray[np.floating] | None, up: UpAxis
) -> tuple[Floats, Floats | None]:
    """`to_our_frame`, with what is wrong told as damage of one cloud.

    Raises:
        DamagedCloudError: it begins with ``where``.
    """
    try:
        return to_our_frame(points, normals, up)
    except TapError as error:
        raise DamagedCloudError(f"{where}: {error}") from error
