"""What an earlier run left in a store: is it the same job, and which of its shards are proved done."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from shards.codec import encode_json
from shards.errors import ShardError
from shards.plan import ShardPlan
from shards.record import INDEX, MANIFEST_NAME, RECORD, TAR, Manifest, ShardRecord, decode_record, read_manifest
from shards.stores.store import Store

_SHARD_FILE = re.compile(r"([A-Za-z0-9_-]+-\d{6,})(\.tar|\.idx|\.json)")


class _Absent:
    """Stands for the value of a key that one of two configs lacks."""

    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def shard_files(sizes: Collection[str]) -> dict[str, set[str]]:
    """Shard name to the suffixes of its files, among the names of a store's files; sorted by name."""
    found: dict[str, set[str]] = {}
    for name in sorted(sizes):
        match = _SHARD_FILE.fullmatch(name)
        if match:
            found.setdefault(match[1], set()).add(match[2])
    return found


def set_files(store: Store) -> dict[str, int]:
    """Name to size of a set's files in a store: manifest, tars, indexes and records; nothing else. Lists the store."""
    sizes = store.sizes().items()
    return {name: size for name, size in sizes if name == MANIFEST_NAME or _SHARD_FILE.fullmatch(name)}


def remove_unfinished(store: Store) -> None:
    """Removes the drafts of runs that were killed. Raises ShardError."""
    for name in store.unfinished():
        store.remove(name)


def clear_set(store: Store, planned: Collection[str] = ()) -> None:
    """Removes the files of a shard set, and only them.

    Args:
        store: where.
        planned: names of shards that will be written here, whose unfinished tars may lie there without a record.

    Raises:
        ShardError: a file is named like one of a set but is none, in which case nothing is removed; or a file cannot be
            removed.
    """
    files = set_files(store)
    records = _records(store, [name.removesuffix(RECORD) for name in files if name.endswith(RECORD)])
    manifest = _manifest(store) if MANIFEST_NAME in files else None
    known = {*planned, *(record.name for record in records)}
    known |= {entry.name for entry in manifest.shards} if manifest else set()
    foreign = [name for name in files if name != MANIFEST_NAME and name.rpartition(".")[0] not in known]
    if MANIFEST_NAME in files and manifest is None:
        foreign.append(MANIFEST_NAME)
    if foreign:
        raise ShardError(
            f"{store.path(foreign[0])}: named like a file of a shard set, but not one that can be recognised; nothing was "
            "removed: move it away, or choose another folder"
        )
    # Records first: a half-removed set must not look finished.
    for name in sorted(files, key=lambda name: not name.endswith(RECORD)):
        store.remove(name)
    remove_unfinished(store)


def check_same_job(store: Store, files: Mapping[str, int], plans: Sequence[ShardPlan], blank: Manifest) -> None:
    """Makes sure that what the store holds was made by the job that wants to go on with it.

    Args:
        store: holds files of an earlier run.
        files: `set_files` of it.
        plans: all shards of the present run.
        blank: the present run's manifest.

    Raises:
        ShardError: another config (the first differing key is named), schema or class list; shards that are not
            planned; a manifest that is damaged, or missing beside shards of another or unknown config.
    """
    planned = {plan.name for plan in plans}
    present = shard_files(files)
    if MANIFEST_NAME in files:
        _check_config(store, read_manifest(store), blank)
    elif present:
        records = _records(store, list(present))
        if not records or any(record.config_hash != blank.config_hash for record in records):
            raise ShardError(
                f"{store.location}: holds shards but no {MANIFEST_NAME} that tells their config, and their records are "
                "not all of this config; use --overwrite"
            )
    foreign = sorted(present.keys() - planned)
    if foreign:
        raise ShardError(
            f"{store.path(foreign[0] + TAR)}: not planned for these sources, so files were removed from or renamed in the "
            "source folder since; use --overwrite or another folder"
        )


def finished_records(
    store: Store, files: Mapping[str, int], plans: Sequence[ShardPlan], config_hash: str
) -> dict[str, ShardRecord]:
    """Records, by shard name, of the planned shards that are proved done; everything else has to be written again.

    Proved means: the record, which is written last, is readable, has this config and these sources and accounts for each
    of them; tar and index are there, and the tar has the recorded size. Contents are not read: what becomes of bytes
    after they were written whole is found by `verify`, at the cost of reading the set.
    """
    done: dict[str, ShardRecord] = {}
    complete = [plan for plan in plans if {plan.name + RECORD, plan.name + TAR, plan.name + INDEX} <= files.keys()]
    records = {record.name: record for record in _records(store, [plan.name for plan in complete])}
    for plan in complete:
        record = records.get(plan.name)
        if record is None:
            continue
        accounted = record.count + len(record.failures) == len(plan.sources)
        same_job = (record.config_hash, record.sources_hash) == (config_hash, plan.sources_hash)
        if accounted and same_job and files[plan.name + TAR] == record.bytes:
            done[plan.name] = record
    return done


def _records(store: Store, names: Sequence[str]) -> list[ShardRecord]:
    """The records that are there and whole: a missing or damaged one is the very sign of an unfinished shard."""
    found = store.read_many([name + RECORD for name in names])
    records = []
    for file, data in found.items():
        try:
            record = decode_record(data, store.path(file))
        except ShardError:
            continue
        if record.name + RECORD == file:
            records.append(record)
    return records


def _manifest(store: Store) -> Manifest | None:
    """The manifest, where it is one."""
    try:
        return read_manifest(store)
    except ShardError:
        return None


def _check_config(store: Store, earlier: Manifest, blank: Manifest) -> None:
    """Compares config, schema and classes, and names the first difference."""
    old: dict[str, Any] = {"schema_version": earlier.schema_version, **dict(_leaves(earlier.config))}
    new: dict[str, Any] = {"schema_version": blank.schema_version, **dict(_leaves(blank.config))}
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        # As JSON, which the hash is made of: there 1 and 1.0 differ.
        if _ABSENT in (before, now) or encode_json([before]) != encode_json([now]):
            raise ShardError(
                f"{store.path(MANIFEST_NAME)}: made with {name} = {before!r}, now it is {now!r}; resume with the same "
                "config, or use --overwrite or another folder"
            )
    if earlier.config_hash != blank.config_hash:
        raise ShardError(f"{store.path(MANIFEST_NAME)}: its config does not fit its config_hash; use --overwrite")
    if earlier.classes != blank.classes:
        names = sorted(earlier.classes.keys() ^ blank.classes.keys())
        raise ShardError(f"{store.location}: the sources' classes have changed ({', '.join(names)}); use --overwrite")


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a nested config; an empty dict counts as a value."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
