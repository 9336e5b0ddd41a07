"""`tap pretrain` and `tap finetune`: settings from preset, file and options, then the task's own function."""

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from cli.dataset_options import with_dataset
from cli.errors import EXPECTED, FAILED, INTERRUPTED
from cli.finetune_tables import tell_result, tell_summary
from cli.progress import TrainProgress
from shards.stores.store import Location
from tap.config import apply_overrides, configured
from tap.errors import TapError
from tap.training.ranks import PeerError, is_first_process, num_launched, speaks_for_its_machine

Config = TypeVar("Config", bound=BaseModel)


def pretrain_run(
    shards: Location,
    out: Path,
    preset: str,
    config_file: Path | None,
    overrides: list[str],
    resume: bool,
    *,
    ablation: str | None = None,
    targets: str | None = None,
    devices: int | None = None,
    compile: bool = False,
) -> dict[str, Any]:
    """The whole of `tap pretrain`; returns what `tap.tasks.pretraining.pretrain.pretrain` does.

    Args:
        shards: the set.
        out: run folder.
        preset: key of `PRETRAIN_PRESETS`.
        config_file: TOML that changes it, or None.
        overrides: ``key=value`` that change it further.
        resume: go on.
        ablation: key of `tap.ablations.ABLATIONS` that changes the preset before file and overrides do.
        targets: what is drawn, names with commas between.
        devices: processes, one device each.
        compile: compile the model.
    """
    with one_voice():
        from tap.tasks import PRETRAIN_PRESETS, pretrain

        config = named_preset(PRETRAIN_PRESETS, preset)
        if ablation is not None:
            from tap.ablations import apply_ablation

            config = apply_ablation(config, ablation)
        config = configured(config, config_file, overrides)
        if targets is not None:
            config = apply_overrides(config, [f"targets={targets}"], "--targets")
        config = placed(config, devices, compile)
        with TrainProgress(is_first_process()) as progress:
            result = pretrain(shards, out, config, resume=resume, progress=progress)
        metrics = result["metrics"]
        if is_first_process():
            console = Console(highlight=False)
            console.print(pretraining_line(metrics), soft_wrap=True)
            console.print(f"picture {escape(str(result['picture']))}", soft_wrap=True)
            console.print(f"checkpoint {escape(str(result['checkpoint']))}", soft_wrap=True)
            console.print(f"report {escape(str(out / 'report.html'))}", soft_wrap=True)
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
    *,
    select: str | None = None,
    votes: int | None = None,
    seeds: int | None = None,
    layout: str | None = None,
    label_map: list[str] | None = None,
    devices: int | None = None,
    compile: bool = False,
) -> dict[str, Any]:
    """The whole of `tap finetune classification`.

    Args:
        shards: the set.
        out: run folder, or with ``seeds`` the folder of the run folders.
        init: what it starts from.
        preset: key of `CLASSIFICATION_PRESETS`.
        config_file: TOML that changes it, or None.
        overrides: ``key=value`` that change it further.
        resume: go on.
        select: validation or test.
        votes: draws of a vote.
        seeds: runs with as many seeds, or None for one run.
        layout: how the set is stored.
        label_map: OLD=NEW class names.
        devices: processes, one device each.
        compile: compile the model.

    Returns:
        What `finetune_classification` does, or `tap.tasks.seeds.over_seeds`.
    """
    with one_voice():
        from tap.tasks import CLASSIFICATION_PRESETS, finetune_classification
        from tap.tasks.seeds import over_seeds

        config = configured(named_preset(CLASSIFICATION_PRESETS, preset), config_file, overrides)
        config = with_dataset(given(config, {"select": select, "votes": votes}), layout, label_map)
        config = placed(config, devices, compile)
        console = Console(highlight=False, quiet=not is_first_process())
        with TrainProgress(is_first_process()) as progress:
            run = partial(finetune_classification, shards, init=init, resume=resume, progress=progress)
            result = run(out, config) if seeds is None else over_seeds(run, out, config, seeds)
        if seeds is None:
            tell_result(console, result, out)
        else:
            tell_summary(console, result, out, "seed")
        return result


def fewshot_run(
    location: Location,
    out: Path,
    init: Path | None,
    preset: str,
    config_file: Path | None,
    overrides: list[str],
    resume: bool,
    *,
    way: int | None = None,
    shot: int | None = None,
    folds: int | None = None,
    query: int | None = None,
    layout: str | None = None,
    label_map: list[str] | None = None,
) -> dict[str, Any]:
    """The whole of `tap finetune fewshot`; returns what `finetune_fewshot` does. Arguments left out are the config's."""
    with one_voice():
        from tap.tasks.classes.classification_presets import FEWSHOT_PRESETS
        from tap.tasks.classes.fewshot import finetune_fewshot

        config = configured(named_preset(FEWSHOT_PRESETS, preset), config_file, overrides)
        config = given(config, {"way": way, "shot": shot, "num_folds": folds, "num_query": query})
        config = placed(with_dataset(config, layout, label_map), None, False)
        with TrainProgress(is_first_process()) as progress:
            summary = finetune_fewshot(location, out, config, init=init, resume=resume, progress=progress)
        tell_summary(Console(highlight=False, quiet=not is_first_process()), summary, out, "fold")
        return summary


def given(config: Config, options: Mapping[str, object]) -> Config:
    """The config with the options that were given; the others are None."""
    for name, value in options.items():
        if value is not None:
            config = apply_overrides(config, [f"{name}={value}"], f"--{name.removeprefix('num_')}")
    return config


def named_preset(presets: dict[str, Callable[[], Config]], name: str) -> Config:
    """The config of a preset; `TapError` names the nearest where there is none of that name."""
    if name not in presets:
        nearest = difflib.get_close_matches(name, presets, n=1, cutoff=0.0)[0]
        known = ", ".join(sorted(presets))
        raise TapError(f"preset {name!r} is unknown; the nearest is {nearest!r}; name one of {known}")
    return presets[name]()


def placed(config: Config, devices: int | None, compile: bool) -> Config:
    """The config with what the options and torchrun say of devices."""
    launched = num_launched()
    if launched is not None and devices not in (None, launched):
        raise TapError(f"--devices {devices}, but torchrun has started {launched} processes; leave --devices out")
    number = launched if launched is not None else devices
    changes = ["train.compile=true"] if compile else []
    return apply_overrides(config, [*changes, *([] if number is None else [f"train.devices={number}"])])


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Of several processes only one tells that the run has ended: the one that failed, or the first one after Ctrl-C."""
    try:
        yield
    except PeerError:
        raise SystemExit(FAILED) from None
    except EXPECTED:
        if not speaks_for_its_machine():
            raise SystemExit(FAILED) from None
        raise
    except KeyboardInterrupt:
        if not is_first_process():
            raise SystemExit(INTERRUPTED) from None
        raise
