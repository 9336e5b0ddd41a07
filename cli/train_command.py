"""`tap pretrain` and `tap finetune`: settings from preset, file and options, then the task's own function."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.progress import TrainProgress
from shards.stores.store import Location
from tap.config import configured
from tap.errors import TapError

Config = TypeVar("Config", bound=BaseModel)


def pretrain_run(
    shards: Location, out: Path, preset: str, config_file: Path | None, overrides: list[str], resume: bool
) -> dict[str, Any]:
    """The whole of `tap pretrain`; returns what `tap.tasks.pretrain.pretrain` does."""
    from tap.tasks.pretrain import PRETRAIN_PRESETS, pretrain

    config = _settings(PRETRAIN_PRESETS, preset, config_file, overrides)
    with TrainProgress() as progress:
        result = pretrain(shards, out, config, resume=resume, progress=progress)
    metrics = result["metrics"]
    console = Console(highlight=False)
    console.print(pretraining_line(metrics), soft_wrap=True)
    console.print(f"picture {escape(str(result['picture']))}", soft_wrap=True)
    console.print(f"checkpoint {escape(str(result['checkpoint']))}", soft_wrap=True)
    return result


def pretraining_line(metrics: dict[str, Any]) -> str:
    """The metrics of a pre-training run in words; without ratio where the cameras differ from sample to sample."""
    line = f"{metrics['split']} loss {metrics['loss']:.4f}"
    if "ratio" not in metrics:
        return f"{line}, view dependence {metrics['view_dependence']:.2f}; no mean image: the cameras differ"
    return (
        f"{line}, {metrics['ratio']:.3f} of the mean image's; "
        f"view dependence {metrics['view_dependence']:.2f} (the mean image's {metrics['baseline_view_dependence']:.2f})"
    )


def classification_run(
    shards: Location,
    out: Path,
    init: Path | None,
    preset: str,
    config_file: Path | None,
    overrides: list[str],
    resume: bool,
) -> dict[str, Any]:
    """The whole of `tap finetune classification`; returns what `finetune_classification` does."""
    from tap.tasks.classification import CLASSIFICATION_PRESETS, finetune_classification

    config = _settings(CLASSIFICATION_PRESETS, preset, config_file, overrides)
    with TrainProgress() as progress:
        result = finetune_classification(shards, out, config, init=init, resume=resume, progress=progress)
    _tell_scores(Console(highlight=False), result, out)
    return result


def _tell_scores(console: Console, result: dict[str, Any], out: Path) -> None:
    table = Table("split", "checkpoint", "accuracy", "class mean")
    for split in ("validation", "test"):
        for name, numbers in (result[split] or {}).items():
            table.add_row(split, name, f"{numbers['accuracy']:.1%}", f"{numbers['class_mean_accuracy']:.1%}")
    console.print(table)
    console.print(
        f"best: epoch {result['best_epoch']}, chosen on {escape(result['selected_on'])}; test was read once, at the end"
        if result["test"]
        else "no test split in these shards: validation numbers only",
        soft_wrap=True,
    )
    console.print(f"result {escape(str(out / 'result.json'))}", soft_wrap=True)


def _settings(
    presets: dict[str, Callable[[], Config]], preset: str, config_file: Path | None, overrides: list[str]
) -> Config:
    if preset not in presets:
        raise TapError(f"preset {preset!r} is unknown; name one of {', '.join(sorted(presets))}")
    return configured(presets[preset](), config_file, overrides)
