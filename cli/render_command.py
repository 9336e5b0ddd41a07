"""`tap render`: find meshes, render them into shards, show how it goes, say what came out."""

import pickle
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.markup import escape

from cli.progress import RenderProgress
from cli.render_job import RenderJob, rig_digest
from render import RenderConfig, RenderError, find_meshes
from render.rasterizers import load_rasterizer
from render.rig import Rig, Viewpoint, checked_cameras, load_rig
from render.sources import Listing
from shards import BuildOptions, BuildReport, Failure, Source, build_shards, unique_keys
from tap.config import configured, validated

_SHOWN_FAILURES = 5


class RenderSettings(RenderConfig):
    """What --set and --config may change: the render, and how many samples go into a shard."""

    samples_per_shard: int = Field(128, ge=1, description="meshes in a shard at most")


def render_folder(
    src: Path,
    out: Path,
    *,
    layout: str,
    given: dict[str, Any],
    config_file: Path | None,
    overrides: list[str],
    workers: int,
    resume: bool,
    overwrite: bool,
) -> BuildReport:
    """Render every mesh below ``src`` into shards in ``out``; the whole of `tap render`.

    Args:
        src: folder of meshes.
        out: folder of shards.
        layout: one of `render.sources.LAYOUTS`.
        given: settings from options of their own, which win over file and overrides.
        config_file: TOML settings, or None.
        overrides: ``key=value`` settings.
        workers: processes.
        resume: go on with a stopped render.
        overwrite: replace what ``out`` holds.

    Raises:
        RenderError, ShardError, TapError: see the functions called.
    """
    console = Console(highlight=False)
    settings = _settings(given, config_file, overrides)
    config = RenderConfig(**settings.model_dump(exclude={"samples_per_shard"}))
    load_rasterizer(config.backend)  # a wrong name, or a rig that fails, ends the run here and not in a worker
    rig = load_rig(config.rig)
    cameras = checked_cameras(config.rig, rig, Viewpoint(config.image_size, config.projection, config.seed))
    _check_picklable(config.rig, rig, workers)
    listing = find_meshes(src, layout)  # type: ignore[arg-type]  # find_meshes refuses what is no layout
    console.print(escape(listing.describe()), soft_wrap=True)
    console.print(
        f"rig {escape(config.rig)}, {cameras.num_views} views of {config.image_size} px, {config.projection}; "
        f"{config.num_points:,} points; up {config.up}; backend {config.backend}; {workers} worker(s)",
        soft_wrap=True,
    )
    options = BuildOptions(
        samples_per_shard=settings.samples_per_shard, num_workers=workers, resume=resume, overwrite=overwrite
    )
    stored = config.model_dump() | {"layout": listing.layout, "rig_sha256": rig_digest(cameras)}
    with RenderProgress(len(listing.sources)) as progress:
        report = build_shards(
            _sources(listing), RenderJob(config, rig), out, stored, options, progress.advance, (RenderError,)
        )
    _tell(console, report, out)
    if not report.num_samples:
        raise RenderError(f"{src}: none of {len(listing.sources):,} meshes could be rendered; the reasons are above")
    return report


def _settings(given: dict[str, Any], config_file: Path | None, overrides: list[str]) -> RenderSettings:
    settings = configured(RenderSettings(), config_file, overrides)
    for name, value in given.items():  # one by one, so that an error names the option that was typed
        settings = validated(RenderSettings, settings.model_dump() | {name: value}, f"--{name}")
    return settings


def _check_picklable(spec: str, rig: Rig, workers: int) -> None:
    if workers > 1:
        try:
            pickle.dumps(rig)
        except Exception as error:  # objects refuse to be pickled in many ways
            raise RenderError(
                f"rig {spec!r}: cannot be sent to worker processes ({error}); make it a function of a module, "
                "or use --workers 1"
            ) from error


def _sources(listing: Listing) -> list[Source]:
    keys = unique_keys([source.relative for source in listing.sources])
    return [
        Source(source.path, source.relative, source.category, source.split, key)
        for source, key in zip(listing.sources, keys, strict=True)
    ]


def _tell(console: Console, report: BuildReport, out: Path) -> None:
    skipped = f" ({report.num_skipped} shards were already done)" if report.num_skipped else ""
    console.print(
        f"{report.num_samples:,} samples in {report.num_written + report.num_skipped} shards, "
        f"{report.num_bytes / 1e6:,.1f} MB, in {escape(str(out))}{skipped}",
        soft_wrap=True,
    )
    for flag, count in report.flags.items():
        console.print(f"flagged {flag}: {count:,}", style="yellow", soft_wrap=True)
    if report.failures:
        _tell_failures(console, report.failures)


def _tell_failures(console: Console, failures: tuple[Failure, ...]) -> None:
    console.print(f"{len(failures):,} meshes failed; the shards' records list them all:", style="red", soft_wrap=True)
    for failure in failures[:_SHOWN_FAILURES]:
        console.print(f"  {escape(failure.reason)}", style="red", soft_wrap=True)
    if len(failures) > _SHOWN_FAILURES:
        console.print(f"  ... and {len(failures) - _SHOWN_FAILURES:,} more", style="red")
