"""The two ways in which layouts keep the clouds of a split: as arrays that are read at once, and as one file each.

Legend: P stored points.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tap.datasets.clouds import Cloud, DamagedCloudError, framed
from tap.datasets.source import UpAxis
from tap.errors import TapError


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Clouds of equally many points, in their file's frame and units.

    Attributes:
        name: unique in a set; a cloud's key is the name and its row.
        points: (n, P, 3) float.
        normals: (n, P, 3) float, or None.
    """

    name: str
    points: npt.NDArray[np.floating]
    normals: npt.NDArray[np.floating] | None = None


class ArraySet:
    """Clouds in memory, see `tap.datasets.clouds.CloudSet`; loader processes share it as long as they are forked.

    Args:
        location: where it came from.
        classes: class names in the order of their label indices.
        labels: (sum of n,) class index of each cloud.
        blocks: the clouds.
        up: their up axis.
    """

    def __init__(
        self,
        location: str,
        classes: tuple[str, ...],
        labels: npt.NDArray[np.int64],
        blocks: Sequence[Block],
        up: UpAxis,
    ) -> None:
        self.location, self.classes = location, classes
        self._labels, self._blocks, self._up = labels, tuple(blocks), up
        self._starts = np.cumsum([0, *(len(block.points) for block in blocks)])

    def __len__(self) -> int:
        return len(self._labels)

    def key(self, index: int) -> str:
        """File and row of a cloud."""
        block, row = self._place(index)
        return f"{block.name}/{row}"

    def label(self, index: int) -> int:
        """A cloud's class index."""
        return int(self._labels[index])

    def size(self, index: int) -> int:
        """A cloud's points."""
        return int(self._place(index)[0].points.shape[1])

    def cloud(self, index: int) -> Cloud:
        """A cloud, in our frame; `DamagedCloudError` where it has no size or is not finite."""
        block, row = self._place(index)
        normals = None if block.normals is None else block.normals[row]
        return Cloud(*framed(f"{self.location}: {block.name}, row {row}", block.points[row], normals, self._up))

    def _place(self, index: int) -> tuple[Block, int]:
        block = int(np.searchsorted(self._starts, index, "right")) - 1
        return self._blocks[block], index - int(self._starts[block])


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cloud in a file of its own.

    Attributes:
        key: unique in the set.
        path: the file.
        place: of its class among those of the data set, as found.
    """

    key: str
    path: Path
    place: int


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """What a file holds, in its own frame and units: points (P, 3), and maybe normals (P, 3) and part labels (P,)."""

    points: npt.NDArray[np.floating]
    normals: npt.NDArray[np.floating] | None = None
    parts: npt.NDArray[np.int64] | None = None


class FileSet:
    """Clouds in one file each, see `tap.datasets.clouds.CloudSet`, read when they are asked for.

    Args:
        location: where the set lies.
        classes: class names in the order of their label indices.
        entries: the clouds.
        indices: place of a class in the data set to its label index.
        read: gives what the file of an entry holds, and raises `TapError` beginning with its path.
        up: their up axis.
        normals: whether normals are wanted where there are some.
    """

    def __init__(
        self,
        location: str,
        classes: tuple[str, ...],
        entries: Sequence[Entry],
        indices: Sequence[int],
        read: Callable[[Entry], Rows],
        up: UpAxis,
        normals: bool,
    ) -> None:
        self.location, self.classes = location, classes
        self._entries, self._indices, self._read = tuple(entries), tuple(indices), read
        self._up, self._normals = up, normals

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, index: int) -> str:
        """A cloud's name."""
        return self._entries[index].key

    def label(self, index: int) -> int:
        """A cloud's class index."""
        return self._indices[self._entries[index].place]

    def size(self, index: int) -> int | None:
        """Unknown before the file is read."""
        return None

    def cloud(self, index: int) -> Cloud:
        """A cloud, in our frame; `DamagedCloudError` names its file."""
        entry = self._entries[index]
        try:
            rows = self._read(entry)
        except TapError as error:
            raise DamagedCloudError(str(error)) from error
        points, normals = framed(str(entry.path), rows.points, rows.normals if self._normals else None, self._up)
        return Cloud(points, normals, rows.parts)


def read_rows(path: Path, delimiter: str | None, num_columns: int) -> npt.NDArray[np.float64]:
    """The numbers of a text file.

    Args:
        path: the file.
        delimiter: between numbers; None for blanks.
        num_columns: of every line.

    Returns:
        (P, num_columns) float64, P at least 1.

    Raises:
        TapError: unreadable, no lines, or lines of anything else.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            lines = [line for line in stream if line.strip()]
        table = np.loadtxt(lines, delimiter=delimiter, ndmin=2, comments=None) if lines else np.zeros((0, num_columns))
    except OSError as error:
        raise TapError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeDecodeError is one
        raise TapError(
            f"{path}: is not lines of {num_columns} numbers: {str(error).splitlines()[0].rstrip('.')}"
        ) from error
    if not len(table) or table.shape[1] != num_columns:
        raise TapError(
            f"{path}: holds {len(table)} lines of {table.shape[1]} numbers; {num_columns} a line are expected"
        )
    return table
