"""Options and arguments that several commands share."""

import math
from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any setting, e.g. --set train.epochs=3; may be repeated."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings; --set and other options win.", metavar="FILE")
]
Shards = Annotated[
    str, typer.Argument(help="Folder of shards, as `tap render` writes it, or its URL (s3://...).", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")]


def finite(limit: float | None) -> float | None:
    """The limit itself; wrong usage where it is infinite."""
    if limit is not None and math.isinf(limit):
        raise typer.BadParameter("is not finite; 0 means no limit")
    return limit
