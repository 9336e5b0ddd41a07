"""What a labelled data set offers a task, whatever it is stored as: classes, splits, and the samples of a split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from shards.stores.store import Location
from tap.errors import TapError
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.samples import Samples
from tap.loading.skipped import Skipped

UpAxis = Literal["y", "z"]


class DatasetConfig(BaseModel):
    """How a data set is stored and what its classes are called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: str = Field("auto", description="How it is stored, a name of `tap.datasets.LAYOUTS`; auto finds out.")
    label_map: dict[str, str] = Field(
        default_factory=dict, description="A class name in the data set to the name that counts."
    )
    up: UpAxis | None = Field(
        None, description="The up axis of its points, y or z; null takes that of the layout's public release."
    )


def local_path(location: Location) -> Path:
    """A path of this machine, with ``~`` and ``~user`` told as home folders, also where no shell has done it.

    Raises:
        TapError: there is no such user.
    """
    try:
        return Path(location).expanduser()
    except RuntimeError as error:
        raise TapError(f"{location}: that home folder is not known; write the whole path") from error


def no_folder(root: Path) -> str:
    """Why a path that is no folder is none, for a message."""
    return "is a file" if root.exists() else "no such folder"


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


class PartSource(Source, Protocol):
    """A data set whose points have part labels; the items of its samples carry ``parts``.

    Attributes:
        part_names: of all P parts in the order of their labels, such as "Mug: handle".
        class_parts: the part labels of each class, in the order of ``classes``; no part belongs to two classes. Empty for a
            class of a trained model that the set does not have.
    """

    @property
    def part_names(self) -> tuple[str, ...]:
        """Of all parts, in the order of their labels."""
        ...

    @property
    def class_parts(self) -> tuple[tuple[int, ...], ...]:
        """Class index to its part labels."""
        ...
