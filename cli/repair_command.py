"""`tap shards repair`: the join of a damaged set with the meshes that it was rendered from."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from cli.bytes_progress import BytesProgress
from cli.progress import RenderProgress
from cli.render_command import drawing, sources_of
from cli.render_job import RenderJob, rig_digest
from cli.verify_command import counted, plain_console, tell
from render import RenderConfig, RenderError, find_meshes
from render.location import as_location
from render.rasterizers import load_rasterizer
from render.rig import Viewpoint, checked_cameras, load_rig
from shards import EngineOptions, Manifest, ShardError, plan_shards
from shards.record import MANIFEST_NAME
from shards.stores.store import Location
from shards.upkeep.remake import Remake
from shards.upkeep.repair import repair_set
from tap.config import validated

_OTHER_SETTINGS = {"layout", "rig_sha256", "samples_per_shard"}
"""What `tap render` stores beside the fields of RenderConfig."""


def repair_shards(
    location: Location, source: str | None, copy: Location | None, threads: int, options: EngineOptions
) -> bool:
    """Repairs a set and prints what was done and what is left to do.

    Args:
        location: folder or URL of the set.
        source: the meshes it was rendered from, as `tap render` takes them; None to do without.
        copy: folder or URL of another copy of the set; None to do without.
        threads: shards that are read side by side.
        options: how damaged shards are rendered again.

    Returns:
        Whether nothing is wrong with the set any more.

    Raises:
        RenderError, ShardError, TapError: see the functions called.
    """
    console = plain_console()
    with ExitStack() as stack:
        progress = stack.enter_context(BytesProgress("repair"))
        remake = functools.partial(_remake, source, options, stack, progress.stop) if source is not None else None
        report = repair_set(location, copy, remake, threads, progress.update)
    for file in report.repaired:
        console.print(f"{file}: repaired" if not file.startswith(".") else f"{file}: removed", style="green")
    for note in report.notes:
        console.print(f"note: {note}")
    first = {finding.file: finding for finding in reversed(report.findings)}
    more = Counter(finding.file for finding in report.findings)
    for file, finding in sorted(first.items()):  # tap shards verify tells them all
        tell(console, finding, f" (and {more[file] - 1:,} more in this file)" if more[file] > 1 else "")
    for line in report.obstacles:
        console.print(line, style="yellow")
    done = f"{counted(len(report.repaired), 'file')} repaired"
    if not report.findings:
        console.print(f"{done}: the set is whole" if report.repaired else "nothing to repair: the set is whole")
        return True
    rebuilt = {finding.file for finding in report.findings} - {MANIFEST_NAME}  # meshes do not tell what a manifest held
    advice = (
        ""
        if source or copy or not rebuilt
        else "; name the meshes with --source, or another copy of the set with --from"
    )
    console.print(f"{done}, {counted(len(report.findings), 'finding')} left{advice}")
    return False


def _remake(
    source: str,
    options: EngineOptions,
    stack: ExitStack,
    before: Callable[[], None],
    manifest: Manifest,
    names: Sequence[str],
) -> Remake:
    """What renders the damaged shards again, as the set's own config has it."""
    config = _render_config(manifest.config)
    load_rasterizer(config.backend)  # tells here, and not in a worker, what is not installed
    rig = load_rig(config.rig)
    cameras = checked_cameras(config.rig, rig, Viewpoint(config.image_size, config.projection, config.seed))
    if rig_digest(cameras) != manifest.config["rig_sha256"]:
        raise RenderError(f"rig {config.rig!r}: its cameras are not those that the set was rendered with")
    listing = find_meshes(as_location(source), manifest.config["layout"])
    plans = plan_shards(sources_of(listing), manifest.config["samples_per_shard"])
    num_sources = sum(len(plan.sources) for plan in plans if plan.name in set(names))
    before()
    console = plain_console()
    console.print(f"{counted(len(names), 'shard')} to render again from {source}, but for the samples that are whole")
    rasterizer = stack.enter_context(drawing(config, console))
    progress = stack.enter_context(RenderProgress(num_sources))
    return Remake(plans, RenderJob(config, rig, rasterizer), (RenderError,), options, on_progress=progress.advance)


def _render_config(config: dict[str, Any]) -> RenderConfig:
    """The settings that a set was rendered with."""
    if not config.keys() >= _OTHER_SETTINGS or "split" in config:
        raise ShardError("this set was not written by `tap render` itself, so no meshes can mend it; use --from COPY")
    settings = {name: value for name, value in config.items() if name not in _OTHER_SETTINGS}
    return validated(RenderConfig, settings, "manifest.json")
