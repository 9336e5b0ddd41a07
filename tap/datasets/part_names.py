"""Which part labels belong to which class, and what the parts are called."""

import dataclasses
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from tap.errors import TapError

PUBLISHED = {
    **{"Airplane": range(4), "Bag": range(4, 6), "Cap": range(6, 8), "Car": range(8, 12), "Chair": range(12, 16)},
    **{"Earphone": range(16, 19), "Guitar": range(19, 22), "Knife": range(22, 24), "Lamp": range(24, 28)},
    **{"Laptop": range(28, 30), "Motorbike": range(30, 36), "Mug": range(36, 38), "Pistol": range(38, 41)},
    **{"Rocket": range(41, 44), "Skateboard": range(44, 47), "Table": range(47, 50)},
}
"""The 50 parts of ShapeNetPart's 16 categories. The release numbers them and has no names for them."""
LARGEST = 9_999  # label of a part; a model has an output for each up to the largest label


@dataclasses.dataclass(frozen=True)
class PartTable:
    """Parts of a data set.

    Attributes:
        names: of all parts in the order of their labels, each beginning with its class.
        parts: the labels of each class, in the order of the data set's classes.
    """

    names: tuple[str, ...]
    parts: tuple[tuple[int, ...], ...]

    def told(self, place: int) -> str:
        """The labels of a class, in words."""
        return f"the parts of its class, {', '.join(map(str, self.parts[place]))}"


def published_parts(names: Sequence[str]) -> PartTable:
    """ShapeNetPart's parts for classes that are all among the published ones; the labels of others keep their places."""
    told = [f"{name}: part {number}" for name, labels in PUBLISHED.items() for number in range(len(labels))]
    return PartTable(tuple(told), tuple(tuple(PUBLISHED[name]) for name in names))


def parts_from_table(path: Path, content: Any, names: Sequence[str]) -> PartTable:
    """Parts as a ``parts.json`` names them, see `tap.datasets.shapenet_part.ShapeNetPart`.

    Raises:
        TapError: another form, a class without parts, or labels that are not 0, 1, 2, ..., each of one class.
    """
    told: dict[int, str] = {}
    labels: dict[str, tuple[int, ...]] = {}
    for name, entry in content.items() if isinstance(content, dict) else []:
        numbers = entry.get("part_ids") if isinstance(entry, dict) else None
        called = entry.get("part_names") if isinstance(entry, dict) else None
        if not (isinstance(numbers, list) and isinstance(called, list) and len(numbers) == len(called) > 0):
            raise TapError(f"{path}: {name}: part_ids and part_names are not two lists of one length")
        for number, part in zip(numbers, called, strict=True):
            if type(number) is not int or number in told:
                raise TapError(f"{path}: {name}: part {number!r} is no whole number, or is named twice")
            told[number] = f"{name}: {part}"
        labels[name] = tuple(sorted(numbers))
    lacking = [name for name in names if name not in labels]
    if lacking:
        raise TapError(f"{path}: has no parts of {lacking[0]!r}; every class needs some")
    if sorted(told) != list(range(len(told))):
        raise TapError(f"{path}: its {len(told)} parts are not numbered from 0 to {len(told) - 1}")
    return PartTable(tuple(told[number] for number in range(len(told))), tuple(labels[name] for name in names))


def parts_from_data(where: str, names: Sequence[str], found: Sequence[AbstractSet[int]]) -> PartTable:
    """Parts that occur in the files of each class; labels that do not occur are of no class.

    Raises:
        TapError: a label occurs in two classes.
    """
    owner: dict[int, str] = {}
    for name, labels in zip(names, found, strict=True):
        for label in sorted(labels):
            if label in owner:
                raise TapError(
                    f"{where}: part {label} occurs in {owner[label]} and in {name}; number each class's parts apart"
                )
            owner[label] = name
    total = max(owner, default=-1) + 1
    told = tuple(f"{owner[label]}: part {label}" if label in owner else f"unused {label}" for label in range(total))
    return PartTable(told, tuple(tuple(sorted(labels)) for labels in found))
