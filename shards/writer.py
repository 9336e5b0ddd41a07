"""Writes one shard: samples into a draft of the tar, then tar, index and the record that says the shard is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from shards.codec import PackedSample, pack_sample
from shards.errors import ShardError
from shards.index import encode_index
from shards.plan import ShardPlan, Source
from shards.progress import OnProgress, Progress, ignore_progress
from shards.record import INDEX, RECORD, TAR, Failure, ShardRecord, encode_record
from shards.salvage import Salvage, origin, origin_of
from shards.schema import Sample, image_numbers
from shards.stores.store import Store
from shards.tar import TarWriter

MakeSample: TypeAlias = Callable[[Source], Sample | PackedSample]

MAX_REASON_LENGTH = 500
"""Characters kept of a failure's reason; a parser may quote half of the file that it could not read."""


@dataclass(frozen=True)
class ShardJob:
    """All that the writing of any shard of a set needs besides its plan; it is pickled once for each worker.

    Attributes:
        make_sample: turns a source into its sample; picklable by reference, and the same sample for the same source.
        store: where the shards go.
        config_hash: stored in each record.
        failure_types: exceptions that mean a bad source. Any other one is a bug and ends the run.
        salvage: keep the samples that an earlier tar of the same name holds intact, and make only the others.
        only_as: shard name to the SHA-256 that its tar must have; one that comes out otherwise is not written.
    """

    make_sample: MakeSample
    store: Store
    config_hash: str
    failure_types: tuple[type[Exception], ...] = ()
    salvage: bool = False
    only_as: Mapping[str, str] = field(default_factory=dict)


def ignore_begin(index: int) -> None:
    """The `on_begin` of a caller who does not look."""


def write_shard(
    plan: ShardPlan,
    job: ShardJob,
    on_progress: OnProgress = ignore_progress,
    known_failures: Mapping[str, str] = MappingProxyType({}),
    on_begin: Callable[[int], None] = ignore_begin,
) -> ShardRecord:
    """Makes the samples of one plan and commits them as `NAME.tar`, `NAME.idx` and `NAME.json`, in this order.

    A shard whose every source failed is still written: an empty tar and a record that says why.

    Args:
        plan: the shard's name and sources.
        job: the callable and where to write.
        on_progress: called after each source.
        known_failures: relative path to reason, of sources that are recorded as failed without a try.
        on_begin: called with a source's place in the plan before it is tried.

    Returns:
        The record as written; or where `only_as` forbids the tar, the one that it would have got.

    Raises:
        ShardError: the disk is full or cannot be written, or a sample does not keep the contract.
        Exception: whatever `make_sample` raised that is not one of the failure types.

    Whatever is raised, KeyboardInterrupt included, no draft remains.
    """
    store, tally = job.store, _Tally()
    with store.draft(plan.name + TAR) as draft, Salvage(store, plan.name, job.salvage) as salvage:
        tar = TarWriter(draft)
        for index, source in enumerate(plan.sources):
            outcome = salvage.sample(source) or _made(source, job, known_failures, partial(on_begin, index))
            on_progress(tally.add(source, outcome))
            if isinstance(outcome, PackedSample):
                tar.add(outcome)
        tar.finish()
        record = ShardRecord(
            name=plan.name,
            split=plan.split,
            count=tar.num_samples,
            bytes=tar.num_bytes,
            sha256=tar.sha256,
            config_hash=job.config_hash,
            sources_hash=plan.sources_hash,
            categories=dict(sorted(tally.categories.items())),
            failures=tuple(tally.failures),
            flags=dict(sorted(tally.flags.items())),
        )
        if job.only_as.get(plan.name, record.sha256) != record.sha256:
            return record
        store.remove(plan.name + RECORD)  # of an earlier try: it must not vouch for the new tar
        draft.commit()
    store.put(plan.name + INDEX, encode_index(tar.index))
    store.put(plan.name + RECORD, encode_record(record))
    return record


def _made(
    source: Source, job: ShardJob, known_failures: Mapping[str, str], on_begin: Callable[[], None]
) -> PackedSample | Failure:
    """What the callable makes of a source."""
    reason = known_failures.get(source.relative)
    if reason is None:
        on_begin()
        try:
            sample = job.make_sample(source)
        except job.failure_types as error:
            reason = str(error).strip() or type(error).__name__
        else:
            _check_origin(sample, source)
            return pack_sample(sample) if isinstance(sample, Sample) else sample
    return Failure(source=source.relative, reason=_one_line(reason, source))


@dataclass
class _Tally:
    """What a shard's record says of its samples."""

    failures: list[Failure] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)

    def add(self, source: Source, outcome: PackedSample | Failure) -> Progress:
        """Counts the outcome of a source; returns the increment to report."""
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
            return Progress(num_failures=1)
        self.flags.update(set(outcome.meta["flags"]))
        self.categories[source.category] += 1
        fields = tuple(name.partition(".")[2] for name, _ in outcome.members)
        return Progress(num_samples=1, num_views=len(image_numbers(fields).get("view", ())))


def _check_origin(sample: Sample | PackedSample, source: Source) -> None:
    """A callable that answers with another source's sample would corrupt labels without a trace."""
    got, expected = origin(sample.key, sample.meta), origin_of(source)
    if got != expected:
        raise ShardError(f"{source.relative}: the sample says (key, source, category, split) {got}, not {expected}")


def _one_line(reason: str, source: Source) -> str:
    """The reason as one line, without the folder of this machine, so that records do not depend on it."""
    reason = reason.replace(source.path, source.relative)
    if source.companion is not None:
        reason = reason.replace(source.companion, Path(source.companion).name)
    line = " ".join(reason.split())
    # A lone surrogate, from a file name in another encoding, cannot be stored as UTF-8.
    return line[:MAX_REASON_LENGTH].encode("utf-8", "backslashreplace").decode()
