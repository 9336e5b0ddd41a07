"""Fills the report of a run from what lies in its folder: record, tables, pictures, environment."""

import dataclasses
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.pages.page import escaped, fill_page
from tap.errors import TapError
from tap.training.checkpoint import CONFIG, read_json
from tap.training.environment import ENVIRONMENT
from tap.training.report.charts import Series, chart
from tap.training.report.origins import environment_section, settings_section
from tap.training.report.sections import Charts, Picture, Section, Table, Text, words
from tap.training.run_folder import EVALUATIONS, METRICS, picture_of
from tap.training.run_folder import Table as CsvTable
from tap.training.task import Reporting, Task

REPORT, RESULT, BASELINE = "report.html", "result.json", "baseline_"
TITLES = {
    "pretrain": "Pre-training",
    "classification": "Fine-tuning for classification",
    "fewshot": "Few-shot classification",
    "partseg": "Fine-tuning for part segmentation",
}
COMMANDS = {
    "pretrain": "tap pretrain",
    "classification": "tap finetune classification",
    "fewshot": "tap finetune fewshot",
    "partseg": "tap finetune partseg",
}
MAX_TILES = 6
Rows = list[dict[str, str]]


def write_report(out: Path, task: Task | None = None) -> Path:
    """Writes ``report.html`` of a run folder, in place of the one that stands there.

    Args:
        out: the run folder; needs ``config.json``, all else is shown as far as it is there.
        task: tells the number of parameters, and its own sections where it is `tap.training.task.Reporting`.

    Returns:
        The file.

    Raises:
        TapError: a file of the folder is damaged, or the page cannot be written.
    """
    out = Path(out)
    record = read_json(out / CONFIG)
    training, evaluations = CsvTable(out / METRICS).rows(), CsvTable(out / EVALUATIONS).rows()
    sections = [
        *_pictures(out, record),
        *_result(out),
        *(task.report_sections(out) if isinstance(task, Reporting) else []),
        *_curves(training, evaluations),
        *_evaluations(evaluations),
        *_go_on(out, record, evaluations),
        *settings_section(record),
        *environment_section(out),
    ]
    parts = {
        "name": escaped(out.resolve().name),
        "kind": escaped(TITLES.get(str(record.get("task")), str(record.get("task")))),
        "state": _state(record, evaluations),
        "summary": escaped(_summary(record, task)),
        "tiles": _tiles(out, training, evaluations),
        "sections": "".join(section.html() for section in sections),
    }
    page = fill_page("report.html", ["page.css", "report.css"], [], parts, "tap.training.report")
    temporary = out / f".{REPORT}.tmp"
    try:
        temporary.write_bytes(page)
        temporary.replace(out / REPORT)
    except OSError as error:
        raise TapError(f"{out / REPORT}: cannot be written: {error}; free space or change --out") from error
    return out / REPORT


def _state(record: Mapping[str, Any], evaluations: Rows) -> str:
    epochs, done = _epochs(record), int(evaluations[-1]["epoch"]) if evaluations else 0
    kind, text = ("good", "finished") if done >= epochs else ("", f"{done} of {epochs} epochs")
    return f'<span class="state {kind}">{escaped(text)}</span>'


def _epochs(record: Mapping[str, Any]) -> int:
    return int(record["config"]["train"]["epochs"])


def _summary(record: Mapping[str, Any], task: Task | None) -> str:
    config, parts = record["config"], []
    backbone = (config.get("model") or config).get("backbone") or {}
    parts.append(f"backbone {backbone.get('name', 'of the run that it started from')}")
    if task is not None:
        parts.append(f"{sum(value.numel() for value in task.model.parameters()) / 1e6:.2f} M parameters")
    counts = record.get("num_used") or record.get("data", {}).get("num_samples") or {}
    parts.append(
        ", ".join(f"{number:,} {split}" for split, number in sorted(counts.items(), reverse=True)) + " samples"
    )
    if record.get("init"):
        parts.append(f"from {record['init']}")
    return " · ".join(parts)


def _tiles(out: Path, training: Rows, evaluations: Rows) -> str:
    shown = _test_tiles(out)
    if evaluations:
        last = evaluations[-1]
        split = f", {last['split']}" if last.get("split") else ""  # a validation's accuracy is no test's
        shown += [(words(name) + split, last[name]) for name in _measured(evaluations)]
        shown = [*shown[: MAX_TILES - 2], ("steps", last["step"])]
    if training:
        shown.append((words("samples_per_second"), training[-1]["samples_per_second"]))
    tiles = (
        f"<div class='tile'><b>{escaped(_neat(value))}</b><span>{escaped(name)}</span></div>" for name, value in shown
    )
    return "".join(tiles)


def _test_tiles(out: Path) -> list[tuple[str, Any]]:
    """What a finished run is read for: its numbers on test, of the checkpoint that was selected, or of the only one."""
    test = (read_json(out / RESULT).get("test") or {}) if (out / RESULT).exists() else {}
    name = "best" if "best" in test else "last"
    return [(f"{words(key)}, test, {name}", value) for key, value in test.get(name, {}).items() if key != "loss"]


