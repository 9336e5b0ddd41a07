"""The layouts in which data sets are read, by name, and the choice among them by what stands in a folder."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shards.stores.store import Location, is_url
from tap.datasets.class_folder import ClassFolder
from tap.datasets.modelnet_hdf5 import ModelNetHdf5
from tap.datasets.modelnet_text import ModelNet10Text, ModelNetText
from tap.datasets.scanobjectnn import ObjectsOnly, ObjectsWithBackground, Perturbed
from tap.datasets.shapenet_part import ShapeNetPart
from tap.datasets.shard_source import ShardSource
from tap.datasets.source import DatasetConfig, Source, local_path, no_folder
from tap.errors import TapError

AUTO = "auto"


class Layout(Protocol):
    """A way of storing a data set.

    Attributes:
        layout: its name.
        marks: what its folder is known by, for messages.
        obtain: how to get such data, for messages.
        has_parts: whether such a set is a `PartSource`.
    """

    layout: str
    marks: str
    obtain: str
    has_parts: bool

    @staticmethod
    def recognise(root: Path) -> bool:
        """Whether a folder holds such a set, by the names in it."""
        ...

    def __call__(self, location: Location, config: DatasetConfig, classes: Sequence[str] | None) -> Source:
        """The data set; `TapError` or `ShardError` where it is not as it should be."""
        ...


LAYOUTS: Mapping[str, Layout] = {
    "shards": ShardSource,
    "scanobjectnn/obj_bg": ObjectsWithBackground,
    "scanobjectnn/obj_only": ObjectsOnly,
    "scanobjectnn/pb_t50_rs": Perturbed,
    "modelnet40-h5": ModelNetHdf5,
    "modelnet40-txt": ModelNetText,
    "modelnet10-txt": ModelNet10Text,
    "shapenetpart": ShapeNetPart,
    "folder": ClassFolder,
}


def open_source(
    location: Location, config: DatasetConfig, classes: Sequence[str] | None = None, parts: bool = False
) -> Source:
    """The data set that lies somewhere.

    Args:
        location: path, or URL of a shard set.
        config: how it is stored.
        classes: of a trained model, which those of the data set must be among; None for those of the data set.
        parts: whether it must be a `PartSource`.

    Raises:
        TapError: no data set of that layout, one without part labels that must have them, or classes that do not match.
        ShardError: a damaged shard set.
    """
    try:
        layout = _layout(location, config.layout)
        if parts and not layout.has_parts:  # before classes are matched: no names would help
            raise TapError(
                f"{location}: a set of layout {layout.layout} has no part labels; part segmentation takes one in the layout of "
                "ShapeNetPart"
            )
        return layout(location, config, classes)
    except OSError as error:  # a folder on the way that may not be entered, or a name that no file can have
        raise TapError(f"{error.filename or location}: cannot be read: {error.strerror or error}") from error


def _layout(location: Location, name: str) -> Layout:
    if name == AUTO:
        name = "shards" if is_url(location) else recognised(location)
    if name not in LAYOUTS:
        nearest = difflib.get_close_matches(name, LAYOUTS, n=1, cutoff=0.0)[0]
        raise TapError(
            f"layout {name!r} is unknown; the nearest is {nearest!r}; name one of {AUTO}, {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[name]


def recognised(location: Location) -> str:
    """The layout of the data set in a folder of this machine, by what stands in it.

    Raises:
        TapError: no folder, none of the layouts, or several.
        OSError: a folder on the way that cannot be looked into.
    """
    root = local_path(location)
    if not root.is_dir():
        raise TapError(f"{location}: {no_folder(root)}; a data set is a folder with {_told()}")
    found = [name for name, layout in LAYOUTS.items() if layout.recognise(root)]
    if len(found) == 1:
        return found[0]
    if found:
        raise TapError(
            f"{location}: holds {', '.join(found)}; say which one with --layout, such as --layout {found[-1]}"
        )
    near = [f"{folder} holds {name}" for folder in _near(root) for name in _by_name(folder)]
    hint = f"{near[0]}, give that folder; " if near else ""
    raise TapError(f"{location}: no data set is recognised in it; {hint}looked for {_told()}")


def _near(root: Path) -> list[Path]:
    """The folder above and those in it: a level too deep or too high is the usual mistake."""
    return [root.absolute().parent, *sorted(folder for folder in root.iterdir() if folder.is_dir())]


def _by_name(root: Path) -> list[str]:
    """The layouts in a folder that a file of theirs gives away, without a search."""
    return [name for name, layout in LAYOUTS.items() if layout is not ClassFolder and layout.recognise(root)]


def _told() -> str:
    """What each layout is known by, and how to get it; those that come together are told together."""
    together: dict[str, list[Layout]] = {}
    for layout in LAYOUTS.values():
        together.setdefault(layout.obtain, []).append(layout)
    return "; ".join(
        f"{' or '.join(layout.marks for layout in same)} ({', '.join(layout.layout for layout in same)}: {obtain})"
        for obtain, same in together.items()
    )
