"""The manifest of a set whose manifest is damaged: from what is left of it and the records, or from a copy, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from pydantic import ValidationError

from shards.codec import decode_json
from shards.errors import ShardError
from shards.record import CHECKSUM, MANIFEST_NAME, Manifest, ShardRecord, config_hash, read_manifest
from shards.schema import SCHEMA_VERSION
from shards.stores.store import Store


def manifest_again(store: Store, records: Sequence[ShardRecord]) -> Manifest | None:
    """The manifest as it was written; None where what is left cannot prove it.

    The lines are those of the records. The rest is what the damaged file says, or what follows from the records, whichever
    gives the checksum of then; where the checksum itself was hit, all of the file has to agree with the records.

    Args:
        store: of the set.
        records: of all shards that are there.

    Raises:
        ShardError: the manifest is there and cannot be read for now.
    """
    if store.size(MANIFEST_NAME) is None or not records:
        return None
    data = store.read(MANIFEST_NAME)
    try:
        left = decode_json(data)
        checksum, config = left.get(CHECKSUM), left.get("config")
        hashes = {left.get("config_hash"), *(record.config_hash for record in records)}
        if not isinstance(config, dict) or config_hash(config) not in hashes:
            return None
    except ShardError:
        return None
    content = {"config": config, "config_hash": config_hash(config), "shards": _entries(records)}
    classes, version = _classes(records), SCHEMA_VERSION
    for told in product((left.get("classes"), classes), (left.get("schema_version"), version)):
        manifest = _manifest({**content, "classes": told[0], "schema_version": told[1]})
        if manifest is not None and config_hash(manifest.model_dump()) == checksum:
            return manifest
    manifest = _manifest({**content, "classes": classes, "schema_version": version})
    return manifest if manifest and {**manifest.model_dump(mode="json"), CHECKSUM: checksum} == left else None


def _manifest(content: dict[str, Any]) -> Manifest | None:
    try:
        return Manifest.model_validate(content)
    except ValidationError:
        return None


def manifest_of_copy(copy: Store, records: Sequence[ShardRecord]) -> Manifest | None:
    """The copy's manifest, if it is that of these records.

    Args:
        copy: another copy of the set.
        records: those of the set that are whole.

    Raises:
        ShardError: the copy cannot be read for now.
    """
    if copy.size(MANIFEST_NAME) is None:
        return None
    try:
        manifest = read_manifest(copy)
    except ShardError:
        return None
    entries = {entry.name: entry for entry in manifest.shards}
    return manifest if records and all(entries.get(record.name) == record.entry() for record in records) else None


def _entries(records: Sequence[ShardRecord]) -> list[dict[str, Any]]:
    return [record.entry().model_dump() for record in sorted(records, key=lambda record: record.name)]


def _classes(records: Sequence[ShardRecord]) -> dict[str, int]:
    names = sorted({name for record in records for name in record.categories or ()})
    return {name: index for index, name in enumerate(names)}
