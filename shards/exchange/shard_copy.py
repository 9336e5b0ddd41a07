"""One shard brought from a set to another byte for byte, under another name; what is copied is compared with its record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from shards.errors import ShardError
from shards.record import INDEX, MANIFEST_NAME, RECORD, TAR, Manifest, ShardRecord, encode_manifest, encode_record
from shards.resume import remove_unfinished, set_files, shard_files
from shards.stores.local_store import LocalStore
from shards.stores.store import Draft, Store
from shards.tar import REPAIR

PIECE_BYTES = 1 << 23
"""A tar is read in pieces of this size."""


@dataclass(frozen=True)
class ShardCopy:
    """A shard on its way: where it lies, its record there, and the record that it gets."""

    origin: Store
    earlier: ShardRecord
    record: ShardRecord

    @property
    def place(self) -> str:
        """Its set and name, for messages."""
        return f"{self.origin.location} ({self.earlier.name})"


def finished_copies(store: Store, parts: Sequence[ShardCopy], manifest: Manifest, resume: bool) -> set[str]:
    """Makes sure that `out` holds nothing but what this very merge left; names of what need not be written again."""
    present = set_files(store)
    if present and not resume:
        raise ShardError(
            f"{store.location}: holds {next(iter(present))} already; choose an empty folder, or go on with a stopped merge "
            "by --resume"
        )
    remove_unfinished(store)
    if not present:
        return set()
    kept = set()
    if MANIFEST_NAME in present:
        if store.read(MANIFEST_NAME) != encode_manifest(manifest):
            raise ShardError(f"{store.path(MANIFEST_NAME)}: of another set than these give; choose an empty folder")
        kept.add(MANIFEST_NAME)
    planned = {part.record.name: part for part in parts}
    records = store.read_many([name for name in present if name.endswith(RECORD) and name != MANIFEST_NAME])
    for name, suffixes in shard_files(present).items():
        part = planned.get(name)
        record = records.get(name + RECORD)
        if part is None or record not in (None, encode_record(part.record)):
            raise ShardError(f"{store.location}: holds {name}, which is none of this merge; choose an empty folder")
        if len(suffixes) == 3 and present[name + TAR] == part.record.bytes:
            kept.add(name)
    return kept


def copy_shard(part: ShardCopy, store: Store, link: bool) -> None:
    """Brings one shard over: tar, index, record, in this order."""
    old, new = part.earlier.name, part.record.name
    index = part.origin.read(old + INDEX)
    store.remove(new + RECORD)
    if link:
        _read_through(part, None)
        _link(part, store)
    else:
        with store.draft(new + TAR) as draft:
            _read_through(part, draft)
            draft.commit()
    store.put(new + INDEX, index)
    store.put(new + RECORD, encode_record(part.record))


def _read_through(part: ShardCopy, draft: Draft | None) -> None:
    """Reads a tar, writes it to the draft if there is one, and compares it with its record."""
    name = part.earlier.name + TAR
    digest = hashlib.sha256()
    tar = part.origin.open(name)
    try:
        offset = 0
        while offset < tar.size:
            piece = tar.pread(offset, PIECE_BYTES)
            if not piece:
                break
            digest.update(piece)
            offset += len(piece)
            if draft is not None:
                draft.write(piece)
    finally:
        tar.close()
    if digest.hexdigest() != part.earlier.sha256:
        raise ShardError(f"{part.origin.path(name)}: not as it was written, its SHA-256 differs; {REPAIR} first")


def _link(part: ShardCopy, store: Store) -> None:
    if not isinstance(part.origin, LocalStore) or not isinstance(store, LocalStore):
        raise ShardError(f"{part.origin.location}: only folders of this machine can be linked; leave out --link")
    source, target = part.origin.path(part.earlier.name + TAR), store.path(part.record.name + TAR)
    store.remove(part.record.name + TAR)
    try:
        os.link(source, target)
    except OSError as error:
        raise ShardError(f"{target}: cannot be linked to {source}: {error.strerror}; leave out --link") from error
