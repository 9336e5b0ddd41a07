"""What a set holds, told by its manifest and records alone: splits, shards, classes, flags, failures, config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shards.errors import ShardError
from shards.pages.choice import count_flags
from shards.record import MANIFEST_NAME, RECORD, ShardRecord, all_configs, decode_record, read_manifest
from shards.resume import shard_files
from shards.stores.store import Location, Store, folder_name, open_store

SHOWN_SETTINGS = ("rig", "projection", "image_size", "backend", "channels", "num_points", "up", "seed")
"""Settings of the render that tell sets apart at a glance; those that a config lacks are left out."""


class Amount(BaseModel):
    """So much of a set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = Field(description="samples")
    shards: int = Field(description="shards")
    bytes: int = Field(description="size of their tars")


class SetInfo(BaseModel):
    """What a set holds, as far as it is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name of the set's folder")
    location: str = Field(description="path or URL of the set")
    schema_version: str = Field(description="version of the sample contract")
    is_finished: bool = Field(description="false while the run that writes it has not come to its end")
    total: Amount = Field(description="all of it")
    splits: dict[str, Amount] = Field(description="by split")
    shard_bytes: tuple[int, int, int] | None = Field(description="smallest, median, largest tar; null without shards")
    classes: dict[str, int | None] = Field(
        description="class name to samples; null where a set made before 1.2 has no count"
    )
    flags: dict[str, int] = Field(description="quality flag to the number of samples that carry it")
    failures: int = Field(description="sources that gave no sample")
    settings: dict[str, Any] = Field(description="some of the config; lists of values where joined sets differ")
    notes: tuple[str, ...] = Field(description="what a user should know")


def set_info(location: Location) -> SetInfo:
    """What a set holds; tars are not opened.

    Args:
        location: path or URL of a set, finished or not.

    Raises:
        ShardError: no manifest, or a damaged one.
    """
    store = open_store(location)
    sizes = store.sizes()
    if MANIFEST_NAME not in sizes:
        raise ShardError(f"{store.location}: no {MANIFEST_NAME} here; expected what `tap render --out` writes")
    manifest = read_manifest(store)
    names = [entry.name for entry in manifest.shards] or list(shard_files(sizes))
    records = _records(store, names)
    entries = manifest.shards or tuple(record.entry() for record in records)
    notes = []
    if manifest.shards and len(records) < len(names):
        notes.append(f"{len(names) - len(records):,} records are missing or damaged: see tap shards verify")
    num_bytes = sorted(entry.bytes for entry in entries)
    return SetInfo(
        name=folder_name(location),
        location=store.location,
        schema_version=manifest.schema_version,
        is_finished=bool(manifest.shards),
        total=_amount(entries),
        splits={
            split: _amount([entry for entry in entries if entry.split == split])
            for split in sorted({entry.split for entry in entries})
        },
        shard_bytes=(num_bytes[0], int(median(num_bytes)), num_bytes[-1]) if num_bytes else None,
        classes=_class_counts(manifest.classes, records),
        flags=count_flags(records),
        failures=sum(entry.num_failures for entry in entries),
        settings={name: value for name in SHOWN_SETTINGS for value in _values(manifest.config, name)},
        notes=tuple(notes),
    )


def _amount(entries: Sequence[Any]) -> Amount:
    return Amount(
        samples=sum(entry.count for entry in entries),
        shards=len(entries),
        bytes=sum(entry.bytes for entry in entries),
    )


def _records(store: Store, names: Sequence[str]) -> list[ShardRecord]:
    """Those records that are there and whole."""
    found = []
    for file, data in store.read_many([name + RECORD for name in names]).items():
        try:
            found.append(decode_record(data, file))
        except ShardError:
            continue
    return found


def _class_counts(classes: dict[str, int], records: Sequence[ShardRecord]) -> dict[str, int | None]:
    """Samples by class; None where a record does not tell."""
    counts: Counter[str] = Counter()
    for record in records:
        if record.categories is None:
            return dict.fromkeys(classes)
        counts.update(record.categories)
    return {name: counts[name] for name in sorted({*classes, *counts})}


def _values(config: dict[str, Any], name: str) -> Iterator[Any]:
    """The value of a setting, if there is one; the list of all that occur in a joined set whose parts differ."""
    found: list[Any] = []
    for one in all_configs(config):
        if name in one and one[name] not in found:
            found.append(one[name])
    if found:
        yield found[0] if len(found) == 1 else found
