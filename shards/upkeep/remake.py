"""Damaged shards made again from their sources: only the samples that are damaged, and only to the very bytes of then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shards.codec import PackedSample
from shards.engines.engine import ENGINES
from shards.engines.options import EngineOptions
from shards.errors import ShardError
from shards.plan import ShardPlan, Source
from shards.progress import OnProgress, ignore_progress
from shards.record import Manifest, ShardRecord, read_record
from shards.schema import Sample
from shards.stores.store import Store
from shards.writer import MakeSample, ShardJob


@dataclass(frozen=True)
class Remake:
    """What makes samples again.

    Attributes:
        plans: all shards of the set, as they were planned.
        make_sample: the callable that the set was made with.
        failure_types: its exceptions that mean a bad source.
        options: workers and limits.
        engine: see ENGINES.
        on_progress: called in this thread.
    """

    plans: Sequence[ShardPlan]
    make_sample: MakeSample
    failure_types: tuple[type[Exception], ...] = ()
    options: EngineOptions = field(default_factory=EngineOptions)
    engine: str = "local"
    on_progress: OnProgress = ignore_progress


def make_again(store: Store, manifest: Manifest, names: Sequence[str], remake: Remake) -> tuple[list[str], list[str]]:
    """Writes shards again whose sources are still those of then.

    Args:
        store: of the set.
        manifest: of the set; a tar that is not the one it tells of is not written.
        names: of the shards; the manifest knows each.
        remake: the plans and the callable.

    Returns:
        Names of the shards that were written, and for each other one a line that says why not.

    Raises:
        ShardError: a shard cannot be written.
        Exception: a bug in the callable.
    """
    wanted = {entry.name: entry.sha256 for entry in manifest.shards}
    planned = {plan.name: plan for plan in remake.plans}
    plans, obstacles = [], []
    failures: dict[str, str] = {}
    for name in names:
        plan, record = planned.get(name), whole_record(store, name)
        if plan is None or (record is not None and record.sources_hash != plan.sources_hash):
            obstacles.append(f"{name}: its sources are not those of then: some were added, removed or renamed since")
            continue
        plans.append(plan)
        failures.update({failure.source: failure.reason for failure in record.failures} if record else {})
    job = ShardJob(
        make_sample=_WithKnownFailures(remake.make_sample, failures),
        store=store,
        config_hash=manifest.config_hash,
        failure_types=(*remake.failure_types, _KnownFailureError),
        salvage=True,
        only_as=wanted,
    )
    written = []
    for record in ENGINES[remake.engine](plans, job, remake.options, remake.on_progress) if plans else ():
        if record.sha256 == wanted[record.name]:
            written.append(record.name)
        else:
            obstacles.append(
                f"{record.name}: made again it is another tar than that of then, so the meshes or the renderer have "
                "changed since; it was left as it was"
            )
    return written, obstacles


def whole_record(store: Store, name: str) -> ShardRecord | None:
    """The record of a shard, where it is there and whole."""
    try:
        record = read_record(store, name)
    except ShardError:
        return None
    return record if record.name == name else None


class _KnownFailureError(Exception):
    """The failure that a record tells of."""


@dataclass(frozen=True)
class _WithKnownFailures:
    """The callable, but what failed then fails again without a try: a limit of then may not be reached today."""

    make_sample: MakeSample
    failures: Mapping[str, str]

    def __call__(self, source: Source) -> Sample | PackedSample:
        if source.relative in self.failures:
            raise _KnownFailureError(self.failures[source.relative])
        return self.make_sample(source)
