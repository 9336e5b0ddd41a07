"""`tap shards`: what is done with sets that are there already, as a terminal sees it; the work is done elsewhere."""

import functools
from typing import Annotated

import typer

from cli.errors import FAILED, reported
from cli.options import Shards, finite
from cli.shards_move_commands import register

shards_app = typer.Typer(help="Look after sets of shards: what is in them, are they whole.", no_args_is_help=True)

Threads = Annotated[int, typer.Option(min=1, help="Shards that are read side by side.")]


@shards_app.command(epilog="Example: tap shards info shards")
@functools.partial(reported, stopped="stopped")
def info(
    shards: Shards,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what a set holds: splits, classes, sizes, flags, failures, settings. Tars are not opened."""
    from cli.info_command import show_info

    show_info(shards, as_json)


@shards_app.command(epilog="Example: tap shards verify s3://bucket/shards --threads 8")
@functools.partial(reported, stopped="stopped")
def verify(shards: Shards, threads: Threads = 4) -> None:
    """Read a whole set and name every member that is truncated, changed, missing, foreign or doubled.

    One line each, and exit code 1; one line that all is well, and 0. Nothing is written.
    """
    from cli.verify_command import verify_shards

    if not verify_shards(shards, threads):
        raise typer.Exit(FAILED)


@shards_app.command(epilog="Example: tap shards repair shards --source ModelNet40/ --workers 8")
@functools.partial(reported, stopped="stopped; run it again for the rest")
def repair(
    shards: Shards,
    source: Annotated[
        str | None,
        typer.Option(help="The meshes that the set was rendered from, as for `tap render`.", show_default=False),
    ] = None,
    copy: Annotated[
        str | None,
        typer.Option("--from", metavar="COPY", help="Another copy of the set, folder or URL.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that render. 0: this one.")] = 1,
    time_limit: Annotated[
        float, typer.Option(min=0, callback=finite, help="Seconds a mesh may take; with workers. 0: no limit.")
    ] = 600,
    memory_limit: Annotated[
        float, typer.Option(min=0, callback=finite, help="GB a worker may take; with workers. 0: no limit.")
    ] = 0,
    threads: Threads = 4,
) -> None:
    """Make a damaged set whole again, writing only what is damaged.

    Lost indexes and records follow from whole tars. What is lost in a tar comes from a copy, or is rendered again: only the
    damaged samples, and only if the tar then is byte for byte the one of the manifest. Sets made before version 1.2 get
    their indexes. Exit code 0 if the set is whole afterwards, else 1, with a line for each thing left.
    """
    from cli.repair_command import repair_shards
    from shards import EngineOptions

    options = EngineOptions(
        num_workers=workers,
        time_limit=(time_limit or None) if workers else None,
        memory_limit=(memory_limit or None) if workers else None,
    )
    if not repair_shards(shards, source, copy, threads, options):
        raise typer.Exit(FAILED)


register(shards_app)
