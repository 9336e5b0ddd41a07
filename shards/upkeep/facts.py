"""What a set should hold by its manifest and what is there by its folder: what each of its shards is then compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shards.errors import ShardError
from shards.reader import FIRST_WITH_INDEX
from shards.record import (
    INDEX,
    MANIFEST_NAME,
    RECORD,
    TAR,
    Manifest,
    ShardEntry,
    all_configs,
    config_hash,
    decode_manifest,
    encode_manifest,
)
from shards.resume import shard_files
from shards.schema import SCHEMA_VERSION, version_of
from shards.stores.store import Store
from shards.upkeep.finding import Finding

_DRAFT = "left by a run that was killed, or that is still at work"


@dataclass(frozen=True)
class SetFacts:
    """What a shard is compared with besides its own files.

    Attributes:
        store: where the set lies.
        sizes: file name to size in bytes of all files there.
        entries: the manifest's lines by shard name; empty where it is damaged, missing or unfinished.
        names: shards to look at, sorted.
        config_hashes: those that a record may have; None where the manifest does not tell.
        classes: class names; None where the manifest does not tell.
        schema_version: of all samples; None where the manifest does not tell.
        is_indexed: each shard has to have an index, and checksums are in records and manifest: from version 1.2 on.
    """

    store: Store
    sizes: Mapping[str, int]
    entries: Mapping[str, ShardEntry]
    names: tuple[str, ...]
    config_hashes: frozenset[str] | None
    classes: frozenset[str] | None
    schema_version: str | None
    is_indexed: bool


def read_facts(store: Store) -> tuple[SetFacts, Manifest | None, list[Finding], list[str]]:
    """What there is and should be, the manifest where it can be trusted, what is wrong with the set as a whole, and notes.

    Raises:
        ShardError: nothing of a set is there, or it is of another major version.
    """
    sizes = store.sizes()
    present = shard_files(sizes)
    if MANIFEST_NAME not in sizes and not present:
        raise ShardError(
            f"{store.location}: no shards and no {MANIFEST_NAME} here; expected what `tap render --out` writes"
        )
    manifest, findings = _read_manifest(store, sizes)
    entries = {entry.name: entry for entry in manifest.shards} if manifest else {}
    if entries:
        findings += _foreign(sizes, entries)
    findings += [Finding(name, None, "unfinished", _DRAFT) for name in store.unfinished()]
    has_index = any(INDEX in suffixes for suffixes in present.values())
    is_indexed = version_of(manifest.schema_version) >= FIRST_WITH_INDEX if manifest else has_index
    facts = SetFacts(
        store=store,
        sizes=sizes,
        entries=entries,
        names=tuple(sorted(entries or present)),
        config_hashes=frozenset(_config_hashes(manifest)) if manifest else None,
        classes=frozenset(manifest.classes) if manifest else None,
        schema_version=manifest.schema_version if manifest else None,
        is_indexed=is_indexed,
    )
    missing = [name for name in facts.names if INDEX not in present.get(name, set())]
    notes = []
    if not is_indexed and missing:
        notes.append(f"made before version 1.2: {len(missing):,} shards have no index yet; tap shards repair adds them")
    return facts, manifest, findings, notes


def _read_manifest(store: Store, sizes: dict[str, int]) -> tuple[Manifest | None, list[Finding]]:
    """The manifest, where it can be trusted, and what is wrong with it."""

    def found(what: Any, detail: str) -> list[Finding]:
        return [Finding(MANIFEST_NAME, None, what, detail)]

    if MANIFEST_NAME not in sizes:
        return None, found("missing", "no such file; the shards are compared with their records alone")
    data = store.read(MANIFEST_NAME)
    try:
        manifest = decode_manifest(data, MANIFEST_NAME)
        version = version_of(manifest.schema_version)
        if (
            version[0] == version_of(SCHEMA_VERSION)[0]
            and version >= FIRST_WITH_INDEX
            and encode_manifest(manifest) != data
        ):
            raise ShardError("not in the form in which it is written")
        if manifest.config_hash != config_hash(manifest.config):
            raise ShardError("its config does not fit its config_hash")
        if list(manifest.classes.items()) != [(name, index) for index, name in enumerate(sorted(manifest.classes))]:
            raise ShardError("its classes are not numbered in sorted order")
        if len({entry.name for entry in manifest.shards}) < len(manifest.shards):
            raise ShardError("names a shard twice")
    except (ShardError, ValueError) as error:
        told = str(error).removeprefix(f"{MANIFEST_NAME}: ").partition("; ")[0]
        return None, found("damaged", f"{told}; the shards are compared with their records alone")
    if version[0] != version_of(SCHEMA_VERSION)[0]:
        raise ShardError(
            f"{store.location}: samples of schema {manifest.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    if not manifest.shards:
        return manifest, found("unfinished", "the run that writes this set has not finished; its --resume does")
    return manifest, []


def _foreign(sizes: dict[str, int], entries: dict[str, Any]) -> list[Finding]:
    """Files of shards that the manifest does not know."""
    records = {name + RECORD for name, suffixes in shard_files(sizes).items() if RECORD in suffixes}
    files = [file for file in sizes if file.endswith((TAR, INDEX)) or file in records]
    told = "no shard of this set is named so; move it away"
    return [Finding(file, None, "foreign", told) for file in files if file.rpartition(".")[0] not in entries]


def _config_hashes(manifest: Manifest) -> Iterator[str]:
    """Hashes of the configs that records of this set may name: a joined set's records keep those they came with."""
    yield manifest.config_hash
    yield from map(config_hash, all_configs(manifest.config))
