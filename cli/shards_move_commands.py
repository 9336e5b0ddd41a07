"""`tap shards merge`, `split`, `export` and `import` as a terminal sees them; the work is done elsewhere."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import reported
from cli.options import Shards, on_this_machine

Workers = Annotated[int, typer.Option(min=0, help="Processes; each takes whole shards. 0: in this one.")]
SamplesPerShard = Annotated[int, typer.Option(min=1, help="Samples in a shard at most.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with one that was stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the shards in --out.")]
Classes = Annotated[str | None, typer.Option(help="Only these classes, e.g. chair,lamp.", show_default=False)]
NewSet = Annotated[str, typer.Option(help="Folder for the new set, or its URL (s3://...).", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the four commands to `tap shards`."""
    app.command(epilog="Example: tap shards merge chairs lamps --out both")(merge)
    app.command(epilog="Example: tap shards split shards --out with-val --val 0.1")(split)
    app.command(epilog="Example: tap shards export shards --out loose --split test --num-samples 20")(export)
    app.command("import", epilog="Example: tap shards import loose --out shards")(import_)


@reported
def merge(
    sets: Annotated[list[str], typer.Argument(help="Two sets or more: folders or URLs.", show_default=False)],
    out: Annotated[str, typer.Option(help="Folder for the joined set, or its URL; empty.", show_default=False)],
    link: Annotated[
        bool, typer.Option("--link", help="Hard links instead of copies of the tars; on one file system.")
    ] = False,
    resume: Resume = False,
) -> None:
    """Join finished sets without rewriting a tar.

    Labels are names, so classes need not be the same. A key may occur once.
    """
    from cli.move_command import merge_folders

    merge_folders(sets, out, link, resume)


@reported
def split(
    shards: Shards,
    out: NewSet,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of each class that becomes val.")] = 0.0,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of each class that becomes test.")] = 0.0,
    of: Annotated[str, typer.Option(help="Splits that --val and --test are taken from.")] = "train",
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 0,
    list_file: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help=".csv file of key,split; samples not listed keep theirs.", show_default=False
        ),
    ] = None,
    classes: Classes = None,
    samples_per_shard: SamplesPerShard = 128,
    workers: Workers = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a new set in which samples have another split, or only some classes; pictures stay as they are.

    The choice follows from the seed and the samples' keys: samples that are added later move few of the others.
    """
    from cli.move_command import split_folder
    from shards import BuildOptions
    from shards.exchange.split import SplitRule

    if list_file is not None and (val or test):
        raise typer.BadParameter("tells every split; leave out --val and --test", param_hint="--list")
    if list_file is None and not (val or test or classes):
        raise typer.BadParameter("say what to do: --val, --test, --list or --classes", param_hint="--val")
    if val + test >= 1:
        raise typer.BadParameter("with --test it leaves nothing to train on", param_hint="--val")
    rule = SplitRule(val=val, test=test, of=tuple(_names(of)), seed=seed, classes=tuple(_names(classes)))
    options = BuildOptions(
        num_workers=workers, samples_per_shard=samples_per_shard, resume=resume, overwrite=overwrite
    )  # fmt: skip
    split_folder(shards, out, rule, list_file, options)


@functools.partial(reported, stopped="stopped; the same command with --resume goes on")
def export(
    shards: Shards,
    out: Annotated[
        Path, typer.Option(callback=on_this_machine, help="Folder for the loose files.", show_default=False)
    ],
    split: Annotated[str | None, typer.Option(help="Only this split.", show_default=False)] = None,
    classes: Classes = None,
    num_samples: Annotated[
        int | None, typer.Option(min=1, help="Samples at most, evenly spaced.", show_default=False)
    ] = None,
    as_stored: Annotated[
        bool,
        typer.Option("--as-stored", help="Views byte for byte: small, but nerfstudio cannot read them; else RGBA."),
    ] = False,
    resume: Resume = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the samples in --out.")] = False,
) -> None:
    """Write samples as loose files: views as PNG, points as PLY, cameras as transforms.json for NeRF tools.

    They lie in SPLIT/CLASS/KEY. `tap shards import` makes the same samples of them again.
    """
    from cli.move_command import export_folder
    from shards.exchange.export import ExportOptions

    options = ExportOptions(tuple(_names(classes)), num_samples, as_stored, resume, overwrite)
    export_folder(shards, out, split, options)


@reported
def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            callback=on_this_machine,
            metavar="DIR",
            help="Folder of samples, each a folder with transforms.json.",
            show_default=False,
        ),
    ],
    out: NewSet,
    samples_per_shard: SamplesPerShard = 128,
    workers: Workers = 1,
    max_failures: Annotated[
        int | None, typer.Option(min=0, help="Stop when more samples than this have failed.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do only what no valid record proves done; failed samples count as done.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As --resume, and try failed samples again; what is done is kept.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Make shards of loose files, as `tap shards export` or a NeRF tool writes them.

    Folders lie in SPLIT/CLASS/NAME, CLASS/SPLIT/NAME, CLASS/NAME or NAME. Each has transforms.json, PNG views with alpha, and
    points.ply with normals; its own scale is kept. Alpha from 128 on is the object. A folder that is no sample is recorded with
    its reason, and the run goes on.
    """
    from cli.move_command import import_folder
    from shards import BuildOptions

    options = BuildOptions(
        num_workers=workers, samples_per_shard=samples_per_shard, max_failures=max_failures, resume=resume,
        retry_failed=retry_failed, overwrite=overwrite,
    )  # fmt: skip
    import_folder(folder, out, options)


def _names(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]
