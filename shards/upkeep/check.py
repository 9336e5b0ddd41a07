"""One shard compared with itself: tar, index, record and the manifest's line each say the same, or one of them is named."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shards.codec import encode_json
from shards.errors import ShardError
from shards.index import SampleIndex, decode_index, encode_index
from shards.record import INDEX, RECORD, TAR, ShardRecord, decode_record, encode_record
from shards.upkeep.facts import SetFacts
from shards.upkeep.finding import Finding
from shards.upkeep.scan import TarScan, scan_tar


@dataclass(frozen=True)
class ShardCheck:
    """What came out for one shard.

    Attributes:
        name: of the shard.
        findings: what is wrong with it.
        num_samples: samples that its tar holds.
        num_bytes: of its tar.
        key_hashes: (num_samples,) uint64, one for each key, to find keys that several shards have.
        tar_is_sound: the tar is byte for byte as it was written.
        index: the index as it should be, where it is not and the tar is sound.
        record: the record as it should be, where it is not and can be told from the tar.
    """

    name: str
    findings: tuple[Finding, ...]
    num_samples: int = 0
    num_bytes: int = 0
    key_hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    tar_is_sound: bool = False
    index: bytes | None = None
    record: ShardRecord | None = None


def check_shard(facts: SetFacts, name: str) -> ShardCheck:
    """Reads all files of a shard, and compares each with the others.

    Raises:
        ShardError: record or index are there but cannot be read; a tar that cannot be read is a finding.
    """
    return _Check(facts, name).run()


class _Check:
    """The check of one shard."""

    def __init__(self, facts: SetFacts, name: str) -> None:
        self._facts, self._name = facts, name
        self._store = facts.store
        self._tar, self._index_file, self._record_file = name + TAR, name + INDEX, name + RECORD
        self._entry = facts.entries.get(name)
        self._findings: list[Finding] = []
        self._record = self._read_record()
        self._index = self._read_index()

    def run(self) -> ShardCheck:
        self._compare_record()
        size = self._facts.sizes.get(self._tar)
        if size is None:
            self._findings.append(Finding(self._tar, None, "missing", "no such file"))
            return ShardCheck(self._name, tuple(self._findings))
        expected = self._entry or self._record
        if expected is not None and size != expected.bytes:
            source = "manifest" if self._entry else "record"
            told = f"has {size:,} bytes, the {source} says {expected.bytes:,}"
            self._findings.append(Finding(self._tar, None, "truncated" if size < expected.bytes else "damaged", told))
        try:
            scan = self._scanned()
        except ShardError as error:  # a bad sector: the other shards are still worth a look
            self._tell_damage(self._tar, error)
            return ShardCheck(self._name, tuple(self._findings))
        return self._judged(scan)

    def _scanned(self) -> TarScan:
        """What the tar holds, compared with the index where that is right."""
        file = self._store.open(self._tar)
        try:
            scan = scan_tar(file, self._tar, self._index)
            if scan.changes and self._index is not None and scan.sha256 in self._known_sha256():
                # The tar is as it was written, so it is the index that is wrong, and no guide to what the tar holds.
                self._findings.append(Finding(self._index_file, None, "contradiction", "does not fit its tar"))
                self._index = None
                scan = scan_tar(file, self._tar, None)
        finally:
            file.close()
        return scan

    def _judged(self, scan: TarScan) -> ShardCheck:
        """The outcome, with what can be made again where the tar is sound."""
        known = self._known_sha256()
        vouched_for = self._entry or self._record
        is_sound = vouched_for is not None and scan.sha256 == vouched_for.sha256 and not scan.malformed
        self._findings += scan.malformed
        if scan.sha256 in known:
            self._compare_contents(scan)
        else:
            # That the tar ends too early has been told by its size.
            is_told = any(finding.file == self._tar and finding.what == "truncated" for finding in self._findings)
            self._findings += [one for one in scan.changes if one.member or one.what != "truncated" or not is_told]
            if known and not any(finding.file == self._tar for finding in self._findings):
                told = f"SHA-256 {scan.sha256[:16]}..., expected {sorted(known)[0][:16]}..."
                self._findings.append(Finding(self._tar, None, "damaged", told))
        return ShardCheck(
            name=self._name,
            findings=tuple(self._findings),
            num_samples=len(scan.samples),
            num_bytes=scan.num_bytes,
            key_hashes=np.array([key_hash(sample.key) for sample in scan.samples], np.uint64),
            tar_is_sound=is_sound,
            index=encode_index(scan.samples) if is_sound and self._index is None else None,
            record=self._made_again(scan) if is_sound else None,
        )

    def _known_sha256(self) -> set[str]:
        """What the tar's may be: where manifest and record differ, which is told, that of either."""
        return {part.sha256 for part in (self._entry, self._record) if part is not None}

    def _read_record(self) -> ShardRecord | None:
        """The record, if it is there and as it was written."""
        if self._record_file not in self._facts.sizes:
            self._findings.append(Finding(self._record_file, None, "missing", "no such file"))
            return None
        data = self._store.read(self._record_file)
        try:
            record = decode_record(data, self._record_file)
        except ShardError as error:
            self._tell_damage(self._record_file, error)
            return None
        if self._facts.is_indexed and data != encode_record(record):
            self._findings.append(Finding(self._record_file, None, "damaged", "not in the form in which it is written"))
            return None
        if record.name != self._name:
            self._findings.append(Finding(self._record_file, None, "contradiction", f"is that of {record.name}"))
            return None
        return record

    def _read_index(self) -> list[SampleIndex] | None:
        """The index, if it is there and as it was written."""
        if self._index_file not in self._facts.sizes:
            if self._facts.is_indexed:
                self._findings.append(Finding(self._index_file, None, "missing", "no such file"))
            return None
        data = self._store.read(self._index_file)
        try:
            index = decode_index(data, self._index_file)
            if encode_index(index) != data:
                raise ShardError("not in the form in which it is written")
        except (ShardError, ValueError) as error:
            self._tell_damage(self._index_file, error)
            return None
        return index

    def _compare_record(self) -> None:
        """Compares the record with the manifest."""
        record, entry = self._record, self._entry
        if record is None:
            return
        if entry is not None and record.entry() != entry:
            ours, theirs = record.entry().model_dump(), entry.model_dump()
            told = [
                f"{key} {ours[key]!r}, the manifest says {theirs[key]!r}" for key in ours if ours[key] != theirs[key]
            ]
            self._findings.append(Finding(self._record_file, None, "contradiction", f"says {'; '.join(told)}"))
        if self._facts.config_hashes is not None and record.config_hash not in self._facts.config_hashes:
            told_hash = f"made with config {record.config_hash}, which is not that of the manifest"
            self._findings.append(Finding(self._record_file, None, "foreign", told_hash))

    def _compare_contents(self, scan: TarScan) -> None:
        """Compares a sound tar's samples with record, manifest and each other."""
        split = self._entry.split if self._entry else self._record.split if self._record else None
        for sample in scan.samples:
            meta = scan.metas.get(sample.key)
            if meta is None:
                self._findings.append(Finding(self._tar, sample.key, "missing", "the sample has no JSON"))
                continue
            wanted = {"key": sample.key, "split": split, "schema_version": self._facts.schema_version}
            told = [
                f"{name} {meta.get(name)!r}, not {value!r}"
                for name, value in wanted.items()
                if value is not None and meta.get(name) != value
            ]
            if self._facts.classes is not None and meta.get("category") not in self._facts.classes:
                told.append(f"category {meta.get('category')!r}, which the manifest does not know")
            if told:
                said = f"its JSON says {'; '.join(told)}"
                self._findings.append(Finding(self._tar, f"{sample.key}.json", "contradiction", said))
        if self._record is not None:
            self._compare_counts(self._record, scan)

    def _compare_counts(self, record: ShardRecord, scan: TarScan) -> None:
        """Compares the numbers in a record with what the samples say of themselves."""
        found = _summary(scan)
        wanted = {"count": record.count, "flags": record.flags}
        wanted |= {} if record.categories is None else {"categories": record.categories}
        wanted |= {} if record.failures else {"sources_hash": record.sources_hash}
        for name, value in wanted.items():
            if found[name] != value:
                told = f"says {name} {value!r}, its samples say {found[name]!r}"
                self._findings.append(Finding(self._record_file, None, "contradiction", told))

    def _made_again(self, scan: TarScan) -> ShardRecord | None:
        """The record, where it is not right and all that it should say can be told from the tar and the manifest."""
        entry, hashes = self._entry, self._facts.config_hashes
        is_right = not any(finding.file == self._record_file for finding in self._findings)
        if is_right or entry is None or entry.num_failures or entry.sha256 != scan.sha256 or not hashes:
            return None
        if len(hashes) > 1 or len(scan.metas) != len(scan.samples):
            return None  # a joined set has several configs, and only the record knows which one it was
        found = _summary(scan)
        if not self._facts.is_indexed:
            found["categories"] = None
        record = ShardRecord.model_validate(
            {**entry.model_dump(exclude={"num_failures"}), **found, "config_hash": min(hashes), "failures": ()}
        )
        return record if record.entry() == entry else None

    def _tell_damage(self, file: str, error: Exception) -> None:
        told = str(error).removeprefix(f"{file}: ").removeprefix(f"{self._store.path(file)}: ").partition("; ")[0]
        self._findings.append(Finding(file, None, "damaged", told))


def key_hash(key: str) -> int:
    """64 bits of a key's hash: ten million of these fit where the keys themselves would not."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _summary(scan: TarScan) -> dict[str, object]:
    """What a record says, as the samples have it."""
    metas = [scan.metas[sample.key] for sample in scan.samples if sample.key in scan.metas]
    categories = Counter(str(meta.get("category")) for meta in metas)
    flags = Counter(flag for meta in metas for flag in set(map(str, meta.get("flags") or ())))
    sources = [[meta.get("source"), meta.get("key"), meta.get("category")] for meta in metas]
    return {
        "count": len(scan.samples),
        "categories": dict(sorted(categories.items())),
        "flags": dict(sorted(flags.items())),
        "sources_hash": hashlib.sha256(encode_json(sources)).hexdigest()[:16],
    }
