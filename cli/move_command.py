"""Sets joined, split, written out and taken in: shows how it goes and says what came out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shards import BuildOptions, BuildReport, ShardError, ShardReader
from shards.exchange.export import ExportOptions, ExportReport, export_set
from shards.exchange.importing import find_loose, import_set
from shards.exchange.merge import MergeReport, merge_sets
from shards.exchange.split import SplitRule, read_split_list, split_set
from shards.progress import Progress as ShardProgress

_SHOWN = 5


def merge_folders(sets: Sequence[str], out: str, link: bool, resume: bool) -> MergeReport:
    """Joins sets; the whole of `tap shards merge`. Raises ShardError, see `merge_sets`."""
    with _Bar("merge") as bar:
        report = merge_sets(sets, out, link, resume, bar.show)
    _say(
        f"{report.num_samples:,} samples of {report.num_classes:,} classes in {report.num_shards:,} shards, "
        f"{report.num_bytes / 1e6:,.1f} MB, in {out}"
    )
    if report.num_failures:
        _say(f"{report.num_failures:,} failed sources came along in the records")
    return report


def split_folder(shards: str, out: str, rule: SplitRule, list_file: Path | None, options: BuildOptions) -> BuildReport:
    """Writes a set with other splits; the whole of `tap shards split`. Raises ShardError, see `split_set`."""
    listed = None if list_file is None else read_split_list(list_file)
    with ShardReader(shards) as reader:
        num_failures, total = sum(entry.num_failures for entry in reader.entries), len(reader)
    with _counted("split", total) as count:
        report = split_set(shards, out, rule, listed, options, count)
    _tell(report, out)
    with ShardReader(out) as reader:
        counts: dict[str, int] = {}
        for entry in reader.entries:
            counts[entry.split] = counts.get(entry.split, 0) + entry.count
    _say(", ".join(f"{split} {number:,}" for split, number in sorted(counts.items())))
    if num_failures:
        _say(f"{num_failures:,} failures recorded in {shards} were left behind")
    return report


def export_folder(shards: str, out: Path, split: str | None, options: ExportOptions) -> ExportReport:
    """Writes loose files; the whole of `tap shards export`. Raises ShardError, see `export_set`."""
    with ShardReader(shards, split) as reader, _Bar("export") as bar:
        report = export_set(reader, out, options, bar.show)
    kept = f", {report.num_kept:,} were there already" if report.num_kept else ""
    _say(f"{report.num_written:,} samples written to {out}{kept}")
    return report


def import_folder(folder: Path, out: str, options: BuildOptions) -> BuildReport:
    """Makes shards of loose files; the whole of `tap shards import`. Raises ShardError, see `import_set`."""
    loose = find_loose(folder)
    _say(f"{folder}: {len(loose.sources):,} samples, layout {loose.layout}")
    if loose.passed_over:
        _say(
            f"{len(loose.passed_over):,} folders without a transforms.json passed over, such as {loose.passed_over[0]}"
        )
    with _counted("import", len(loose.sources)) as count:
        report = import_set(loose, out, options, count)
    _tell(report, out)
    if report.failures:
        _say(f"{len(report.failures):,} samples failed; the shards' records list them all:", "red")
        for failure in report.failures[:_SHOWN]:
            _say(f"  {failure.reason}", "red")
    if not report.num_samples:
        raise ShardError(f"{folder}: none of {len(loose.sources):,} samples could be read; the reasons are above")
    return report


class _Bar:
    """A live line of what is done, where there is a terminal."""

    def __init__(self, name: str) -> None:
        console = Console(stderr=True, highlight=False)
        columns = (TextColumn(name), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(name)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Redraws."""
        self._bar.update(self._task, completed=done, total=total)


@contextmanager
def _counted(name: str, total: int) -> Iterator["_Count"]:
    with _Bar(name) as bar:
        yield _Count(bar, total)


class _Count:
    """Sums up the increments of a build."""

    def __init__(self, bar: _Bar, total: int) -> None:
        self._bar, self._total, self._sum = bar, total, ShardProgress()

    def __call__(self, progress: ShardProgress) -> None:
        self._sum = self._sum + progress
        self._bar.show(self._sum.num_samples + self._sum.num_failures + self._sum.num_skipped, self._total)


def _tell(report: BuildReport, out: str) -> None:
    skipped = f" ({report.num_skipped} shards were already done)" if report.num_skipped else ""
    num_shards = report.num_written + report.num_skipped
    _say(
        f"{report.num_samples:,} samples in {num_shards:,} shards, {report.num_bytes / 1e6:,.1f} MB, in {out}{skipped}"
    )


def _say(line: str, style: str | None = None) -> None:
    Console(highlight=False).print(escape(line), style=style, soft_wrap=True)
