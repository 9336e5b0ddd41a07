"""Folders of loose samples, our own exports or renders from elsewhere, made into shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.build import BuildOptions, BuildReport, build_shards
from shards.codec import decode_json
from shards.errors import ShardError
from shards.exchange.loose import MAX_JSON_BYTES, META, OPAQUE_FROM, TRANSFORMS, ReadLoose, folder_label
from shards.exchange.split import SPLITS
from shards.key import KEY_PATTERN, unique_keys
from shards.plan import Source
from shards.progress import OnProgress, ignore_progress
from shards.stores.store import Location

UNLABELED = "unlabeled"

LAYOUTS = {
    "split": "<split>/<class>/<name>",
    "modelnet": "<class>/<split>/<name>",
    "class": "<class>/<name>",
    "flat": "<name>",
}
"""How the samples' folders may be arranged, `tap shards export`'s way first."""

_MAX_DEPTH = 3


@dataclass(frozen=True)
class LooseSet:
    """The samples below a folder.

    Attributes:
        layout: one of LAYOUTS.
        sources: one for each sample.
        passed_over: folders at the samples' depth without a `transforms.json`, relative to the folder.
    """

    layout: str
    sources: tuple[Source, ...]
    passed_over: tuple[str, ...]


def import_set(
    loose: LooseSet, location: Location, options: BuildOptions | None = None, on_progress: OnProgress = ignore_progress
) -> BuildReport:
    """Makes a set of the samples in loose files; folders of which no sample can be made are recorded as failures.

    Args:
        loose: see `find_loose`.
        location: where the set goes.
        options: see `build_shards`.
        on_progress: see `build_shards`.

    Returns:
        BuildReport over the whole set.

    Raises:
        ShardError: see `build_shards`.
    """
    config: dict[str, Any] = {"imported": {"layout": loose.layout, "opaque_from": OPAQUE_FROM}}
    return build_shards(loose.sources, ReadLoose(), location, config, options, on_progress, (ShardError,))


def find_loose(folder: Path) -> LooseSet:
    """The samples below a folder: every folder with a `transforms.json`, at one of LAYOUTS' places.

    Class and split follow from the place, and so does the key. A sample that was exported keeps its key, its source, and the
    class and split that its `sample.json` tells, as long as it lies where the export put it.

    Raises:
        ShardError: no such folder, no sample in it, or samples whose places tell no layout.
    """
    if not folder.is_dir():
        raise ShardError(f"{folder}: no such folder; name one with samples as tap shards export writes them")
    places = sorted(_walk(folder, ""))
    found = [place for place, is_sample in places if is_sample]
    if not found:
        raise ShardError(f"{folder}: no folder with a {TRANSFORMS} below it, at most {_MAX_DEPTH} deep")
    layout = _layout(folder, found)
    depth = found[0].count("/")
    passed_over = tuple(place for place, is_sample in places if not is_sample and place.count("/") == depth)
    return LooseSet(layout, tuple(_sources(folder, layout, found)), passed_over)


def _walk(folder: Path, place: str, depth: int = 0) -> Iterator[tuple[str, bool]]:
    """Folders below, relative, and whether they are samples; links are followed, hidden names left out."""
    try:
        with os.scandir(folder / place) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise ShardError(f"{folder / place}: cannot be listed: {error.strerror}") from error
    for name in names:
        inner = f"{place}/{name}" if place else name
        is_sample = (folder / inner / TRANSFORMS).is_file()
        yield inner, is_sample
        if not is_sample and depth + 1 < _MAX_DEPTH:
            yield from _walk(folder, inner, depth + 1)


def _layout(folder: Path, places: list[str]) -> str:
    """The layout that all places follow."""
    parts = [place.split("/") for place in places]
    depths = sorted({len(part) for part in parts})
    forms = ", ".join(LAYOUTS.values())
    if len(depths) > 1:
        odd = next(place for place in places if place.count("/") + 1 == depths[-1])
        raise ShardError(f"{folder}: samples lie {depths[0]} deep, and {odd} deeper; arrange all as one of {forms}")
    if depths == [1]:
        return "flat"
    if depths == [2]:
        if all(part[0] in SPLITS for part in parts):
            raise ShardError(
                f"{folder}: folders {SPLITS[0]} and {SPLITS[2]} are hardly classes; arrange it as one of {forms}"
            )
        return "class"
    if all(part[0] in SPLITS for part in parts):
        return "split"
    if all(part[1] in SPLITS for part in parts):
        return "modelnet"
    odd = next(place for place, part in zip(places, parts, strict=True) if part[0] not in SPLITS)
    raise ShardError(f"{folder / odd}: tells no split ({', '.join(SPLITS)}); arrange all as one of {forms}")


def _sources(folder: Path, layout: str, places: list[str]) -> Iterator[Source]:
    """A source for each place."""
    keys = dict(zip(places, unique_keys(places), strict=True))
    order = LAYOUTS[layout].replace("<", "").replace(">", "").split("/")
    for place in places:
        told = dict(zip(order, place.split("/"), strict=True))
        category, split = told.get("class", UNLABELED), told.get("split", "train")
        path = str(folder / place)
        meta = _exported(folder / place)
        if meta is None:
            yield Source(path, place, category, split, keys[place])
            continue
        # What the folder's name was made from; another name means that somebody moved it.
        category = meta["category"] if "class" not in told or folder_label(meta["category"]) == category else category
        split = meta["split"] if "split" not in told or folder_label(meta["split"]) == split else split
        yield Source(path, meta["source"], category, split, meta["key"])


def _exported(folder: Path) -> dict[str, str] | None:
    """Key, source, category and split of the `sample.json`; None where there is none that tells them."""
    try:
        if (folder / META).stat().st_size > MAX_JSON_BYTES:
            return None
        meta = decode_json((folder / META).read_bytes())
    except (OSError, ShardError):
        return None  # reading the sample tells what is wrong with the file, if it is there
    fields = {name: meta.get(name) for name in ("key", "source", "category", "split")}
    told = {name: value for name, value in fields.items() if isinstance(value, str) and value}
    is_whole = len(told) == len(fields) and KEY_PATTERN.fullmatch(told["key"]) and told["split"] in SPLITS
    return told if is_whole else None
