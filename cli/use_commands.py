"""The commands that use finished runs as a terminal sees them: evaluate, predict, compare, reproduce; others do the work."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.dataset_options import LabelMap, Layout
from cli.errors import FAILED, reported
from cli.options import on_this_machine

Run = Annotated[
    Path,
    typer.Argument(callback=on_this_machine, help="Run folder of `tap finetune`.", show_default=False),
]
WhichCheckpoint = Annotated[Literal["best", "last"], typer.Option(help="Which checkpoint of the run.")]


@functools.partial(reported, stopped="stopped; nothing was written")
def evaluate(
    run: Run,
    data: Annotated[
        str,
        typer.Argument(
            metavar="SET", help="Labelled data set: a folder, or the URL of a shard set.", show_default=False
        ),
    ],
    split: Annotated[str, typer.Option(help="Which split of it.")] = "test",
    checkpoint: WhichCheckpoint = "best",
    layout: Layout = None,
    label_map: LabelMap = None,
    up: Annotated[
        Literal["y", "z"] | None,
        typer.Option(help="Up axis of its points.  (default: that of the layout's public release)"),
    ] = None,
    votes: Annotated[
        int, typer.Option(min=0, help="Also score the mean over so many draws of each cloud; 0: a single pass alone.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=on_this_machine,
            help="Folder for the results.  (default: RUN/evaluation-SET-SPLIT)",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Score a fine-tuned run on a data set: overall and class by class, with predictions and confusion matrix.

    Classes match by name; one that the run does not know is refused unless --label-map says what it is. The set that the
    run was trained on is read as it was then, others as --layout, --label-map and --up say.
    """
    from cli.dataset_options import with_dataset
    from cli.evaluate_command import evaluate_run
    from tap.datasets import DatasetConfig
    from tap.results.evaluation import EvaluationOptions

    is_told = layout is not None or up is not None or bool(label_map)
    dataset = with_dataset(DatasetConfig(up=up), layout, label_map) if is_told else None
    evaluate_run(run, data, EvaluationOptions(split, checkpoint, dataset, votes, out))


@functools.partial(reported, stopped="stopped; run it again for the rest")
def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Points (.ply .pcd .xyz .txt .pts .csv .npy) or meshes (.off .obj .ply .stl .glb .gltf).",
            show_default=False,
        ),
    ],
    run: Annotated[
        Path, typer.Option(callback=on_this_machine, help="Run folder of `tap finetune`.", show_default=False)
    ],
    checkpoint: WhichCheckpoint = "best",
    up: Annotated[Literal["y", "z"], typer.Option(help="Up axis of the files.")] = "y",
    category: Annotated[
        str | None,
        typer.Option("--class", help="Class of all files, for a run of part segmentation.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=on_this_machine,
            help="Folder for a PLY of each file, coloured by part, for a run of part segmentation.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv", callback=on_this_machine, metavar="FILE", help="Write a table as CSV too.", show_default=False
        ),
    ] = None,
) -> None:
    """Tell the class and confidence of each FILE, or the part of each of its points.

    Files are centred and scaled as the training data were. One that cannot be read is told in a line; the others are done.
    """
    from cli.predict_command import PredictOptions, predict_files

    options = PredictOptions(checkpoint, up, category, out, as_json, csv_file)
    if not predict_files(files, run, options):
        raise typer.Exit(FAILED)


@functools.partial(reported, stopped="stopped")
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of any task.", show_default=False)],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(callback=on_this_machine, help="Write the Markdown to this file.", show_default=False),
    ] = None,
) -> None:
    """Put runs side by side, a table a task: settings, measured numbers, and what the paper has for the same."""
    from cli.compare_command import tell_comparison

    tell_comparison(runs, markdown, out)


@functools.partial(reported, stopped="stopped; what was finished is kept, and the same command goes on")
def reproduce(
    table: Annotated[
        Literal["table1", "table2", "table3", "table4", "table5", "ablations"],
        typer.Argument(help="Of the paper.", show_default=False),
    ],
    data: Annotated[
        Path,
        typer.Option(
            callback=on_this_machine,
            help="Folder with ShapeNet55 (shards), ScanObjectNN, modelnet40_normal_resampled or modelnet40_ply_hdf5_2048, "
            "ShapeNetPart, ModelNetFewshot.",
        ),
    ] = Path("data"),
    runs: Annotated[Path, typer.Option(callback=on_this_machine, help="Folder for the run folders.")] = Path(
        "runs/reproduce"
    ),
    size: Annotated[
        Literal["paper", "reference", "small"],
        typer.Option(help="Presets of the paper's text, of the authors' code, or for a CPU."),
    ] = "paper",
    run: Annotated[bool, typer.Option("--run", help="Run what has its data; what is finished is kept.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=on_this_machine, metavar="FILE.md", help="Write the table as Markdown.", show_default=False
        ),
    ] = None,
) -> None:
    """List the commands that reproduce a table of the paper, run them, and fill the table with what they measured.

    A cell whose run is not finished stays blank.
    """
    from cli.reproduce_command import reproduce_table

    if not reproduce_table(table, data, runs, size, run, out):
        raise typer.Exit(FAILED)
