"""`tap probe` and `tap embed`: what a frozen backbone knows, as the accuracy of a linear SVM or as a file of features."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from cli.dataset_options import LabelMap, Layout, with_dataset
from cli.errors import reported
from cli.options import Config, Set, on_this_machine

Dataset = Annotated[
    str, typer.Argument(metavar="SET", help="Shards (folder or URL), or a public data set.", show_default=False)
]
Init = typer.Option(
    callback=on_this_machine,
    help="Run of `tap pretrain` or `tap finetune`, or folder of `tap export` or `tap import-weights`.",
    show_default=False,
)


@functools.partial(reported, stopped="stopped; run it again")
def probe(
    dataset: Dataset,
    out: Annotated[
        Path, typer.Option(callback=on_this_machine, help="Folder for config and result.", show_default=False)
    ],
    init: Annotated[Path | None, Init] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="SIZE/BACKBONE of random weights, as of `tap pretrain`.  (default: small/transformer)",
            show_default=False,
        ),
    ] = None,
    layout: Layout = None,
    label_map: LabelMap = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Fit a linear SVM to frozen features and tell its accuracy; without --init, those of random weights.

    What pre-training brings is --init RUN against the --preset of that run.

    C is chosen on cuts of train; test is read once, at the end.
    """
    from rich.console import Console

    from cli.progress import TrainProgress
    from cli.train_command import named_preset
    from tap.config import configured
    from tap.presets import MODEL_PRESETS
    from tap.probing.probe import ProbeConfig
    from tap.probing.probe import probe as probed

    backbone = None if preset is None else named_preset(MODEL_PRESETS, preset).backbone
    wanted = configured(ProbeConfig(backbone=backbone), config, settings or [])
    with TrainProgress(True) as progress:
        result = probed(dataset, out, with_dataset(wanted, layout, label_map), init, progress)
    console = Console(highlight=False)
    chosen = f"C {result['penalty']:g}, chosen on {result['selected_on']}"
    console.print(f"validation accuracy {result['validation']['accuracy']:.1%} ({chosen})", soft_wrap=True)
    if result["test"] is not None:
        numbers = result["test"]
        console.print(f"test accuracy {numbers['accuracy']:.1%}, class mean {numbers['class_mean_accuracy']:.1%}")
    console.print(f"result {out / 'result.json'}", soft_wrap=True, markup=False)


@functools.partial(reported, stopped="stopped; nothing was written")
def embed(
    dataset: Dataset,
    run: Annotated[Path, typer.Option("--run", callback=on_this_machine, help=Init.help, show_default=False)],
    out: Annotated[Path, typer.Option(callback=on_this_machine, help="The .npz file to write.", show_default=False)],
    split: Annotated[list[str] | None, typer.Option(help="Split to embed; may be repeated.  (default: all)")] = None,
    layout: Layout = None,
    label_map: LabelMap = None,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Write one feature vector of each cloud: vectors, keys, splits, labels and classes as arrays of an .npz."""
    from rich.console import Console

    from tap.config import configured
    from tap.probing.embedding import EmbedConfig, embed_source

    wanted = with_dataset(configured(EmbedConfig(), config, settings or []), layout, label_map)
    if split:
        wanted = wanted.model_copy(update={"splits": tuple(split)})
    counts = embed_source(dataset, out, wanted, run)
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    Console(highlight=False).print(f"{out}: {told}", soft_wrap=True, markup=False)
