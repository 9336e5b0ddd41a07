"""`tap demo`: the whole job on meshes that it makes itself, in one folder, in minutes on two cores."""

import csv
import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.progress import TrainProgress
from cli.render_command import render_folder
from cli.train_command import pretraining_line
from shards import BuildOptions, ShardReader, contact_sheet
from tap.config import apply_overrides
from tap.errors import TapError

# The demo's own size: small pictures and short runs. Both fine-tunings share one config.
_MESHES_PER_FAMILY, _QUICK_MESHES, _TEST_SHARE = 50, 8, 0.4
_PRETRAIN = [
    "train.epochs=36",
    "train.eval_every=12",
    "train.warmup_epochs=2",
    "data.num_views=3",
]
# Three quarters of train choose the checkpoint: 7 or 8 labelled objects a class are left to learn from.
_FINETUNE = [
    "validation_share=0.75",
    "backbone_warmup_epochs=0",
    "train.epochs=40",
    "train.eval_every=10",
    "train.batch_size=16",
    "train.warmup_epochs=4",
]
_QUICK = ["train.epochs=1", "train.eval_every=1"]
_MARK = "tap-demo.txt"


def run_demo(out: Path, workers: int, quick: bool) -> None:
    """Make meshes, render, pre-train, fine-tune with and without, and say where everything is.

    Args:
        out: folder for all of it; a former demo in it is replaced, anything else is refused.
        workers: rendering processes.
        quick: one epoch of everything, to see that it runs.

    Raises:
        TapError: ``out`` holds something else.
    """
    from render.shapes.families import write_shape_collection

    console, began_at = Console(highlight=False), time.monotonic()
    _prepare(out)
    meshes, shards = out / "meshes", out / "shards"
    console.rule("1 of 4: making meshes and rendering them")
    number = _QUICK_MESHES if quick else _MESHES_PER_FAMILY
    write_shape_collection(meshes, num_per_family=number, seed=0, test_share=_TEST_SHARE)
    render_folder(
        meshes, shards, layout="auto", given={"up": "z"}, config_file=None,
        overrides=["image_size=112", "num_points=2048", "samples_per_shard=64"],
        options=BuildOptions(num_workers=workers),
    )  # fmt: skip
    with ShardReader(shards, "train") as reader:
        sheet = contact_sheet(reader, out / "contact_sheet.png")
    console.rule("2 of 4: pre-training: drawing each object from an instructed pose")
    pretrained = _pretrain(shards, out / "pretrain", quick)
    accuracies = {}
    for step, (name, init) in enumerate({"from scratch": None, "pre-trained": out / "pretrain"}.items(), start=3):
        console.rule(f"{step} of 4: fine-tuning a classifier, {name}")
        accuracies[name] = _finetune(shards, out / _run_name(name), init, quick)
    console.rule(f"done in {(time.monotonic() - began_at) / 60:.1f} minutes")
    _tell(console, out, pretrained["metrics"], accuracies)
    for what, path in (
        ("contact sheet", sheet),
        ("generated above true", pretrained["picture"]),
        ("curves of pre-training", out / "pretrain" / "curves.png"),
        ("everything", out),
    ):
        console.print(f"{what:24} {escape(str(path))}", soft_wrap=True)


def _prepare(out: Path) -> None:
    try:
        if out.exists() and any(out.iterdir()) and not (out / _MARK).exists():
            raise TapError(f"{out}: is not empty and holds no demo; choose another folder with --out")
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        mark = "Made by `tap demo`, which replaces this folder when it runs again.\n"
        (out / _MARK).write_text(mark, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise TapError(f"{out}: cannot be made afresh: {reason}; choose another folder with --out") from error


def _pretrain(shards: Path, run: Path, quick: bool) -> dict[str, Any]:
    from tap.tasks import PRETRAIN_PRESETS, pretrain

    config = apply_overrides(PRETRAIN_PRESETS["small/transformer"](), _PRETRAIN + (_QUICK if quick else []))
    with TrainProgress() as progress:
        return pretrain(shards, run, config, progress=progress)


def _finetune(shards: Path, run: Path, init: Path | None, quick: bool) -> dict[str, Any]:
    from tap.tasks import CLASSIFICATION_PRESETS, finetune_classification

    config = apply_overrides(CLASSIFICATION_PRESETS["small/transformer"](), _FINETUNE + (_QUICK if quick else []))
    with TrainProgress() as progress:
        return finetune_classification(shards, run, config, init=init, progress=progress)


def _run_name(backbone: str) -> str:
    return f"classify-{backbone.replace(' ', '-')}"


def _validation_curve(run: Path) -> dict[int, float]:
    with (run / "eval.csv").open(newline="", encoding="utf-8") as stream:
        return {int(row["epoch"]): float(row["accuracy"]) for row in csv.DictReader(stream)}


def _tell(console: Console, out: Path, metrics: dict[str, Any], accuracies: dict[str, dict[str, Any]]) -> None:
    curves = {name: _validation_curve(out / _run_name(name)) for name in accuracies}
    epochs = [f"epoch {epoch}" for epoch in next(iter(curves.values()))]
    table = Table("backbone", *epochs, "test", title="accuracy: validation by epoch, then test with the best of them")
    for name, result in accuracies.items():
        shown = [f"{accuracy:.1%}" for accuracy in curves[name].values()]
        table.add_row(name, *shown, f"{result['test']['best']['accuracy']:.1%}")
    console.print(table)
    console.print(f"pre-training: {pretraining_line(metrics)}", soft_wrap=True)
