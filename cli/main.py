"""The `tap` command: names the stages and hands over. Each command's work is a plain function in another file."""

import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.finetune_commands import classification, fewshot
from cli.model_commands import ablations, photo
from cli.options import Compile, Config, Devices, Preset, Resume, Set, Shards, on_this_machine
from cli.partseg_commands import partseg
from cli.probe_commands import embed, probe
from cli.shards_commands import shards_app
from cli.stage_commands import render, rigs, show
from cli.use_commands import compare, evaluate, predict, reproduce
from cli.weights_commands import export, import_weights

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
    preset: Preset = "small/transformer",
    ablation: Annotated[
        str | None, typer.Option(help="A row of the paper's tables, as `tap ablations` lists them.", show_default=False)
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="What is drawn: rgb,depth,normal,mask or some of them.  (default: rgb)")
    ] = None,
    devices: Devices = None,
    compile_model: Compile = False,
    resume: Resume = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Pre-train a backbone by making it draw each object from an instructed pose.

    Reports the test loss over that of the weighted mean image of each view (ratio: below 1 means it learned more than the
    mean) and the view dependence (0: the same picture from everywhere, 1: as the true views).

    A backbone of your own: --set model.backbone.name=package.module:Name.
    """
    from cli.train_command import pretrain_run

    pretrain_run(
        shards, out, preset, config, settings or [], resume,
        ablation=ablation, targets=targets, devices=devices, compile=compile_model,
    )  # fmt: skip


finetune.command(epilog="Example: tap finetune classification shards --init runs/tap --out runs/classify")(
    classification
)
finetune.command(epilog="Example: tap finetune fewshot shards --init runs/tap --out runs/fewshot --way 5 --shot 10")(
    fewshot
)
finetune.command(epilog="Example: tap finetune partseg ShapeNetPart --init runs/tap --out runs/parts")(partseg)
app.command(epilog="Example: tap probe shards --init runs/tap --out runs/probe")(probe)
app.command(epilog="Example: tap embed shards --run runs/tap --out features.npz")(embed)
app.command(epilog="Example: tap evaluate runs/classify ScanObjectNN --layout scanobjectnn/obj_bg")(evaluate)
app.command(epilog="Example: tap predict chair.ply --run runs/classify")(predict)
app.command(epilog="Example: tap compare runs/scratch runs/classify")(compare)
app.command(epilog="Example: tap reproduce table2 --data data")(reproduce)
app.command(epilog="Example: tap ablations")(ablations)
app.command(epilog="Example: tap photo chair.obj --run runs/tap --rig mvcnn12 --attention")(photo)
app.command(epilog="Example: tap import-weights pointmlp.pth --backbone pointmlp --out weights/pointmlp")(
    import_weights
)
app.command(epilog="Example: tap export runs/tap --out my-backbone")(export)


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
