"""Finished sets joined to one without rewriting a tar: files are copied byte for byte, or linked, under new names.

Only records and manifest change: a record in its name, while it keeps the hash of the config that made its samples; the
manifest lists all shards, the classes of all sets, and their configs as `merged`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shards.engines.signals import exit_on_terminate
from shards.errors import ShardError
from shards.exchange.shard_copy import ShardCopy, copy_shard, finished_copies
from shards.index import decode_index
from shards.reader import ShardReader
from shards.record import (
    INDEX,
    MANIFEST_NAME,
    RECORD,
    Manifest,
    ShardEntry,
    ShardRecord,
    config_hash,
    read_manifest,
    read_records,
    write_manifest,
)
from shards.stores.store import Location, is_url, open_store
from shards.tar import REPAIR
from shards.upkeep.check import key_hash


@dataclass(frozen=True)
class MergeReport:
    """What the joined set holds."""

    num_samples: int
    num_shards: int
    num_bytes: int
    num_failures: int
    num_classes: int


def merge_sets(
    locations: Sequence[Location],
    out: Location,
    link: bool = False,
    resume: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MergeReport:
    """Joins finished sets; what they hold is compared with their records on the way.

    Args:
        locations: two sets or more, of one schema version.
        out: where the joined set goes; holds no set yet.
        link: give the tars a second name (a hard link) instead of copying them; local sets of one file system only.
        resume: go on with a merge of the same sets that was stopped.
        on_progress: called with the bytes of tars done, and of all.

    Returns:
        MergeReport.

    Raises:
        ShardError: a set is unfinished, damaged, given twice, of another schema version than the first, or without indexes; a
            key occurs twice; `out` holds something; or a file cannot be written. There is no manifest then.
    """
    readers = _opened(locations)
    manifests = [read_manifest(reader.store) for reader in readers]
    _check_versions(readers, manifests)
    parts = list(_renamed(readers))
    _check_keys(parts)
    manifest = _joined(manifests, parts)
    store = open_store(out)
    total, done = sum(part.record.bytes for part in parts), 0
    with store.claimed(), exit_on_terminate():
        kept = finished_copies(store, parts, manifest, resume)
        for part in parts:
            if part.record.name not in kept:
                copy_shard(part, store, link)
            done += part.record.bytes
            on_progress(done, total)
        if MANIFEST_NAME not in kept:
            write_manifest(store, manifest)
    return MergeReport(
        num_samples=sum(entry.count for entry in manifest.shards),
        num_shards=len(parts),
        num_bytes=total,
        num_failures=sum(entry.num_failures for entry in manifest.shards),
        num_classes=len(manifest.classes),
    )


def same_place(one: Location, other: Location) -> bool:
    """Whether two locations are the same folder, as far as their names tell."""
    if is_url(one) or is_url(other):
        return _spelt_alike(one) == _spelt_alike(other)
    return Path(open_store(one).location).resolve() == Path(open_store(other).location).resolve()


def _spelt_alike(location: Location) -> tuple[str, str]:
    """Protocol, by the one name of those that mean the same store, and path of a URL."""
    protocol, _, path = str(location).partition("://")
    return {"s3a": "s3", "gcs": "gs"}.get(protocol.lower(), protocol.lower()), path.rstrip("/")


def _opened(locations: Sequence[Location]) -> list[ShardReader]:
    """The sets, each finished and there once."""
    if len(locations) < 2:
        raise ShardError("name two sets or more to merge")
    for number, location in enumerate(locations):
        for other in locations[:number]:
            if same_place(location, other):
                raise ShardError(f"{location}: given twice; a set can be merged with other sets alone")
    return [ShardReader(location) for location in locations]


def _check_versions(readers: Sequence[ShardReader], manifests: Sequence[Manifest]) -> None:
    for reader, manifest in zip(readers, manifests, strict=True):
        if manifest.schema_version != manifests[0].schema_version:
            raise ShardError(
                f"{reader.store.location}: samples of schema {manifest.schema_version}, {readers[0].store.location} has "
                f"{manifests[0].schema_version}; merge sets of one version, and make the older one anew"
            )
        sizes = reader.store.sizes()
        if any(entry.name + INDEX not in sizes for entry in manifest.shards):
            raise ShardError(f"{reader.store.location}: made before version 1.2, without indexes; {REPAIR} first")


def _renamed(readers: Sequence[ShardReader]) -> Iterator[ShardCopy]:
    """All shards in the order of the sets, counted anew within each split."""
    counts: dict[str, int] = {}
    for reader in readers:
        for entry, record in zip(reader.entries, _records(reader), strict=True):
            number = counts.get(entry.split, 0)
            counts[entry.split] = number + 1
            renamed = record.model_copy(update={"name": f"{entry.split}-{number:06d}"})
            yield ShardCopy(reader.store, record, renamed)


def _records(reader: ShardReader) -> list[ShardRecord]:
    records = read_records(reader.store, [entry.name for entry in reader.entries])
    for record, entry in zip(records, reader.entries, strict=True):
        if record.entry() != entry:
            raise ShardError(f"{reader.store.path(entry.name + RECORD)}: does not fit the manifest; {REPAIR} first")
    return records


def _check_keys(parts: Sequence[ShardCopy]) -> None:
    """Compares all keys by their hashes, of which ten million find room; the keys themselves only where hashes meet."""
    hashes = [np.fromiter(map(key_hash, keys), np.uint64, len(keys)) for keys in map(_keys, parts)]
    values, counts = np.unique(np.concatenate(hashes), return_counts=True)
    suspects = values[counts > 1]
    if not len(suspects):
        return
    seen: dict[str, ShardCopy] = {}
    for part, found in zip(parts, hashes, strict=True):
        if not np.isin(found, suspects).any():
            continue
        for key in _keys(part):
            if key in seen:
                raise ShardError(
                    f"sample {key}: in both {seen[key].place} and {part.place}; take it out of one with tap shards split"
                )
            seen[key] = part


def _keys(part: ShardCopy) -> list[str]:
    """The keys in a shard, by its index."""
    file = part.earlier.name + INDEX
    keys = [sample.key for sample in decode_index(part.origin.read(file), part.origin.path(file))]
    if len(keys) != part.earlier.count:
        raise ShardError(
            f"{part.origin.path(file)}: {len(keys)} samples, its record says {part.earlier.count}; {REPAIR} first"
        )
    return keys


def _joined(manifests: Sequence[Manifest], parts: Sequence[ShardCopy]) -> Manifest:
    config: dict[str, Any] = {"merged": [manifest.config for manifest in manifests]}
    entries: list[ShardEntry] = sorted((part.record.entry() for part in parts), key=lambda entry: entry.name)
    return Manifest(
        schema_version=manifests[0].schema_version,
        config=config,
        config_hash=config_hash(config),
        classes={name: index for index, name in enumerate(sorted({n for m in manifests for n in m.classes}))},
        shards=tuple(entries),
    )
