"""A set made anew with other splits, or with some of its classes: JSON and place of a sample change, its pictures do not."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shards.build import BuildOptions, BuildReport, build_shards
from shards.codec import PackedSample, encode_json, with_meta
from shards.errors import ShardError
from shards.exchange.merge import same_place
from shards.index import member_name
from shards.plan import Source
from shards.progress import OnProgress, ignore_progress
from shards.reader import ShardReader
from shards.schema import SCHEMA_VERSION
from shards.stores.store import Location, joined

SPLITS = ("train", "val", "test")
_SAMPLES_PER_SHARD = "samples_per_shard"


class SplitRule(BaseModel):
    """Which samples get which split; those that nothing is said of keep theirs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    val: float = Field(0.0, ge=0, lt=1, description="share of each class that becomes val")
    test: float = Field(0.0, ge=0, lt=1, description="share of each class that becomes test")
    of: tuple[str, ...] = Field(("train",), description="splits whose samples are dealt anew by these shares")
    seed: int = Field(0, description="seed of the choice")
    classes: tuple[str, ...] = Field((), description="only samples of these classes; empty for all")


@dataclass(frozen=True, slots=True)
class StoredSample:
    """What is known of a sample without its pictures; `index` is its place in the reader."""

    index: int
    key: str
    source: str
    category: str
    split: str


@dataclass(frozen=True)
class MoveSample:
    """The stored sample of a source with the source's split; every byte is compared with its CRC-32 on the way."""

    reader: ShardReader

    def __call__(self, source: Source) -> PackedSample:
        """The sample, packed. Raises ShardError where it is damaged."""
        index = int(source.path.rpartition("#")[2])
        fields = sorted(self.reader.fields(index))
        members = tuple((member_name(source.key, field), self.reader.raw(index, field)) for field in fields)
        meta = self.reader.meta(index)
        meta |= {"split": source.split, "schema_version": SCHEMA_VERSION}
        return with_meta(PackedSample(source.key, meta, members), source.key, meta)


def split_set(
    location: Location,
    out: Location,
    rule: SplitRule,
    listed: Mapping[str, str] | None = None,
    options: BuildOptions | None = None,
    on_progress: OnProgress = ignore_progress,
) -> BuildReport:
    """Writes a new set in which samples have their new split. Failures recorded in the old one do not travel.

    Args:
        location: a finished set.
        out: where the new one goes.
        rule: shares, or none of them.
        listed: key to split, see `read_split_list`; goes before the shares.
        options: see `build_shards`.
        on_progress: see `build_shards`.

    Returns:
        BuildReport over the new set.

    Raises:
        ShardError: the set is unfinished or damaged; an unknown class, split or key; no sample is left; or see
            `build_shards`.
    """
    if same_place(location, out):
        raise ShardError(f"{out}: is the set itself; choose another folder for the new one")
    with ShardReader(location) as reader:
        _check_names(reader, rule)
        samples = _stored(reader, rule.classes)
        if not samples:
            raise ShardError(f"{location}: no samples of {', '.join(rule.classes)}")
        splits = new_splits(samples, rule) | _of_list(samples, listed or {}, str(location))
        sources = [
            Source(
                f"{joined(location, '')}#{sample.index}", sample.source, sample.category, splits[sample.key], sample.key
            )
            for sample in samples
        ]
        return build_shards(sources, MoveSample(reader), out, _config(reader, rule, listed), options, on_progress)


def new_splits(samples: Iterable[StoredSample], rule: SplitRule) -> dict[str, str]:
    """Key to split, for every sample.

    Within a class, samples are sorted by a hash of (seed, key); the first become val, the last test. So a sample that is added
    or removed moves few others. A class of two or more gives at least one sample to each share that is not 0, and keeps one.

    Args:
        samples: all samples.
        rule: the shares.

    Raises:
        ShardError: the shares leave nothing.
    """
    if rule.val + rule.test >= 1:
        raise ShardError(
            f"val {rule.val:g} and test {rule.test:g} leave nothing to train on; they must sum to less than 1"
        )
    splits: dict[str, str] = {}
    dealt: dict[str, list[str]] = {}
    for sample in samples:
        splits[sample.key] = sample.split
        if sample.split in rule.of:
            dealt.setdefault(sample.category, []).append(sample.key)
    for keys in dealt.values():
        keys.sort(key=lambda key: (hashlib.blake2b(f"{rule.seed}/{key}".encode(), digest_size=8).digest(), key))
        num_val, num_test = _counts(len(keys), rule)
        splits |= dict.fromkeys(keys[:num_val], "val") | dict.fromkeys(keys[len(keys) - num_test :], "test")
    return splits


def read_split_list(path: Path) -> dict[str, str]:
    """Key to split, of a .csv file with the columns key and split.

    Raises:
        ShardError: the file cannot be read, has other columns, an unknown split, or a key twice.
    """
    splits: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream, strict=True)
            if next(rows, None) != ["key", "split"]:
                raise ShardError(f"{path}: its first line must be key,split")
            for row in filter(None, rows):
                place = f"{path}, line {rows.line_num}"
                if len(row) != 2 or row[1] not in SPLITS:
                    raise ShardError(f"{place}: {','.join(row)!r} is no key and one of {', '.join(SPLITS)}")
                if row[0] in splits:
                    raise ShardError(f"{place}: {row[0]} occurs twice")
                splits[row[0]] = row[1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ShardError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return splits


def _counts(num_samples: int, rule: SplitRule) -> tuple[int, int]:
    """How many samples of a class become val and test."""
    num_val, num_test = (max(1, round(share * num_samples)) if share else 0 for share in (rule.val, rule.test))
    while num_val + num_test and num_val + num_test >= num_samples:  # one has to stay
        num_val, num_test = (num_val - 1, num_test) if num_val > num_test else (num_val, num_test - 1)
    return num_val, num_test


def _check_names(reader: ShardReader, rule: SplitRule) -> None:
    known = sorted({entry.split for entry in reader.entries})
    for kind, asked, there in (("class", rule.classes, reader.classes), ("split", rule.of, known)):
        unknown = [name for name in asked if name not in there]
        if unknown and (kind == "class" or rule.val or rule.test):
            raise ShardError(f"{reader.store.location}: no {kind} {unknown[0]!r}; it has {', '.join(there)}")


def _stored(reader: ShardReader, classes: Sequence[str]) -> list[StoredSample]:
    """All samples of these classes, or of all."""
    samples = []
    for index in range(len(reader)):
        meta = reader.meta(index)
        if not classes or meta["category"] in classes:
            samples.append(StoredSample(index, reader.key(index), meta["source"], meta["category"], meta["split"]))
    return samples


def _of_list(samples: Sequence[StoredSample], listed: Mapping[str, str], location: str) -> dict[str, str]:
    unknown = sorted(listed.keys() - {sample.key for sample in samples})
    if unknown:
        raise ShardError(f"{location}: no sample {unknown[0]!r}, which the list names ({len(unknown):,} such keys)")
    return dict(listed)


def _config(reader: ShardReader, rule: SplitRule, listed: Mapping[str, str] | None) -> dict[str, Any]:
    """The old set's config, and what was done to the set; another set, rule or list is another config."""
    shards = hashlib.sha256(encode_json([[entry.name, entry.sha256] for entry in reader.entries])).hexdigest()
    chosen = None if listed is None else hashlib.sha256(encode_json(dict(listed))).hexdigest()
    done = rule.model_dump() | {"list_sha256": chosen, "shards_sha256": shards, "before": reader.config.get("split")}
    return {name: value for name, value in reader.config.items() if name != _SAMPLES_PER_SHARD} | {"split": done}
