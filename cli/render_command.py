"""`tap render`: find meshes, render them into shards, show how it goes, say what came out."""

import functools
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.markup import escape

from cli.dry_run import dry_run
from cli.progress import RenderProgress
from cli.render_job import RenderJob, rig_digest
from cli.show_command import QUALITY
from render import RenderConfig, RenderError, find_meshes
from render.backends.draw_server import DrawServer
from render.finding.listing import Listing
from render.fragments import Rasterizer
from render.location import as_location
from render.rasterizers import draws_on_gpu, load_batch_drawing, load_rasterizer, resolve_backend
from render.rig import Rig, Viewpoint, checked_cameras, load_rig
from shards import BuildOptions, BuildReport, Failure, Source, build_shards, unique_keys
from shards.engines.engine import check_engine
from shards.pages.quality import quality_page
from shards.stores.store import Location, joined
from tap.config import configured, validated

GPU_SHARE = 0.25
"""Of a GPU, for each worker of the engine ray if a GPU draws: a draw server cannot be reached from another machine, so each
worker holds the library's own memory there, and four of them keep a GPU busy. The machine that leads the run must have one."""

_SHOWN_FAILURES = 5


class RenderSettings(RenderConfig):
    """What --set and --config may change: the render, and how many samples go into a shard."""

    samples_per_shard: int = Field(128, ge=1, description="meshes in a shard at most")


def render_folder(
    src: str | Path,
    out: Location | None,
    *,
    layout: str,
    given: dict[str, Any],
    config_file: Path | None,
    overrides: list[str],
    options: BuildOptions,
    try_only: bool = False,
) -> BuildReport | None:
    """Render every mesh below ``src`` into shards in ``out``; the whole of `tap render`.

    Args:
        src: folder of meshes, or a manifest; or the URL of either.
        out: folder of shards, or its URL; None with ``try_only`` alone.
        layout: one of `render.sources.LAYOUTS`.
        given: settings from options of their own, which win over file and overrides.
        config_file: TOML settings, or None.
        overrides: ``key=value`` settings.
        options: how the shards are built; ``samples_per_shard`` comes from the settings.
        try_only: tell what would be done and about what it would take, and write nothing.

    Returns:
        What the folder holds; None with ``try_only``.

    Raises:
        RenderError, ShardError, TapError: see the functions called.
    """
    console = Console(highlight=False)
    check_engine(options.engine, options)
    place = as_location(src)
    settings = _settings(given, config_file, overrides)
    asked = RenderConfig(**settings.model_dump(exclude={"samples_per_shard"}))
    config = asked.model_copy(update={"backend": resolve_backend(asked.backend)})
    if config.backend != "cpu":  # which is always there, and whose compiler only workers need
        load_rasterizer(config.backend)  # a wrong name, or a rig that fails, ends the run here and not in a worker
    rig = load_rig(config.rig)
    cameras = checked_cameras(config.rig, rig, Viewpoint(config.image_size, config.projection, config.seed))
    if options.num_workers != 0:
        _check_picklable(config.rig, rig)
    listing = find_meshes(place, layout)  # type: ignore[arg-type]  # find_meshes refuses what is no layout
    console.print(escape(listing.describe()), soft_wrap=True)
    console.print(_plan_line(config, asked.backend, cameras.num_views, _workers(options)), soft_wrap=True)
    sources = sources_of(listing)
    if try_only or out is None:
        num_workers = 1 if options.num_workers is None else options.num_workers
        dry_run(listing, sources, RenderJob(config, rig), settings.samples_per_shard, num_workers)
        return None
    is_spread = options.engine == "ray" and options.num_workers != 0
    gpu_share = GPU_SHARE if is_spread and draws_on_gpu(config.backend) else 0.0
    options = options.model_copy(update={"samples_per_shard": settings.samples_per_shard, "gpus_per_worker": gpu_share})
    stored = config.model_dump() | {"layout": listing.layout, "rig_sha256": rig_digest(cameras)}
    with (
        nullcontext() if is_spread else drawing(config, console) as rasterizer,
        RenderProgress(len(sources)) as progress,
    ):
        job = RenderJob(config, rig, rasterizer)
        report = build_shards(sources, job, out, stored, options, progress.advance, (RenderError,))
    _tell(console, report, out, quality_page(out, joined(out, QUALITY)))
    if not report.num_samples:
        raise RenderError(f"{place}: none of {len(sources):,} meshes could be rendered; the reasons are above")
    return report


