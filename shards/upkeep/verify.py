"""Every byte of a set compared with what was written: each damaged, missing, foreign or doubled thing is found and named.

What proves what: the SHA-256 in record and manifest a whole tar; the CRC-32 in the index each member, so that damage gets a
name; the checksums in index, record and manifest these files themselves, down to the reason of a failure. A set made before
version 1.2 has no indexes and no checksums: there a tar is proved as a whole, its members by their headers alone, and
nothing proves config values that no hash covers, nor the reasons of failures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from shards.errors import ShardError
from shards.index import decode_index
from shards.record import INDEX, TAR
from shards.stores.store import Location, Store, open_store
from shards.tar import read_index
from shards.upkeep.check import ShardCheck, check_shard, key_hash
from shards.upkeep.facts import SetFacts, read_facts
from shards.upkeep.finding import Finding

NUM_THREADS = 4
"""Shards that are read side by side; hashing and reading let other threads run."""


@dataclass(frozen=True)
class Verification:
    """What came out for a set.

    Attributes:
        findings: what is wrong: of the set as a whole first, then shard by shard.
        notes: what a user should know although nothing is wrong.
        num_samples: samples in its tars.
        num_shards: shards that were looked at.
        num_bytes: of their tars.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    num_samples: int
    num_shards: int
    num_bytes: int


def verify_set(
    location: Location,
    num_threads: int = NUM_THREADS,
    on_finding: Callable[[Finding], None] = lambda finding: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Reads a whole set, each tar once, and tells everything in it that is not as it was written.

    Args:
        location: path or URL of a set, finished or not, whole or not.
        num_threads: shards that are read side by side; no say in what is found, nor in its order.
        on_finding: called in this thread with each finding, as soon as its turn has come.
        on_progress: called in this thread with the bytes of tars read so far and in all.

    Returns:
        Verification; without findings, the set is as it was written.

    Raises:
        ShardError: nothing of a set is there, it is of another major version, or a file cannot be read for now.
    """
    store = open_store(location)
    facts, _, findings, notes = read_facts(store)
    for finding in findings:
        on_finding(finding)
    total = sum(facts.sizes.get(name + TAR, 0) for name in facts.names)
    checks: list[ShardCheck] = []
    num_done = 0
    for check in check_shards(facts, facts.names, num_threads):
        checks.append(check)
        for finding in check.findings:
            on_finding(finding)
        num_done += check.num_bytes
        on_progress(num_done, total)
    doubled = doubled_keys(facts, checks)
    for finding in doubled:
        on_finding(finding)
    return Verification(
        findings=(*findings, *(finding for check in checks for finding in check.findings), *doubled),
        notes=tuple(notes),
        num_samples=sum(check.num_samples for check in checks),
        num_shards=len(checks),
        num_bytes=sum(check.num_bytes for check in checks),
    )


def check_shards(facts: SetFacts, names: Sequence[str], num_threads: int = NUM_THREADS) -> Iterator[ShardCheck]:
    """Checks shards side by side, and yields what came out in the order of their names. Raises ShardError."""
    if num_threads < 1:
        raise ShardError(f"{num_threads} threads: at least 1 is needed")
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="verify")
    try:
        yield from pool.map(lambda name: check_shard(facts, name), names)
    finally:
        pool.shutdown(cancel_futures=True)


def doubled_keys(facts: SetFacts, checks: Sequence[ShardCheck]) -> list[Finding]:
    """Keys that samples of more than one shard have: a line for each shard but the first."""
    hashes = np.concatenate([check.key_hashes for check in checks]) if checks else np.empty(0, np.uint64)
    values, counts = np.unique(hashes, return_counts=True)
    suspects = values[counts > 1]
    hashes_met_twice = set(suspects.tolist())
    first: dict[str, str] = {}
    findings = []
    for check in checks:
        if not np.isin(check.key_hashes, suspects).any():
            continue
        for key in _keys(facts.store, check.name):
            if key in first and first[key] != check.name:
                findings.append(
                    Finding(check.name + TAR, key, "doubled", f"{first[key] + TAR} has a sample of this key")
                )
            elif key_hash(key) in hashes_met_twice:
                first[key] = check.name
    return findings


def _keys(store: Store, name: str) -> list[str]:
    """Keys of a shard's samples, from its index or its headers."""
    try:
        return [sample.key for sample in decode_index(store.read(name + INDEX), name + INDEX)]
    except ShardError:
        file = store.open(name + TAR)
        try:
            return [sample.key for sample in read_index(file, name + TAR)]
        except ShardError:
            return []  # what is wrong with this tar has been told
        finally:
            file.close()
