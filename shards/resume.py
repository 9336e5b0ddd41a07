"""What an earlier run left in a folder: is it the same job, and which of its shards are proved done."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from shards.errors import ShardError
from shards.plan import ShardPlan
from shards.record import MANIFEST_NAME, Manifest, ShardRecord, read_manifest, read_record
from shards.storage import SHARD_FILE, TEMPORARY_FILE

_ABSENT = "nothing"


def set_files(folder: Path) -> list[Path]:
    """The files of a shard set in a folder, sorted: manifest, tars, records and unfinished files; nothing else."""
    return sorted(path for path in folder.iterdir() if _belongs(path.name) and path.is_file())


def clear_set(folder: Path, planned: Collection[str] = ()) -> None:
    """Removes the files of a shard set, and only them.

    Args:
        folder: where.
        planned: names of shards that will be written here, whose unfinished tars may lie there without a record.

    Raises:
        ShardError: a file is named like one of a set but is none, in which case nothing is removed; or a file cannot be
            removed.
    """
    files = set_files(folder)
    known = set(planned) | {path.stem for path in files if path.suffix == ".json" and _is_ours(path, ())}
    foreign = next((path for path in files if not _is_ours(path, known)), None)
    if foreign is not None:
        raise ShardError(
            f"{foreign}: named like a file of a shard set, but not one that can be recognised; nothing was removed: move it "
            "away, or choose another folder"
        )
    # Records first: a half-removed set must not look finished.
    for path in sorted(files, key=lambda path: path.suffix != ".json"):
        try:
            path.unlink()
        except OSError as error:
            raise ShardError(f"{path}: cannot be removed: {error.strerror}") from error


def check_same_job(folder: Path, plans: Sequence[ShardPlan], blank: Manifest) -> None:
    """Makes sure that what the folder holds was made by the job that wants to go on with it.

    Args:
        folder: holds files of an earlier run.
        plans: all shards of the present run.
        blank: the present run's manifest.

    Raises:
        ShardError: another config (the first differing key is named), schema or class list; shards that are not
            planned; a manifest that is damaged, or missing beside finished shards.
    """
    planned = {plan.name for plan in plans}
    foreign = [path for path in set_files(folder) if SHARD_FILE.fullmatch(path.name) and path.stem not in planned]
    if (folder / MANIFEST_NAME).exists():
        earlier = read_manifest(folder)
        _check_config(folder, earlier, blank)
    elif any(SHARD_FILE.fullmatch(path.name) for path in set_files(folder)):
        raise ShardError(f"{folder}: holds shards but no {MANIFEST_NAME} that tells their config; use --overwrite")
    if foreign:
        raise ShardError(
            f"{foreign[0]}: not planned for these sources, so files were removed from or renamed in the source folder "
            "since; use --overwrite or another folder"
        )


def finished_records(folder: Path, plans: Sequence[ShardPlan], config_hash: str) -> dict[str, ShardRecord]:
    """Records, by shard name, of the planned shards that are proved done; everything else has to be written again.

    Proved means: the record is readable, has this config and these sources, accounts for each of them, and the tar has
    the recorded size and SHA-256.
    """
    done: dict[str, ShardRecord] = {}
    for plan in plans:
        try:
            record = read_record(folder / f"{plan.name}.json")
        except ShardError:
            continue  # a missing or damaged record is the very sign of an unfinished shard
        accounted = record.count + len(record.failures) == len(plan.sources)
        same_job = (record.name, record.config_hash, record.sources_hash) == (plan.name, config_hash, plan.sources_hash)
        if accounted and same_job and _tar_is_intact(folder / f"{plan.name}.tar", record):
            done[plan.name] = record
    return done


def _is_ours(path: Path, known: Collection[str]) -> bool:
    """Whether content, or a known shard name, shows a file with a set's name to be of a set."""
    if TEMPORARY_FILE.fullmatch(path.name) or path.stem in known:
        return True
    try:
        if path.name == MANIFEST_NAME:
            read_manifest(path.parent)
        else:
            return path.suffix == ".json" and read_record(path).name == path.stem
    except ShardError:
        return False
    return True


def _belongs(name: str) -> bool:
    return name == MANIFEST_NAME or bool(SHARD_FILE.fullmatch(name) or TEMPORARY_FILE.fullmatch(name))


def _tar_is_intact(path: Path, record: ShardRecord) -> bool:
    """Compares size, then content, with the record; a tar that cannot be read is not intact."""
    try:
        if path.stat().st_size != record.bytes:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == record.sha256
    except OSError:
        return False


def _check_config(folder: Path, earlier: Manifest, blank: Manifest) -> None:
    """Compares config, schema and classes, and names the first difference."""
    old: dict[str, Any] = {"schema_version": earlier.schema_version, **dict(_leaves(earlier.config))}
    new: dict[str, Any] = {"schema_version": blank.schema_version, **dict(_leaves(blank.config))}
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if before != now:
            raise ShardError(
                f"{folder / MANIFEST_NAME}: made with {name} = {before!r}, now it is {now!r}; resume with the same "
                "config, or use --overwrite or another folder"
            )
    if earlier.config_hash != blank.config_hash:
        raise ShardError(f"{folder / MANIFEST_NAME}: its config does not fit its config_hash; use --overwrite")
    if earlier.classes != blank.classes:
        names = sorted(earlier.classes.keys() ^ blank.classes.keys())
        raise ShardError(f"{folder}: the sources' classes have changed ({', '.join(names)}); use --overwrite")


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a nested config; an empty dict counts as a value."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
