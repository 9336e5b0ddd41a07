"""`tap render --dry-run`: classes and splits, and time, size and memory by trying a few meshes; writes nothing."""

import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.estimate import Estimate, Probe, parallel_seconds, probe_places, total_bytes, total_seconds
from render.errors import RenderError
from render.finding.layouts import SPLITS
from render.finding.listing import Listing
from render.location import as_location, file_sizes
from shards import Sample, Source, pack_sample, plan_shards
from shards.tar import TarWriter

_SHOWN_CLASSES = 30
_TRY_SECONDS, _MAX_ROUNDS = 4.0, 10


def dry_run(
    listing: Listing,
    sources: Sequence[Source],
    make_sample: Callable[[Source], Sample],
    samples_per_shard: int,
    workers: int,
) -> None:
    """Print what a render would do and about what it would take. No file is made or changed.

    Up to 8 meshes, spread evenly over the files sorted by size, are rendered and encoded in this process.

    Args:
        listing: the meshes, for the table.
        sources: the same meshes, as the shards know them.
        make_sample: what the render would call on each.
        samples_per_shard: samples in a shard at most.
        workers: processes of the render.

    Raises:
        RenderError: no file exists, or none of the meshes tried can be rendered.
        ShardError: names that cannot be stored, or a sample that breaks the contract.
    """
    console = Console(highlight=False)
    console.print(class_table(listing))
    num_shards = len(plan_shards(sources, samples_per_shard))
    present, sizes = _present(sources, listing)
    places = probe_places(sizes)
    probes, reasons = _try_each(make_sample, [present[place] for place in places], [sizes[place] for place in places])
    _tell(console, f"tried {len(places)} of {len(sources):,} meshes, by size of file; {len(reasons)} failed")
    for reason in reasons:
        console.print(f"  {escape(reason)}", style="red", soft_wrap=True)
    if len(present) < len(sources):
        _tell(console, f"{len(sources) - len(present):,} files do not exist or cannot be seen, and will fail", "yellow")
    if not probes:
        raise RenderError(f"none of the {len(places)} meshes tried could be rendered; the reasons are above")
    _tell_time(console, total_seconds(probes, sizes), workers, num_shards, len(sizes))
    # The share that failed among the probes will fail among all; what fails costs no bytes.
    size = total_bytes(probes, len(present)) * (len(probes) / len(places))
    mean = sum(probe.sample_bytes for probe in probes) / len(probes)
    _tell(console, f"size: about {_range(size, format_bytes)}, {format_bytes(mean)} a mesh, in {num_shards:,} shards")
    _tell_memory(console, present, sizes, probes)
    _tell(console, "nothing was written")


def class_table(listing: Listing) -> Table:
    """Meshes by class and split; classes past the 30th by name share one row."""
    counts = Counter((source.category, source.split) for source in listing.sources)
    splits = [split for split in SPLITS if any(split == other for _, other in counts)]
    classes = sorted({category for category, _ in counts})
    table = Table()
    table.add_column("class", overflow="fold")
    for title in (*splits, "all"):
        table.add_column(title, justify="right")

    def add(title: str, members: Sequence[str]) -> None:
        numbers = [sum(counts[category, split] for category in members) for split in splits]
        table.add_row(escape(title), *(f"{number:,}" for number in (*numbers, sum(numbers))))

    for category in classes[:_SHOWN_CLASSES]:
        add(category, [category])
    if len(classes) > _SHOWN_CLASSES:
        add(f"... and {len(classes) - _SHOWN_CLASSES:,} more", classes[_SHOWN_CLASSES:])
    if len(classes) > 1:
        table.add_section()
        add(f"all {len(classes):,}", classes)
    return table


