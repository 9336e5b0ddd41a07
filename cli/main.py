"""The `tap` command: names the stages and hands over. Each command's work is a plain function in another file."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported

app = typer.Typer(
    name="tap",
    help="Meshes to posed views to shards to a pre-trained point cloud backbone (Take-A-Photo, ICCV 2023).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
finetune = typer.Typer(help="Fine-tune a backbone on a task.", no_args_is_help=True)
app.add_typer(finetune, name="finetune")

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any setting, e.g. --set train.epochs=3; may be repeated."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings; --set and other options win.", metavar="FILE")
]
Shards = Annotated[Path, typer.Argument(help="Folder of shards, as `tap render` writes it.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")]


@app.command(epilog="Example: tap render ModelNet40/ --out shards --up z --workers 8")
@reported
def render(
    src: Annotated[Path, typer.Argument(help="Folder of meshes (.off .obj .ply .stl .glb).", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the shards.", show_default=False)],
    layout: Annotated[
        str, typer.Option(help="auto, modelnet (<class>/<split>/<name>), class (<class>/<name>), or flat.")
    ] = "auto",
    up: Annotated[str | None, typer.Option(help="Up axis of the files: y or z.  (default: y)")] = None,
    normalize: Annotated[
        str | None, typer.Option(help="sphere (unit sphere about the centroid) or none.  (default: sphere)")
    ] = None,
    rig: Annotated[
        str | None,
        typer.Option(help="mvcnn12, a .toml or .json file, or package.module:function.  (default: mvcnn12)"),
    ] = None,
    projection: Annotated[str | None, typer.Option(help="parallel or perspective.  (default: parallel)")] = None,
    antialias: Annotated[bool, typer.Option("--antialias", help="Average the grey of 9 samples a pixel.")] = False,
    backend: Annotated[str | None, typer.Option(help="cpu, open3d or pytorch3d.  (default: cpu)")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each takes whole shards.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do only what no valid record proves done; failed meshes count as done.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards in --out.")] = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Render posed views of every mesh below SRC into webdataset shards.

    Each sample holds its views, surface points with normals, and camera matrices. A mesh that cannot be rendered is recorded
    with its reason and the run goes on. The bytes do not depend on --workers. To try failed meshes again, or after meshes
    changed, use --overwrite.

    Further settings for --set: image_size=224, num_points=8192, seed=0, samples_per_shard=128, shade.ambient, shade.diffuse.
    """
    from cli.render_command import render_folder

    options = {
        "up": up, "normalize": normalize, "rig": rig, "projection": projection, "backend": backend,
        "antialias": antialias or None,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    render_folder(
        src, out, layout=layout, given=given, config_file=config, overrides=settings or [],
        workers=workers, resume=resume, overwrite=overwrite,
    )  # fmt: skip


@app.command(epilog="Example: tap pretrain shards --out runs/tap --set train.epochs=100")
@reported
def pretrain(
    shards: Shards,
    out: Annotated[Path, typer.Option(help="Run folder: config, logs, pictures, checkpoints.", show_default=False)],
    preset: Annotated[
        str, typer.Option(help="small/transformer (a CPU), paper/transformer or reference/transformer (a GPU).")
    ] = "small/transformer",
    resume: Resume = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Pre-train a backbone by making it draw each object from an instructed pose.

    Reports the test loss over that of the weighted mean image of each view (ratio: below 1 means it learned more than the
    mean) and the view dependence (0: the same picture from everywhere, 1: as the true views).
    """
    from cli.train_command import pretrain_run

    pretrain_run(shards, out, preset, config, settings or [], resume)


@finetune.command(epilog="Example: tap finetune classification shards --init runs/tap --out runs/classify")
@reported
def classification(
    shards: Shards,
    out: Annotated[Path, typer.Option(help="Run folder: config, logs, checkpoints, result.", show_default=False)],
    init: Annotated[
        Path | None, typer.Option(help="Run folder of `tap pretrain`; without it, from scratch.", show_default=False)
    ] = None,
    preset: Annotated[
        str, typer.Option(help="small/transformer, paper/transformer or reference/transformer.")
    ] = "small/transformer",
    resume: Resume = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Fine-tune a classifier on labelled shards.

    Validation is cut from train and chooses the checkpoint; test is read once, at the end.
    """
    from cli.train_command import classification_run

    classification_run(shards, out, init, preset, config, settings or [], resume)


@app.command(epilog="Example: tap demo --out demo")
@functools.partial(reported, stopped="stopped; the demo starts over when it is run again")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that the demo makes.")] = Path("demo"),
    workers: Annotated[int, typer.Option(min=1, help="Processes to render with.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="A minute's version, to see that everything runs.")] = False,
) -> None:
    """The whole job on meshes that it makes itself: render, pre-train, fine-tune with and without, compare."""
    from cli.demo_command import run_demo

    run_demo(out, workers, quick)


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C."""
    app()


if __name__ == "__main__":
    main()
