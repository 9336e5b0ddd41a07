"""Sources to a finished set of shards: plan, skip what is proved done, run an engine, write the manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from shards.codec import encode_json
from shards.engines.engine import ENGINES, check_engine
from shards.engines.options import EngineOptions
from shards.engines.signals import exit_on_terminate
from shards.errors import ShardError
from shards.plan import ShardPlan, Source, plan_shards
from shards.progress import OnProgress, Progress, ignore_progress
from shards.record import Failure, Manifest, ShardRecord, config_hash, write_manifest
from shards.resume import check_same_job, clear_set, finished_records, remove_unfinished, set_files
from shards.schema import SCHEMA_VERSION
from shards.stores.store import Location, Store, open_store
from shards.writer import MakeSample, ShardJob


class BuildOptions(EngineOptions):
    """How a set is built; only `samples_per_shard` has a say in its bytes."""

    samples_per_shard: int = Field(128, ge=1, description="sources in a shard at most")
    max_failures: int | None = Field(
        None, ge=0, description="stop when the finished shards hold more failed sources than this; no limit by default"
    )
    resume: bool = Field(False, description="go on with a set, doing only what no valid record proves done")
    retry_failed: bool = Field(
        False, description="as resume, and try the failed sources of finished shards again; their samples are kept"
    )
    overwrite: bool = Field(False, description="remove the set in the folder first, and nothing else")
    engine: str = Field("local", description="where the work is done, see ENGINES")


@dataclass(frozen=True)
class BuildReport:
    """What the folder holds after a build; shards of an earlier run that were skipped are counted in.

    Attributes:
        num_samples: samples in the set.
        num_written: shards written now.
        num_skipped: shards that an earlier run had finished.
        num_bytes: size of all tars.
        failures: sources without a sample, in the order of the shards.
        flags: quality flag to number of samples.
    """

    num_samples: int
    num_written: int
    num_skipped: int
    num_bytes: int
    failures: tuple[Failure, ...]
    flags: dict[str, int]


def build_shards(
    sources: Sequence[Source],
    make_sample: MakeSample,
    location: Location,
    config: dict[str, Any],
    options: BuildOptions | None = None,
    on_progress: OnProgress = ignore_progress,
    failure_types: tuple[type[Exception], ...] = (),
) -> BuildReport:
    """Makes a sample of every source and leaves a finished set of shards at the location.

    Args:
        sources: what to turn into samples, in any order.
        make_sample: source to sample; picklable by reference if there are workers. They are spawned: a script must call
            this below `if __name__ == "__main__":`.
        location: a folder, created where missing, or a URL such as s3://bucket/folder.
        config: everything the samples depend on besides the sources; stored in the manifest and compared on resume.
            `samples_per_shard` is added to it.
        options: defaults where None.
        on_progress: called in this thread with increments.
        failure_types: exceptions of `make_sample` that mean a bad source, which is recorded; any other ends the run.

    Returns:
        BuildReport over the whole set.

    Raises:
        ShardError: no sources; a folder that cannot be written, is in use, or holds a set and neither `resume` nor
            `overwrite` is given; a resume with another config or other sources; a full disk; workers that die before they do
            anything; more failures than `max_failures`.
        SystemExit: the process got SIGTERM; finished shards are kept and nothing else is left.
    """
    options = options or BuildOptions()
    if (options.resume or options.retry_failed) and options.overwrite:
        raise ShardError("resume keeps what is in the folder, overwrite removes it: choose one of them")
    check_engine(options.engine, options)
    plans = plan_shards(sources, options.samples_per_shard)
    blank = _blank_manifest(sources, config, options.samples_per_shard)
    store = open_store(location)
    with store.claimed(), exit_on_terminate():
        done = _prepare(store, plans, blank, options)
        open_plans = [plan for plan in plans if plan.name not in done]
        limit = _FailureLimit(options.max_failures, len(sources))
        if done:
            on_progress(Progress(num_skipped=sum(record.count + len(record.failures) for record in done.values())))
        limit.count([failure for plan in plans if plan.name in done for failure in done[plan.name].failures])
        if open_plans:
            # A manifest without shards comes first: it tells the config of a run that gets killed.
            write_manifest(store, blank)
            job = ShardJob(make_sample, store, blank.config_hash, failure_types, salvage=options.retry_failed)
            written = ENGINES[options.engine](open_plans, job, options, limit.watching(on_progress))
            done |= {record.name: record for record in written}
        records = [done[plan.name] for plan in plans]
        write_manifest(store, blank.model_copy(update={"shards": tuple(record.entry() for record in records)}))
    return _report(records, len(open_plans))


class _FailureLimit:
    """Counts the failures of finished shards, so that each one counted can be read up in a record."""

    def __init__(self, max_failures: int | None, num_sources: int) -> None:
        self._max_failures = max_failures
        self._num_sources = num_sources
        self._failures: list[Failure] = []

    def count(self, failures: Sequence[Failure]) -> None:
        self._failures += failures
        if self._max_failures is not None and len(self._failures) > self._max_failures:
            raise ShardError(
                f"{len(self._failures):,} of {self._num_sources:,} sources failed so far, more than --max-failures "
                f"{self._max_failures:,}; the first: {self._failures[0].reason}; finished shards are kept"
            )

    def watching(self, on_progress: OnProgress) -> OnProgress:
        def passed_on(progress: Progress) -> None:
            on_progress(progress)
            self.count(progress.failures)

        return passed_on


def _blank_manifest(sources: Sequence[Source], config: dict[str, Any], samples_per_shard: int) -> Manifest:
    """The manifest of a set before its first shard."""
    if config.get("samples_per_shard", samples_per_shard) != samples_per_shard:
        raise ShardError(f"config says samples_per_shard {config['samples_per_shard']}, options {samples_per_shard}")
    # Through JSON and back, so that a config read from a manifest later compares equal (tuples become lists).
    full = json.loads(encode_json({**config, "samples_per_shard": samples_per_shard}))
    names = sorted({source.category for source in sources})
    return Manifest(
        schema_version=SCHEMA_VERSION,
        config=full,
        config_hash=config_hash(full),
        classes={name: index for index, name in enumerate(names)},
        shards=(),
    )


def _prepare(
    store: Store, plans: Sequence[ShardPlan], blank: Manifest, options: BuildOptions
) -> dict[str, ShardRecord]:
    """Makes the store fit for writing; returns the records, by name, of the shards that need not be written."""
    present = set_files(store)
    going_on = options.resume or options.retry_failed
    if present and not (going_on or options.overwrite):
        raise ShardError(
            f"{store.location}: holds {next(iter(present))} of an earlier run; --resume goes on with it, --overwrite removes it"
        )
    if options.overwrite:
        clear_set(store, {plan.name for plan in plans})
        return {}
    remove_unfinished(store)
    if not present:
        return {}
    check_same_job(store, present, plans, blank)
    done = finished_records(store, present, plans, blank.config_hash)
    if options.retry_failed:
        done = {name: record for name, record in done.items() if not record.failures}
    return done


def _report(records: Sequence[ShardRecord], num_written: int) -> BuildReport:
    flags: dict[str, int] = {}
    for record in records:
        for flag, count in record.flags.items():
            flags[flag] = flags.get(flag, 0) + count
    return BuildReport(
        num_samples=sum(record.count for record in records),
        num_written=num_written,
        num_skipped=len(records) - num_written,
        num_bytes=sum(record.bytes for record in records),
        failures=tuple(failure for record in records for failure in record.failures),
        flags=dict(sorted(flags.items())),
    )
