"""Options and arguments that several commands share."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*)")
"""A URL once it became a path: `Path` makes one slash of two."""


def on_this_machine(path: Path | None) -> Path | None:
    """The path itself, or the one that file:///... means; wrong usage where it was the URL of another machine.

    As a path, s3://bucket/x would be a folder `s3:` of this machine.
    """
    match = _URL.fullmatch(str(path))
    if match is None or path is None:
        return path
    if match[1].lower() in ("file", "local"):
        return Path(match[2])
    raise typer.BadParameter(f"{match[1]}:/{match[2]} is a URL; this has to be on this machine")


def _settings(example: str, which: str = "any setting") -> Any:
    """The option --set with an example that the command knows."""
    return typer.Option("--set", metavar="KEY=VALUE", help=f"Change {which}, e.g. --set {example}; may be repeated.")


Set = Annotated[list[str] | None, _settings("train.epochs=3")]
RenderSet = Annotated[list[str] | None, _settings("image_size=112")]
ImportSet = Annotated[
    list[str] | None, _settings("backbone.settings.num_groups=128", "what shapes of tensors do not tell")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings; --set and other options win.", metavar="FILE")
]
Shards = Annotated[
    str, typer.Argument(help="Folder of shards, as `tap render` writes it, or its URL (s3://...).", show_default=False)
]
LabelledSet = Annotated[
    str,
    typer.Argument(
        metavar="SET",
        help="Shards, as `tap render` writes them (folder or URL), or a public data set.",
        show_default=False,
    ),
]
RunFolder = Annotated[
    Path,
    typer.Option(callback=on_this_machine, help="Run folder: config, logs, checkpoints, result.", show_default=False),
]
Init = Annotated[
    Path | None,
    typer.Option(
        callback=on_this_machine,
        help="Run of `tap pretrain`, or folder of `tap export` or `tap import-weights`; without it, from scratch.",
        show_default=False,
    ),
]
Select = Annotated[
    Literal["validation", "test"] | None,
    typer.Option(help="What chooses the checkpoint; test as the authors did, which is optimistic."),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Run so many seeds, each in a folder of its own; tells mean ± std.")
]
Preset = Annotated[
    str,
    typer.Option(
        help="SIZE/BACKBONE: small (a CPU), paper or reference (a GPU); pointnet2, dgcnn, pointmlp, pointmlp_elite or "
        "transformer."
    ),
]
Devices = Annotated[
    int | None, typer.Option(min=1, help="Devices, one process each; torchrun does the same.  (default: 1)")
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the model with torch.compile.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")]


def finite(limit: float | None) -> float | None:
    """The limit itself; wrong usage where it is infinite."""
    if limit is not None and math.isinf(limit):
        raise typer.BadParameter("is not finite; 0 means no limit")
    return limit
