"""`tap import-weights` and `tap export`: others' weights in, ours out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import reported
from cli.options import ImportSet, on_this_machine

if TYPE_CHECKING:
    from tap.interchange.translation import Account

Out = Annotated[
    Path, typer.Option(callback=on_this_machine, help="New folder for weights and config.", show_default=False)
]


@reported
def import_weights(
    file: Annotated[
        Path,
        typer.Argument(callback=on_this_machine, help="Checkpoint: .pth, .pt or .safetensors.", show_default=False),
    ],
    backbone: Annotated[
        str, typer.Option(help="What it holds: transformer, pointnet2, dgcnn, pointmlp, pointmlp_elite.")
    ],
    out: Out,
    prefix: Annotated[
        str | None, typer.Option(help="Look only at tensors whose names start so.", show_default=False)
    ] = None,
    settings: ImportSet = None,
) -> None:
    """Read a checkpoint of Take-A-Photo's authors, of Point-BERT or of Point-MAE.

    Nothing in the file is run. Every tensor is accounted for in account.json. The folder goes to `--init` of
    `tap finetune` and to `tap.load_backbone`.
    """
    from tap.interchange.importing import import_weights as read

    _tell(read(file, backbone, out, prefix, settings or []), out)


@reported
def export(
    run: Annotated[
        Path, typer.Argument(callback=on_this_machine, help="Run folder of `tap pretrain` or `tap finetune`.")
    ],
    out: Out,
    what: Annotated[
        Literal["backbone", "model"], typer.Option(help="The backbone alone, or all that was trained.")
    ] = "backbone",
    checkpoint: Annotated[Literal["last", "best"], typer.Option(help="Which checkpoint of the run.")] = "last",
    license_name: Annotated[
        str | None, typer.Option("--license", help="For the model card, such as mit or cc-by-4.0.", show_default=False)
    ] = None,
) -> None:
    """Write a run's weights as a folder for the Hugging Face Hub, with a model card.

    `tap.load_backbone` reads it from disk or, once uploaded, as user/name.
    """
    from rich.console import Console
    from rich.markup import escape

    from tap.interchange.export import export_run
    from tap.training.checkpoint import MODEL

    folder = export_run(run, out, what, checkpoint, license_name)
    size = (folder / MODEL).stat().st_size / 1e6
    Console(highlight=False).print(
        f"{what} of {escape(str(run))}, {size:.1f} MB, in {escape(str(out))}", soft_wrap=True
    )


def _tell(account: "Account", out: Path) -> None:
    """A line a part of the model that was taken, a reason for leaving out, a way of making."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console, table = Console(highlight=False), Table("tensors", "what became of them")
    for part, number in Counter(target.split(".")[0] for target in account.taken.values()).items():
        table.add_row(str(number), f"taken: {escape(part)}")
    for reason, number in Counter(account.left_out.values()).items():
        table.add_row(str(number), f"left out: {escape(reason)}")
    for how, number in Counter(account.made.values()).items():
        table.add_row(str(number), f"made: {escape(how)}")
    console.print(f"{escape(account.format)}", soft_wrap=True)
    console.print(table)
    console.print(f"weights {escape(str(out))}", soft_wrap=True)