def _pictures(out: Path, record: Mapping[str, Any]) -> list[Section]:
    last = picture_of(out)
    if last is None:
        return []
    epoch = last.stem.removeprefix("epoch").lstrip("0")
    caption = f"Views drawn by the model above the true ones, epoch {epoch}."
    if {"depth", "normal"} & set(record["config"].get("targets", ())):
        caption += " Depth and normals are learned, and shown, on the true silhouette alone."
    return [Section("What it draws", [Picture(last, caption)])]


def _curves(training: Rows, evaluations: Rows) -> list[Section]:
    charts = []
    losses = [_series(training, "step", name) for name in _numeric(training) if name.endswith("loss")]
    if losses:
        short = [dataclasses.replace(one, name=one.name.removesuffix("loss").strip() or "total") for one in losses]
        charts.append(chart("training loss", "step", short, log=True))
    if "lr" in _numeric(training):
        charts.append(chart("learning rate", "step", [_series(training, "step", "lr")]))
    for name in _measured(evaluations):
        title = words(name)
        series = [_series(evaluations, "epoch", name)]
        if BASELINE + name in evaluations[0]:
            base = _series(evaluations, "epoch", BASELINE + name)
            series.append(dataclasses.replace(base, name="baseline", dashed=True))
        charts.append(chart(title, "epoch", series))
    return [Section("How it went", [Charts(charts)])] if charts else []


def _evaluations(evaluations: Rows) -> list[Section]:
    if not evaluations:
        return []
    columns = [name for name in evaluations[-1] if name != "split"]
    rows = [
        [int(float(row[name])) if name in ("epoch", "step") else _value(row[name]) for name in columns]
        for row in evaluations
    ]
    splits = sorted({row["split"] for row in evaluations if "split" in row})
    measured = [Text(f"Measured on: {', '.join(splits)}.")] if splits else []
    return [Section("Evaluations", [*measured, Table([words(name) for name in columns], rows[::-1], 0)])]


def _result(out: Path) -> list[Section]:
    if not (out / RESULT).exists():
        return []
    result = read_json(out / RESULT)
    found = [
        (
            f"{split}, vote of {result.get('num_votes')} draws" if name == "vote" else f"{split}, {name} checkpoint",
            numbers,
        )
        for split in ("validation", "test")
        for name, numbers in (result.get(split) or {}).items()
    ]
    if not found:
        return []
    columns = list(found[0][1])
    rows = [[name, *(numbers.get(column) for column in columns)] for name, numbers in found]
    chosen = f"Selected on {result.get('selected_on')}."
    if result.get("best_epoch") is not None:
        chosen = f"The best checkpoint is of epoch {result['best_epoch']}, chosen on {result.get('selected_on')}."
    return [Section("Result", [Text(chosen), Table(["", *map(words, columns)], rows)])]


def _go_on(out: Path, record: Mapping[str, Any], evaluations: Rows) -> list[Section]:
    done = bool(evaluations) and int(evaluations[-1]["epoch"]) >= _epochs(record)
    run, shards, lines = shlex.quote(str(out)), shlex.quote(str(record.get("shards", "SHARDS"))), []
    if not done:
        lines += ["# after a stop, with the options that it was started with", _resume(out, record, run, shards)]
    if record.get("task") == "pretrain":
        lines += [
            "# learn to classify from its backbone",
            f"tap finetune classification {shards} --init {run} --out {run}-classify",
        ]
        lines += ["# photos of any point cloud or mesh", f"tap photo CLOUD --run {run} --out photos"]
        lines += ["# its backbone alone, for others", f"tap export {run} --out {run}-backbone"]
    return [Section("How to go on", [Text("\n".join(lines), code=True)])] if lines else []


def _resume(out: Path, record: Mapping[str, Any], run: str, shards: str) -> str:
    command = read_json(out / ENVIRONMENT).get("command") if (out / ENVIRONMENT).exists() else None
    if isinstance(command, list) and command[1:2] and command[1] in ("pretrain", "finetune"):
        words = [str(word) for word in command[1:] if word != "--resume"]
        return shlex.join(["tap", *words, "--resume"])
    return f"{COMMANDS.get(str(record.get('task')), 'tap')} {shards} --out {run} --resume"


def _measured(evaluations: Rows) -> list[str]:
    """The numbers of the evaluations, without those of a baseline and the places."""
    return [name for name in _numeric(evaluations) if name not in ("epoch", "step") and not name.startswith(BASELINE)]


def _series(rows: Rows, x: str, y: str) -> Series:
    return Series(words(y), [float(row[x]) for row in rows], [float(row[y]) for row in rows])


def _numeric(rows: Rows) -> list[str]:
    return [name for name in (rows[0] if rows else {}) if all(_number(row[name]) for row in rows)]


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _value(text: str) -> float | str:
    """A cell of a table as what it means; whole numbers stay whole."""
    return int(text) if text.isdecimal() else float(text) if _number(text) else text


def _neat(text: str) -> str:
    value = float(text)
    return f"{int(value):,}" if value.is_integer() and abs(value) >= 1 else f"{value:.3g}"
