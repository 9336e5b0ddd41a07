"""One run as a row of a comparison: its settings and numbers, read from its folder without its weights."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from shards.stores.store import folder_name
from tap.backbones import BackboneConfig
from tap.errors import TapError
from tap.presets import MODEL_PRESETS
from tap.results.published import CATEGORY, published
from tap.tasks.finetuning import RESULT
from tap.tasks.seeds import SUMMARY
from tap.training.checkpoint import (
    CONFIG,
    MODEL,
    STATE,
    find_checkpoint,
    has_checkpoint,
    load_record,
    load_state,
    read_json,
)
from tap.training.run import OPERATIONAL

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
KNOWN_SETS = {
    (15, 2882): "scanobjectnn/pb_t50_rs",
    (40, 2468): "modelnet40",
    (16, 2874): "shapenetpart",
}
"""Classes and test samples to data set."""
TOLD_ELSEWHERE = (
    *sorted(OPERATIONAL - {"data.on_error"}),  # what is left out of a damaged set does change numbers
    "train.epochs", "train.seed", "train.eval_every", "train.devices", "dataset.layout", "backbone.name",
    "model.backbone.name", "way", "shot", "num_folds", "select", "split_seed",
)  # fmt: skip
"""Settings that stand in another column, or that change no number but by chance."""
Numbers = dict[str, str]


@dataclasses.dataclass(frozen=True)
class RunRow:
    """A run.

    Attributes:
        task: what it learns.
        facts: column to text: what it is.
        measured: column to text: measured numbers alone, empty where it is not finished.
        settings: dotted key of the config to text, of those that numbers may depend on and no fact tells.
    """

    task: str
    facts: Numbers
    measured: Numbers
    settings: Numbers = dataclasses.field(default_factory=dict)


def read_run(path: Path) -> RunRow:
    """A run as a row.

    Args:
        path: run folder, finished or not; folder of several seeds; or a checkpoint folder.

    Raises:
        TapError: it is none of these, or its files are not what a run writes.
    """
    try:
        return _read_run(path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TapError(
            f"{path}: its {CONFIG}, {RESULT} or {SUMMARY} is not what a run writes ({type(error).__name__}: {error}); "
            "was it edited?"
        ) from error


def _read_run(path: Path) -> RunRow:
    if (path / MODEL).is_file() and (path.parent / CONFIG).is_file():
        path = path.parent  # a checkpoint stands for its run, where the result is
    several = _several(path)
    folder = several[0] if several else path
    if not (folder / CONFIG).is_file():
        find_checkpoint(folder)  # says what is missing
    record = load_record(folder)
    task = str(record.get("task"))
    config = record.get("config")
    if not isinstance(config, Mapping):
        raise TapError(f"{folder / CONFIG}: holds no config; give the --out folder of a run")
    done, epochs = _epochs(folder), int(config.get("train", {}).get("epochs", 0))
    result = None if task == "pretrain" else _result(path, bool(several))
    finished = done >= epochs if task == "pretrain" else result is not None
    number = len((result or {}).get("runs", several))  # those that the numbers are of
    parts = "folds" if task == "fewshot" else "runs"
    facts = {
        "run": path.resolve().name + (f" ({number} {parts})" if several else ""),
        **_settings(record, config, epochs, result or {}),
        "parameters": _parameters(folder),
        "state": _state(several, number, finished, "" if task == "probe" else f", epoch {done} of {epochs}"),
    }
    measured: Numbers = {}
    if finished:
        facts["selected on"] = "" if result is None else str(result.get("selected_on", ""))
        measured = MEASURED.get(task, _of_any)(result or {}, folder)
    settings = {key: text for key, text in _flat(config, "") if not key.startswith(TOLD_ELSEWHERE)}
    return RunRow(task, facts, measured, settings)


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Dotted keys of nested settings, and their values as text."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(value).strip('"')


def _state(several: list[Path], number: int, finished: bool, place: str) -> str:
    """What is missing of a run, or of several of which some may have come since their numbers were written."""
    if not finished:
        done = sum((part / RESULT).is_file() for part in several)
        return f"unfinished, {done} of its runs are finished" if several else f"unfinished{place}"
    return f"numbers of {number} runs, {len(several)} are there" if number < len(several) else ""


def _several(path: Path) -> list[Path]:
    """The run folders of several seeds or folds; empty where the folder is a run itself."""
    if (path / CONFIG).is_file() or not path.is_dir():
        return []
    parts = [folder for folder in path.iterdir() if folder.name.startswith(("seed", "fold"))]
    return sorted(
        (folder for folder in parts if (folder / CONFIG).is_file()), key=lambda folder: (len(folder.name), folder.name)
    )


def _result(path: Path, several: bool) -> dict[str, Any] | None:
    """What a finished run wrote, or the summary of several; None where it is not finished."""
    file = path / (SUMMARY if several else RESULT)
    return read_json(file) if file.is_file() else None


def _epochs(folder: Path) -> int:
    for name in ("last", "best"):
        if has_checkpoint(folder, name):
            return int(load_state(find_checkpoint(folder, name)).get("epoch", 0))
    return 0


def _settings(record: Mapping[str, Any], config: Mapping[str, Any], epochs: int, result: Mapping[str, Any]) -> Numbers:
    model = config.get("model", config)
    backbone = model.get("backbone") if isinstance(model, Mapping) else None
    init = record.get("init")
    data, task = record.get("data", {}), str(record.get("task"))
    size = preset_of(backbone) if isinstance(backbone, Mapping) else ""
    facts = {
        "backbone": ""
        if not isinstance(backbone, Mapping)
        else f"{backbone.get('name')}{f' ({size})' if size else ''}",
        "epochs": "" if task == "probe" else str(epochs),  # of a probe nothing is trained
        "data": _told_data(record, config),
    }
    if task != "pretrain":
        facts["start"] = "scratch" if init is None else Path(init).name
        facts["pre-training ratio"] = "" if init is None else _ratio(Path(init))
        if size in ("paper", "reference") and isinstance(backbone, Mapping):
            account = data if isinstance(data, Mapping) else {}
            name = folds_name(result) if task == "fewshot" else data_name(record, account)
            facts["published"] = _told_published(task, name, str(backbone["name"]), init is not None)
    return facts


def preset_of(backbone: Mapping[str, Any]) -> str:
    """The size whose preset a backbone has, but for what it reads of each point; empty for none."""

    def told(settings: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in settings.items() if key != "inputs"}

    for size in ("paper", "reference", "small"):
        build = MODEL_PRESETS.get(f"{size}/{backbone.get('name')}")
        if build is not None:
            preset: BackboneConfig = build().backbone
            if told(preset.settings) == told(backbone.get("settings", {})):
                return size
    return ""


def data_name(record: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """What `tap.results.published` calls the data set of a run, empty where it is none of the paper's.

    Known by the numbers of classes and test samples; OBJ_BG and OBJ_ONLY have the same, so their layout must be named.

    Args:
        record: of the run.
        data: its account of the data.
    """
    layout = str(record.get("config", {}).get("dataset", {}).get("layout", ""))
    counts = (len(data.get("classes", [])), data.get("num_samples", {}).get("test"))
    if counts == (15, 581):
        return layout if layout.startswith("scanobjectnn/obj_") else ""
    return KNOWN_SETS.get(counts, "")


def folds_name(result: Mapping[str, Any]) -> str:
    """What `tap.results.published` calls the folds of a few-shot run, empty where they are not ModelNet40's published ones.

    Args:
        result: summary of the run.
    """
    return f"modelnet40-fewshot/{result['way']}way_{result['shot']}shot" if result.get("folds") == "published" else ""


def _told_data(record: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    location, layout = record.get("shards") or record.get("data_set"), config.get("dataset", {}).get("layout", "auto")
    name = folder_name(str(location)) if location else ""
    used = record.get("num_used") or record.get("data", {}).get("num_samples", {})
    counts = ", ".join(f"{number} {part}" for part, number in used.items())
    folds = f"{config['way']}-way {config['shot']}-shot" if record.get("task") == "fewshot" else ""
    return " ".join(part for part in (name, f"as {layout}" if layout != "auto" else "", folds, f"({counts})") if part)


def _told_published(task: str, data: str, backbone: str, pretrained: bool) -> str:
    found = list(published(task, data, backbone, pretrained))
    values = dict.fromkeys(f"{value:g}" for _, column, value in found if not column.metric.startswith(CATEGORY))
    return f"{' / '.join(values)} ({found[0][0]})" if found else ""


def _ratio(init: Path) -> str:
    """That of the pre-training which a run started from, where its folder is still there and is no export."""
    if not has_checkpoint(init) or not (find_checkpoint(init) / STATE).is_file():
        return ""
    metrics = load_state(find_checkpoint(init)).get("metrics", {})
    return f"{metrics['ratio']:.3f}" if "ratio" in metrics else ""


def _parameters(folder: Path) -> str:
    """How many numbers of the checkpoint are learned, from the header of its weights."""
    for name in ("last", "best"):
        if has_checkpoint(folder, name):
            file = find_checkpoint(folder, name) / MODEL
            try:
                with safe_open(file, "pt") as tensors:
                    names = [name for name in tensors.keys() if not name.endswith(BUFFERS)]  # noqa: SIM118
                    count = sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
            except (OSError, SafetensorError) as error:
                raise TapError(f"{file}: cannot be read: {error}") from error
            return f"{count / 1e6:.2f} M"
    return ""


def _of_pretraining(_: Mapping[str, Any], folder: Path) -> Numbers:
    metrics = load_state(find_checkpoint(folder))["metrics"]
    kept = {"loss": "loss", "ratio": "ratio", "view dependence": "view_dependence"}
    return {f"{name} ({metrics['split']})": f"{metrics[key]:.3f}" for name, key in kept.items() if key in metrics}


def _of_any(result: Mapping[str, Any], _: Path) -> Numbers:
    """Numbers of each part and checkpoint in percent, with the deviation where several seeds or folds were run."""
    test = result.get("test")
    part, numbers = ("test", test) if test else ("validation", result.get("validation") or {})
    found: Numbers = {}
    for checkpoint, metrics in numbers.items():
        for metric, value in metrics.items():
            if metric in PERCENT and value is not None:
                found[f"{PERCENT[metric]}, {checkpoint} ({part})"] = _told(value)
    return found


def _of_probe(result: Mapping[str, Any], _: Path) -> Numbers:
    part = "test" if result.get("test") else "validation"
    numbers = result.get(part) or {}
    return {f"{told} ({part})": _told(numbers[metric]) for metric, told in PERCENT.items() if metric in numbers}


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        deviation = value.get("std")
        return f"{100 * value['mean']:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
    return f"{100 * value:.1f}"


PERCENT = {
    "accuracy": "accuracy",
    "class_mean_accuracy": "class mean",
    "class_miou": "class mIoU",
    "instance_miou": "instance mIoU",
}
MEASURED: dict[str, Callable[[Mapping[str, Any], Path], Numbers]] = {"pretrain": _of_pretraining, "probe": _of_probe}
