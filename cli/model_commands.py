"""The commands about models as a terminal sees them: ablations and photo; the work is done elsewhere."""

import functools
import re
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.options import on_this_machine

_POSE = re.compile(r"-?\d+(\.\d+)?(,-?\d+(\.\d+)?){1,2}")
_CELL = re.compile(r"\d+,\d+")


@reported
def ablations() -> None:
    """List the rows of the paper's ablation tables: what each changes, and the accuracy that was published."""
    from rich.console import Console

    from cli.ablations_command import list_ablations

    list_ablations(Console(highlight=False))


@functools.partial(reported, stopped="stopped; run it again for the rest")
def photo(
    cloud: Annotated[
        Path,
        typer.Argument(
            callback=on_this_machine,
            help="Points (.ply .pcd .xyz .txt .pts .csv .npy), or a mesh (.off .obj .ply .stl .glb .gltf).",
            show_default=False,
        ),
    ],
    run: Annotated[
        Path,
        typer.Option(callback=on_this_machine, help="Run folder of `tap pretrain`.", show_default=False),
    ],
    rig: Annotated[
        str | None,
        typer.Option(
            help="A rig that `tap rigs` lists, a .toml or .json file, or package.module:function."
            "  (default: that of the run's shards, or mvcnn12)",
            show_default=False,
        ),
    ] = None,
    pose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AZIMUTH,ELEVATION[,ROLL]",
            help="One camera in degrees, in place of a rig, e.g. 30,20; may be repeated.",
            show_default=False,
        ),
    ] = None,
    projection: Annotated[
        str | None,
        typer.Option(
            help="parallel or perspective.  (default: that of the run's shards, or parallel)", show_default=False
        ),
    ] = None,
    up: Annotated[str | None, typer.Option(help="Up axis of the file: y or z.  (default: y)")] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw which points some cells of the photos looked at.")
    ] = False,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW,COLUMN",
            help="A cell that --attention draws; may be repeated.  (default: three on the object)",
            show_default=False,
        ),
    ] = None,
    view: Annotated[
        list[int] | None,
        typer.Option(
            metavar="NUMBER",
            help="A view that --attention draws; may be repeated.  (default: four of them)",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of which points are taken, where there are more than the model takes.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=on_this_machine,
            help="Folder for the pictures.  (default: NAME-photo in this folder)",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Take photos of CLOUD with a pre-trained model: what it draws from any pose.

    Points are centred and scaled to the unit sphere, as meshes are. Of a mesh the true views stand below the generated ones,
    and the error is told. The model takes as many points as it was trained on: a random subset, or each more than once.
    """
    from cli.photo_command import PhotoOptions, photo_run

    if rig is not None and pose:
        raise typer.BadParameter("goes in the place of --rig; leave one of them out", param_hint="--pose")
    if (cell or view) and not attention:
        raise typer.BadParameter("is of --attention, which is not asked for", param_hint="--cell" if cell else "--view")
    places = [_numbers(text, _CELL, "--cell", "ROW,COLUMN") for text in cell or []]
    options = PhotoOptions(
        rig=rig,
        poses=[_numbers(text, _POSE, "--pose", "AZIMUTH,ELEVATION or AZIMUTH,ELEVATION,ROLL") for text in pose or []],
        projection=projection,
        up=up,
        attention=attention,
        cells=[(int(row), int(column)) for row, column in places],
        views=view or (),
        seed=seed,
    )
    photo_run(cloud, run, out, options)


def _numbers(text: str, form: re.Pattern[str], option: str, told: str) -> tuple[float, ...]:
    """The numbers between commas; wrong usage where they are not of the form."""
    if not form.fullmatch(text.replace(" ", "")):
        raise typer.BadParameter(f"{text!r} is not {told}", param_hint=option)
    return tuple(float(number) for number in text.split(","))
