"""What all layouts of clouds share as a data set: the folder, the match of classes, and the opening of a split."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from shards.stores.store import Location, is_url
from tap.datasets.classes import match_classes
from tap.datasets.clouds import CloudData, CloudSet
from tap.datasets.source import DatasetConfig, UpAxis, local_path, no_folder
from tap.errors import TapError, some
from tap.loading.augment import AugmentConfig
from tap.loading.data import DataConfig
from tap.loading.skipped import Skipped

NUM_NAMED = 8  # splits that a message names


class CloudSource(abc.ABC):
    """A data set of clouds, see `tap.datasets.source.Source`; its lists are read and checked at once, its points later.

    Args:
        location: its folder.
        config: what its classes are called and which axis is up.
        classes: of a trained model; None for those of the set.

    Attributes:
        layout: name of the layout.
        marks: what its folder is known by, for messages.
        obtain: how to get such data, for messages.
        has_parts: whether its points have part labels.
        default_up: up axis of the public release.

    Raises:
        TapError: a file that should be there is not, or is not what it should be; or classes that do not match.
    """

    layout: ClassVar[str]
    marks: ClassVar[str]
    obtain: ClassVar[str]
    has_parts: ClassVar[bool] = False
    default_up: ClassVar[UpAxis] = "y"

    def __init__(
        self, location: Location, config: DatasetConfig | None = None, classes: Sequence[str] | None = None
    ) -> None:
        config = config or DatasetConfig()
        self.location = str(location)
        self.root = self._folder(location)
        self.up: UpAxis = config.up or self.default_up
        found, self.num_samples = self._look()
        self.classes, indices = match_classes(self.location, found, config.label_map, classes)
        self._indices = tuple(indices[name] for name in found)
        self._loaded: dict[tuple[str, bool], CloudSet] = {}

    @classmethod
    def recognise(cls, root: Path) -> bool:
        """Whether a folder holds such a set, by the file that marks it."""
        return (root / cls.marks).is_file()

    @abc.abstractmethod
    def _look(self) -> tuple[Sequence[str], Mapping[str, int]]:
        """Reads the lists; class names as found, and split to how many clouds it has."""

    @abc.abstractmethod
    def _load(self, split: str, normals: bool) -> CloudSet:
        """The clouds of a split that is there; with ``normals`` theirs too, as far as they have some."""

    def open(
        self,
        split: str,
        config: DataConfig,
        seed: int,
        augmentation: AugmentConfig | None = None,
        skipped: Skipped | None = None,
    ) -> CloudData:
        """The samples of a split.

        Raises:
            TapError: there is no such split, or it cannot be read.
        """
        if split not in self.num_samples:
            there = some(list(self.num_samples), most=NUM_NAMED)
            raise TapError(f"{self.location}: has no split {split!r}; it has {there}")
        wanted = (split, config.normals)
        if wanted not in self._loaded:
            self._loaded[wanted] = self._load(*wanted)
        return CloudData(self._loaded[wanted], config, seed, augmentation, skipped)

    def missing(self, what: str) -> TapError:
        """The error of something that should be in the folder and is not."""
        return TapError(f"{self.location}: {what} is missing, layout {self.layout} has it; {self.obtain}")

    def read_lines(self, name: str) -> list[str]:
        """The lines of a text file of the folder that are not blank.

        Raises:
            TapError: it is missing, unreadable or empty.
        """
        path = self.root / name
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except FileNotFoundError as error:
            raise self.missing(name) from error
        except (OSError, UnicodeDecodeError) as error:
            raise TapError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        lines = [line for line in lines if line]
        if not lines:
            raise TapError(f"{path}: is empty; {self.obtain}")
        return lines

    def _folder(self, location: Location) -> Path:
        if is_url(location):
            raise TapError(f"{location}: layout {self.layout} is read from a folder of this machine; download it first")
        root = local_path(location)
        if not root.is_dir():
            raise TapError(f"{location}: {no_folder(root)}; layout {self.layout} has {self.marks} in it; {self.obtain}")
        return root


def check_once(where: str, names: Iterable[str]) -> None:
    """Checks that names are listed once each: what is listed twice counts twice, or is judged on what was trained on.

    Raises:
        TapError: one is listed again; begins with ``where``.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TapError(f"{where}: {name!r} is listed twice; each must be there once")
        seen.add(name)


def check_files(source: CloudSource, paths: Sequence[Path]) -> None:
    """Checks that files are there, looking once into each folder.

    Raises:
        TapError: some are not; names the first of them.
    """
    names: dict[Path, set[str]] = {}
    missing = []
    for path in paths:
        folder = path.parent
        if folder not in names:
            names[folder] = {found.name for found in folder.iterdir()} if folder.is_dir() else set()
        if path.name not in names[folder]:
            missing.append(path)
    if missing:
        first = missing[0].relative_to(source.root)
        more = f", the first of {len(missing):,} of {len(paths):,} files," if len(missing) > 1 else ""
        raise source.missing(f"{first}{more}")
