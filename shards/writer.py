"""Writes one shard: samples into a temporary tar, then fsync, rename and the record that says the shard is done."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, TypeAlias

from shards.errors import ShardError
from shards.plan import ShardPlan, Source
from shards.progress import OnProgress, Progress, ignore_progress
from shards.record import Failure, ShardRecord, write_record
from shards.schema import Sample, split_image_name
from shards.storage import storage_error, sync_folder, temporary_path
from shards.tar import TarWriter

MakeSample: TypeAlias = Callable[[Source], Sample]

MAX_REASON_LENGTH = 500
"""Characters kept of a failure's reason; a parser may quote half of the file that it could not read."""


@dataclass(frozen=True)
class ShardJob:
    """All that the writing of any shard of a set needs besides its plan; it is pickled once for each worker.

    Attributes:
        make_sample: turns a source into its sample; picklable by reference, and the same sample for the same source.
        folder: where the shards go; it exists.
        config_hash: stored in each record.
        failure_types: exceptions that mean a bad source. Any other one is a bug and ends the run.
    """

    make_sample: MakeSample
    folder: Path
    config_hash: str
    failure_types: tuple[type[Exception], ...] = ()


def ignore_begin(index: int) -> None:
    """The `on_begin` of a caller who does not look."""


def write_shard(
    plan: ShardPlan,
    job: ShardJob,
    on_progress: OnProgress = ignore_progress,
    known_failures: Mapping[str, str] = MappingProxyType({}),
    on_begin: Callable[[int], None] = ignore_begin,
) -> ShardRecord:
    """Makes the samples of one plan and commits them as `NAME.tar` and `NAME.json`.

    A shard whose every source failed is still written: an empty tar and a record that says why.

    Args:
        plan: the shard's name and sources.
        job: the callable and where to write.
        on_progress: called after each source.
        known_failures: relative path to reason, of sources that are recorded as failed without a try.
        on_begin: called with a source's place in the plan before it is tried.

    Returns:
        The record as written.

    Raises:
        ShardError: the disk is full or cannot be written, or a sample does not keep the contract.
        Exception: whatever `make_sample` raised that is not one of the failure types.

    Whatever is raised, KeyboardInterrupt included, the temporary file is removed.
    """
    path = job.folder / f"{plan.name}.tar"
    temporary = temporary_path(path)
    try:
        with _Sink(temporary) as sink:
            tar = TarWriter(sink)
            failures, flags = _add_samples(plan, job, tar, on_progress, known_failures, on_begin)
            tar.finish()
            sink.sync()
        record = ShardRecord(
            name=plan.name,
            split=plan.split,
            count=tar.num_samples,
            bytes=tar.num_bytes,
            sha256=tar.sha256,
            config_hash=job.config_hash,
            sources_hash=plan.sources_hash,
            failures=tuple(failures),
            flags=dict(sorted(flags.items())),
        )
        _commit(temporary, path, record)
    finally:
        temporary.unlink(missing_ok=True)  # gone already when all went well
    return record


def _add_samples(
    plan: ShardPlan,
    job: ShardJob,
    tar: TarWriter,
    on_progress: OnProgress,
    known_failures: Mapping[str, str],
    on_begin: Callable[[int], None],
) -> tuple[list[Failure], Counter[str]]:
    """Runs the callable over the sources; returns the failures and how often each flag occurred."""
    failures: list[Failure] = []
    flags: Counter[str] = Counter()
    for index, source in enumerate(plan.sources):
        reason = known_failures.get(source.relative)
        if reason is None:
            on_begin(index)
            try:
                sample = job.make_sample(source)
            except job.failure_types as error:
                reason = str(error).strip() or type(error).__name__
        if reason is not None:
            failures.append(Failure(source=source.relative, reason=_one_line(reason, source)))
            on_progress(Progress(num_failures=1))
            continue
        _check_origin(sample, source)
        tar.add(sample)
        flags.update(set(sample.meta["flags"]))
        num_views = sum(name.startswith("view") and split_image_name(name) is not None for name in sample.images)
        on_progress(Progress(num_samples=1, num_views=num_views))
    return failures, flags


def _check_origin(sample: Sample, source: Source) -> None:
    """A callable that answers with another source's sample would corrupt labels without a trace."""
    meta = sample.meta
    got = (sample.key, meta.get("source"), meta.get("category"), meta.get("split"))
    expected = (source.key, source.relative, source.category, source.split)
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


def _commit(temporary: Path, path: Path, record: ShardRecord) -> None:
    """Puts the finished tar under its name, then its record. A record of an earlier try goes first."""
    try:
        path.with_suffix(".json").unlink(missing_ok=True)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    write_record(path.parent, record)


class _Sink:
    """The temporary file, with a failed write told as a ShardError; the callable's own OSErrors stay what they are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO

    def __enter__(self) -> _Sink:
        try:
            self._stream = self._path.open("wb")
        except OSError as error:
            raise storage_error(self._path, error) from error
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        try:
            self._stream.close()
        except OSError as error:
            # On the way out of another exception that one is the news: a full disk also fails the closing flush.
            if exception_type is None:
                raise storage_error(self._path, error) from error

    def write(self, data: bytes, /) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def sync(self) -> None:
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise storage_error(self._path, error) from error
