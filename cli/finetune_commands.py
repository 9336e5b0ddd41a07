"""`tap finetune classification` and `tap finetune fewshot`: their options. The work is in `cli.train_command`."""

from typing import Annotated

import typer

from cli.dataset_options import LabelMap, Layout
from cli.errors import reported
from cli.options import (
    Compile,
    Config,
    Devices,
    Init,
    LabelledSet,
    Preset,
    Resume,
    RunFolder,
    Seeds,
    Select,
    Set,
)


@reported
def classification(
    dataset: LabelledSet,
    out: RunFolder,
    init: Init = None,
    preset: Preset = "small/transformer",
    select: Select = None,
    votes: Annotated[
        int | None, typer.Option(min=1, help="Also average the best checkpoint's scores over so many draws.")
    ] = None,
    seeds: Seeds = None,
    layout: Layout = None,
    label_map: LabelMap = None,
    devices: Devices = None,
    compile_model: Compile = False,
    resume: Resume = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Fine-tune a classifier on a labelled set.

    Validation is cut from train and chooses the checkpoint; test is read once, at the end.

    A frozen backbone: --set protocol=mlp_linear or mlp_3. Few labels: --set label_share=0.1.
    """
    from cli.train_command import classification_run

    classification_run(
        dataset, out, init, preset, config, settings or [], resume,
        select=select, votes=votes, seeds=seeds, layout=layout, label_map=label_map,
        devices=devices, compile=compile_model,
    )  # fmt: skip


@reported
def fewshot(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="Folder of the published folds, or any labelled set, which gets seeded folds.",
            show_default=False,
        ),
    ],
    out: RunFolder,
    init: Init = None,
    preset: Annotated[
        str, typer.Option(help="SIZE/BACKBONE: small or reference, as of classification.")
    ] = "small/transformer",
    way: Annotated[int | None, typer.Option(min=2, help="Classes of a fold.  (default: 5)")] = None,
    shot: Annotated[int | None, typer.Option(min=1, help="Training samples of a class.  (default: 10)")] = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Folds.  (default: 10)")] = None,
    query: Annotated[int | None, typer.Option(min=1, help="Test samples of a class.  (default: all)")] = None,
    layout: Layout = None,
    label_map: LabelMap = None,
    resume: Resume = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Train a classifier on a few samples of a few classes, fold after fold, and tell mean ± std.

    A fold has no validation samples: its last epoch counts, nothing is selected.
    """  # fmt: skip
    from cli.train_command import fewshot_run

    fewshot_run(
        dataset, out, init, preset, config, settings or [], resume,
        way=way, shot=shot, folds=folds, query=query, layout=layout, label_map=label_map,
    )  # fmt: skip