def _present(sources: Sequence[Source], listing: Listing) -> tuple[list[Source], list[int]]:
    """The sources whose files can be seen, and the files' sizes in bytes."""
    known = [source.num_bytes for source in listing.sources]
    # What cannot be seen is counted by the caller; the render records it with its reason.
    asked = known if None not in known else file_sizes([source.path for source in sources])
    seen = [(source, size) for source, size in zip(sources, asked, strict=True) if size is not None]
    if not seen:
        raise RenderError(f"none of {len(sources):,} files can be seen, such as {as_location(sources[0].path)}")
    return [source for source, _ in seen], [size for _, size in seen]


def _try_each(
    make_sample: Callable[[Source], Sample], sources: Sequence[Source], sizes: Sequence[int]
) -> tuple[list[Probe], list[str]]:
    """A probe for each source that renders, a reason for each that does not."""
    first: dict[int, tuple[float, int]] = {}
    reasons = []
    for place, source in enumerate(sources):
        try:
            if not first:
                _timed(make_sample, source)  # the first mesh also loads libraries and compiles: nothing in a long run
            first[place] = _timed(make_sample, source)
        except RenderError as error:
            reasons.append(" ".join(str(error).replace(source.path, source.relative).split()))
    seconds = {place: [once] for place, (once, _) in first.items()}
    # Around in turns, so that a moment in which the machine was busy with something else touches them all alike.
    num_rounds = min(int(_TRY_SECONDS / max(sum(once for once, _ in first.values()), 1e-9)), _MAX_ROUNDS)
    for _ in range(num_rounds):
        for place in first:
            seconds[place].append(_timed(make_sample, sources[place])[0])
    return [
        Probe(sizes[place], sum(seconds[place]) / len(seconds[place]), num_bytes)
        for place, (_, num_bytes) in first.items()
    ], reasons


def _timed(make_sample: Callable[[Source], Sample], source: Source) -> tuple[float, int]:
    """Seconds to make and encode a sample, and the bytes that it fills in a shard."""
    tar = TarWriter(_Nowhere())
    began_at = time.perf_counter()
    tar.add(pack_sample(make_sample(source)))
    return time.perf_counter() - began_at, tar.num_bytes


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes, /) -> None:
        """Take the bytes and forget them."""


def _tell_time(console: Console, one: Estimate, workers: int, num_shards: int, num_files: int) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    seconds = parallel_seconds(one, workers, cores, num_shards)
    limits = f" on {cores} core(s)" if workers > cores else ""
    _tell(
        console,
        f"time: about {_range(seconds, format_seconds)} with {workers} worker(s){limits}, "
        f"{one.middle / num_files * 1000:,.0f} ms a mesh and worker, after a few seconds to start",
    )


def _tell_memory(console: Console, sources: Sequence[Source], sizes: Sequence[int], probes: Sequence[Probe]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    largest = max(range(len(sizes)), key=lambda place: sizes[place])
    tried = max(probe.file_bytes for probe in probes)
    _tell(
        console,
        f"memory: {format_bytes(peak)} a worker at its peak, for files up to {format_bytes(tried)}; "
        f"the largest has {format_bytes(sizes[largest])} ({sources[largest].relative})",
    )


def _tell(console: Console, line: str, style: str | None = None) -> None:
    console.print(escape(line), style=style, soft_wrap=True)


def _range(estimate: Estimate, form: Callable[[float], str]) -> str:
    return f"{form(estimate.middle)} ({form(estimate.low)} to {form(estimate.high)})"


def format_seconds(seconds: float) -> str:
    """The span in the unit that suits it: ``4.2 s``, ``12 min``, ``5.3 h``, ``2.1 days``."""
    for below, unit, name in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if seconds < below:
            return f"{_short(seconds / unit)} {name}"
    return f"{_short(seconds / 86400.0)} days"


def format_bytes(num_bytes: float) -> str:
    """The size in the unit that suits it, in powers of 1,000: ``12 kB``, ``314 MB``, ``4.1 TB``."""
    value = float(num_bytes)
    for name in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{_short(value)} {name}"
        value /= 1000
    return f"{_short(value)} TB"


def _short(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:,.0f}"
