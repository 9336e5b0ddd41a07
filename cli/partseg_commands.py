"""`tap finetune partseg`: settings from preset, file and options, then the task's own function."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.dataset_options import LabelMap
from cli.errors import reported
from cli.options import Compile, Config, Devices, Init, Preset, Resume, RunFolder, Seeds, Select, Set

if TYPE_CHECKING:
    from rich.console import Console

    from shards.stores.store import Location

COLUMNS = {"instance_miou": "instance mIoU", "class_miou": "class mIoU", "point_accuracy": "points right"}


@reported
def partseg(
    location: Annotated[
        str,
        typer.Argument(
            metavar="SET", help="Shapes with part labels, in the layout of ShapeNetPart.", show_default=False
        ),
    ],
    out: RunFolder,
    init: Init = None,
    reinit: Annotated[
        str | None,
        typer.Option(
            metavar="embedding",
            help="Begin the first layer anew, where it reads other inputs (normals) than that of --init.",
            show_default=False,
        ),
    ] = None,
    preset: Preset = "small/transformer",
    select: Select = None,
    seeds: Seeds = None,
    label_map: LabelMap = None,
    devices: Devices = None,
    compile_model: Compile = False,
    resume: Resume = False,
    config: Config = None,
    settings: Set = None,
) -> None:
    """Fine-tune a backbone to name the part of every point of shapes of known category.

    Reports instance and class mIoU. The validation split chooses the checkpoint, or a cut of train where there is none; test is
    read once, at the end.
    """
    partseg_run(
        location, out, init, preset, config, settings or [], resume, reinit=reinit, select=select, seeds=seeds,
        label_map=label_map, devices=devices, compile=compile_model,
    )  # fmt: skip


def partseg_run(
    location: "Location",
    out: Path,
    init: Path | None,
    preset: str,
    config_file: Path | None,
    overrides: list[str],
    resume: bool,
    *,
    reinit: str | None = None,
    select: str | None = None,
    seeds: int | None = None,
    label_map: list[str] | None = None,
    devices: int | None = None,
    compile: bool = False,
) -> dict[str, Any]:
    """The whole of `tap finetune partseg`; returns what `finetune_partseg` does, or of several seeds `over_seeds`.

    Args:
        location: the set.
        out: run folder.
        init: what it starts from, or None.
        preset: key of `PARTSEG_PRESETS`.
        config_file: TOML that changes it, or None.
        overrides: ``key=value`` that change it further.
        resume: go on.
        reinit: see `finetune_partseg`.
        select: validation or test.
        seeds: runs with as many seeds, or None for one run.
        label_map: ``OLD=NEW`` names of classes.
        devices: processes, one device each.
        compile: compile the model.
    """
    from rich.console import Console

    from cli.dataset_options import with_dataset
    from cli.progress import TrainProgress
    from cli.train_command import given, named_preset, one_voice, placed
    from tap.config import configured
    from tap.training.ranks import is_first_process

    with one_voice():
        from tap.tasks.parts.part_config import PartSegConfig
        from tap.tasks.parts.partseg import finetune_partseg
        from tap.tasks.parts.partseg_init import reinit_named
        from tap.tasks.parts.partseg_presets import PARTSEG_PRESETS
        from tap.tasks.seeds import over_seeds

        settings = configured(named_preset(PARTSEG_PRESETS, preset), config_file, overrides)
        settings = with_dataset(placed(given(settings, {"select": select}), devices, compile), None, label_map)
        begun = None if reinit is None else reinit_named(reinit)

        def run(folder: Path, seeded: PartSegConfig) -> dict[str, Any]:
            with TrainProgress(is_first_process()) as progress:
                return finetune_partseg(location, folder, seeded, init, resume, progress, begun)

        result = run(out, settings) if seeds is None else over_seeds(run, out, settings, seeds)
        if is_first_process():
            tell_parts(Console(highlight=False), result, out)
        return result


def tell_parts(console: "Console", result: dict[str, Any], out: Path) -> None:
    """Prints the numbers of a run, or of a summary of several, and what they were selected on."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("split", "checkpoint", *COLUMNS.values())
    for split in ("validation", "test"):
        for name, numbers in (result[split] or {}).items():
            table.add_row(split, name, *(_share(numbers[key]) for key in COLUMNS))
    console.print(table)
    if "runs" in result:
        chosen, file = f"mean ± standard deviation of {len(result['runs'])} runs, each", "summary.json"
    else:
        chosen, file = f"best: epoch {result['best_epoch']},", "result.json"
    if result["test"] and result["validation"]:
        read = "test was read once, at the end"
    else:
        read = "nothing was held back from training" if result["test"] else "the set has no test split"
    console.print(f"{chosen} chosen on {escape(result['selected_on'])}; {read}", soft_wrap=True)
    console.print(f"result {escape(str(out / file))}", soft_wrap=True)
    if file == "result.json":
        console.print(f"report {escape(str(out / 'report.html'))}", soft_wrap=True)


def _share(value: Any) -> str:
    """A number, or the mean ± standard deviation of several, in percent."""
    return f"{value['mean']:.1%} ± {100 * value['std']:.1f}" if isinstance(value, dict) else f"{value:.1%}"
