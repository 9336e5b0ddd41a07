"""Makes a damaged set whole again: from its own bytes where they prove enough, from a copy, or from its sources.

Only what is damaged is written, and nothing is written that the manifest does not vouch for: a tar whose SHA-256 is not the
recorded one stays out. Foreign files are left where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from shards.errors import ShardError
from shards.record import INDEX, MANIFEST_NAME, RECORD, TAR, Manifest, encode_record, write_manifest
from shards.resume import remove_unfinished, set_files
from shards.stores.store import Location, Store, open_store
from shards.upkeep.check import ShardCheck
from shards.upkeep.facts import SetFacts, read_facts
from shards.upkeep.finding import Finding
from shards.upkeep.hashed_bytes import HashedBytes
from shards.upkeep.manifest_repair import manifest_again, manifest_of_copy
from shards.upkeep.remake import Remake, make_again, whole_record
from shards.upkeep.verify import NUM_THREADS, check_shards, doubled_keys


@dataclass(frozen=True)
class RepairReport:
    """What a repair did.

    Attributes:
        repaired: names of the files that were written, sorted.
        obstacles: why something could not be repaired, a line each.
        findings: what is still wrong with the set; empty where it is whole now.
        notes: see Verification.
    """

    repaired: tuple[str, ...]
    obstacles: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def repair_set(
    location: Location,
    copy: Location | None = None,
    remake: Callable[[Manifest, Sequence[str]], Remake] | None = None,
    num_threads: int = NUM_THREADS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> RepairReport:
    """Verifies a set, repairs what can be repaired, and verifies what it touched.

    Without help, an index is made again from a sound tar (sets made before 1.2 get theirs), a record from a sound tar and
    the manifest where no source had failed, a manifest from the records where its own remains prove it, and drafts go.

    Args:
        location: path or URL of the set.
        copy: of another copy of the set, whose files are taken where they are the right ones.
        remake: called with the manifest and the names of the damaged shards, at most once and only if there are any
            that nothing else mends. Of these shards, only the samples that are damaged are made again.
        num_threads: shards that are read side by side.
        on_progress: called in this thread with the bytes of tars read so far and in all.

    Returns:
        RepairReport; the set is whole if it has no findings.

    Raises:
        ShardError: nothing of a set is there, another run is writing to it, a file cannot be read or written, or the copy
            is the set itself or holds no set.
        Exception: a bug in the callable.
    """
    store = open_store(location)
    read_facts(store)  # tells a wrong location before `claimed` makes a folder there
    other = open_store(copy) if copy is not None else None
    if other is not None and other.location == store.location:
        raise ShardError(f"{store.location}: is not a copy of itself; name another one")
    if other is not None and not set_files(other):
        raise ShardError(f"{other.location}: holds no file of a set, so it is no copy of {store.location}")
    with store.claimed():
        return _Repair(store, other, remake, num_threads, on_progress).run()


class _Repair:
    """One repair, step by step: what the set itself proves, then the copy, then the sources."""

    def __init__(
        self,
        store: Store,
        copy: Store | None,
        remake: Callable[[Manifest, Sequence[str]], Remake] | None,
        num_threads: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._store, self._copy, self._remake = store, copy, remake
        self._num_threads, self._on_progress = num_threads, on_progress
        self._repaired: set[str] = set()
        self._obstacles: list[str] = []
        self._checks: dict[str, ShardCheck] = {}
        self._facts: SetFacts
        self._manifest: Manifest | None

    def run(self) -> RepairReport:
        self._repaired.update(self._store.unfinished())
        remove_unfinished(self._store)
        self._look()
        self._check(self._facts.names)
        if self._manifest is None and self._mend_manifest():
            self._look()
            self._check([name for name in self._facts.names if name not in self._checks or self._checks[name].findings])
        if self._copy is not None:
            self._check([name for name in self._damaged() if self._take_from(self._copy, name)])
        if self._remake is not None and self._manifest is not None and (names := self._damaged()):
            written, obstacles = make_again(self._store, self._manifest, names, self._remake(self._manifest, names))
            self._repaired.update(name + suffix for name in written for suffix in (TAR, INDEX, RECORD))
            self._obstacles += obstacles
            self._check(names)
        self._look()
        findings = [*self._set_findings, *(one for check in self._checks.values() for one in check.findings)]
        findings += doubled_keys(self._facts, list(self._checks.values()))
        return RepairReport(tuple(sorted(self._repaired)), tuple(self._obstacles), tuple(findings), tuple(self._notes))

    def _look(self) -> None:
        """Reads what there is; the manifest only where it can be trusted and is finished."""
        self._facts, self._manifest, self._set_findings, self._notes = read_facts(self._store)

    def _damaged(self) -> list[str]:
        """Shards that have to be mended: of those that the manifest names, as far as there is one that does."""
        names = [name for name, check in self._checks.items() if check.findings]
        return names if self._manifest is None else [name for name in names if name in self._facts.entries]

    def _check(self, names: Sequence[str], mends: bool = True) -> None:
        """Checks shards, writes the indexes and records that their tars prove, and checks these once more."""
        if not names:
            return
        self._facts = replace(self._facts, sizes=self._store.sizes())
        total, done = sum(self._facts.sizes.get(name + TAR, 0) for name in names), 0
        again: list[str] = []
        for check in check_shards(self._facts, names, self._num_threads):
            # Without what it can make again: a large set's indexes need not fit into memory.
            self._checks[check.name] = replace(check, index=None, record=None)
            if mends and check.index is not None:
                self._put(check.name + INDEX, check.index)
            if mends and check.record is not None:
                self._put(check.name + RECORD, encode_record(check.record))
            if check.findings and (check.index is not None or check.record is not None):
                again.append(check.name)
            done += check.num_bytes
            self._on_progress(done, total)
        if mends and again:
            self._check(again, mends=False)
        self._checks = dict(sorted(self._checks.items()))

    def _mend_manifest(self) -> bool:
        """Writes the manifest where its remains and the records, or the copy, prove it."""
        records = [record for name in self._facts.names if (record := whole_record(self._store, name)) is not None]
        manifest = manifest_again(self._store, records) if len(records) == len(self._facts.names) else None
        if manifest is None and self._copy is not None:
            manifest = manifest_of_copy(self._copy, records)
        if manifest is None:
            self._obstacles.append(
                f"{MANIFEST_NAME}: cannot be told from what is left; move it away if it is there, and the `tap render` of "
                "then with --resume writes it again and keeps all that is whole (or name a copy with --from)"
            )
            return False
        write_manifest(self._store, manifest)
        self._repaired.add(MANIFEST_NAME)
        return True

    def _take_from(self, copy: Store, name: str) -> bool:
        """Takes tar and record from the copy where they are the right ones, and an index follows; tells if it took any."""
        entry = self._facts.entries.get(name)
        if entry is None:
            return False
        num_before = len(self._repaired)
        if not self._checks[name].tar_is_sound:
            if self._copied(copy, name + TAR, entry.bytes, entry.sha256):
                self._repaired.add(name + TAR)
            else:
                self._obstacles.append(f"{name + TAR}: {copy.location} does not have it as it was written either")
        record, theirs = whole_record(self._store, name), whole_record(copy, name)
        is_right = record is not None and record.entry() == entry
        if not is_right and theirs is not None and theirs.entry() == entry:
            self._put(name + RECORD, encode_record(theirs))
        return len(self._repaired) > num_before

    def _copied(self, copy: Store, file: str, num_bytes: int, sha256: str) -> bool:
        """Copies a file if it has this size and hash; False where it is missing or another."""
        if copy.size(file) != num_bytes:
            return False
        source = copy.open(file)
        try:
            content = HashedBytes(source)
            with self._store.draft(file) as draft:
                for piece in content.pieces(num_bytes):
                    draft.write(bytes(piece))
                is_right = content.sha256 == sha256
                if is_right:
                    draft.commit()
        finally:
            source.close()
        return is_right

    def _put(self, file: str, data: bytes) -> None:
        self._store.put(file, data)
        self._repaired.add(file)