@contextmanager
def drawing(config: RenderConfig, console: Console) -> Iterator[Rasterizer | None]:
    """A draw server where a GPU draws, so that the workers share it; None where each worker draws for itself."""
    if not draws_on_gpu(config.backend):
        yield None
        return
    with DrawServer(functools.partial(load_batch_drawing, config.backend)) as server:
        yield server.rasterizer
    told = server.statistics
    console.print(
        f"the GPU drew {told.num_meshes:,} meshes in batches of {told.mean_batch:.1f}, and idled for "
        f"{told.idle_share:.0%} of the time"
    )


def _plan_line(config: RenderConfig, asked_backend: str, num_views: int, workers: str) -> str:
    backend = config.backend if asked_backend == config.backend else f"{config.backend} (chosen by {asked_backend})"
    channels = f" + {', '.join(config.channels)}" if config.channels else ""
    return escape(
        f"rig {config.rig}, {num_views} views of {config.image_size} px, {config.projection}; "
        f"{config.shade.appearance}{channels}; {config.num_points:,} points ({config.points}); up {config.up}; "
        f"backend {backend}; {workers}"
    )


def _workers(options: BuildOptions) -> str:
    if options.engine == "ray" and options.num_workers != 0:
        number = "a worker for each CPU" if options.num_workers is None else f"{options.num_workers} worker(s)"
        return f"{number}, by Ray"
    return f"{1 if options.num_workers is None else options.num_workers} worker(s)"


def _settings(given: dict[str, Any], config_file: Path | None, overrides: list[str]) -> RenderSettings:
    # Options win, so they come last; and first, since a setting may be right only with them (a background with a material).
    return _with_options(configured(_with_options(RenderSettings(), given), config_file, overrides), given)


def _with_options(settings: RenderSettings, given: dict[str, Any]) -> RenderSettings:
    for name, value in given.items():  # one by one, so that an error names the option that was typed
        content = settings.model_dump()
        *path, last = name.split(".")
        functools.reduce(lambda node, part: node[part], path, content)[last] = value
        settings = validated(RenderSettings, content, f"--{last}")
    return settings


def _check_picklable(spec: str, rig: Rig) -> None:
    try:
        pickle.dumps(rig)
    except Exception as error:  # objects refuse to be pickled in many ways
        raise RenderError(
            f"rig {spec!r}: cannot be sent to worker processes ({error}); make it a function of a module, "
            "or use --workers 0"
        ) from error


def sources_of(listing: Listing) -> list[Source]:
    """The meshes of a listing as the shards know them."""
    keys = unique_keys([source.relative for source in listing.sources])
    return [
        Source(source.path, source.relative, source.category, source.split, key, source.part_labels)
        for source, key in zip(listing.sources, keys, strict=True)
    ]


def _tell(console: Console, report: BuildReport, out: Location, page: str) -> None:
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
    if report.flags or report.failures:
        console.print(f"to look at them: {escape(page)}", soft_wrap=True)


def _tell_failures(console: Console, failures: tuple[Failure, ...]) -> None:
    console.print(f"{len(failures):,} meshes failed; the shards' records list them all:", style="red", soft_wrap=True)
    for failure in failures[:_SHOWN_FAILURES]:
        console.print(f"  {escape(failure.reason)}", style="red", soft_wrap=True)
    if len(failures) > _SHOWN_FAILURES:
        console.print(f"  ... and {len(failures) - _SHOWN_FAILURES:,} more", style="red")
