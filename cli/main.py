"""The `tap` command: names the stages and hands over. Each command's work is a plain function in another file."""

import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.options import Config, Resume, Set, Shards, on_this_machine
from cli.shards_commands import shards_app
from cli.stage_commands import render, rigs, show

app = typer.Typer(
    name="tap",
    help="Meshes to posed views to shards to a pre-trained point cloud backbone (Take-A-Photo, ICCV 2023).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
finetune = typer.Typer(help="Fine-tune a backbone on a task.", no_args_is_help=True)
app.add_typer(finetune, name="finetune")
app.command(epilog="Example: tap render ModelNet40/ --out shards --up z --workers 8")(render)
app.command(epilog="Example: tap rigs mvcnn80 --projection perspective --out rig.png")(rigs)
app.command(epilog="Example: tap show shards --out look")(show)
app.add_typer(shards_app, name="shards")


@app.command(epilog="Example: tap pretrain shards --out runs/tap --set train.epochs=100")
@reported
def pretrain(
    shards: Shards,
    out: Annotated[
        Path,
        typer.Option(
            callback=on_this_machine, help="Run folder: config, logs, pictures, checkpoints.", show_default=False
        ),
    ],
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
    out: Annotated[
        Path,
        typer.Option(
            callback=on_this_machine, help="Run folder: config, logs, checkpoints, result.", show_default=False
        ),
    ],
    init: Annotated[
        Path | None,
        typer.Option(
            callback=on_this_machine, help="Run folder of `tap pretrain`; without it, from scratch.", show_default=False
        ),
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
    sys.path.append(str(Path.cwd()))  # a rig or backend of one's own lies beside the command, as `python -m` has it
    app()


if __name__ == "__main__":
    main()
