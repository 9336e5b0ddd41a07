"""The report of a run, from its folder alone."""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from tap.config import apply_overrides
from tap.errors import TapError
from tap.tasks import PRETRAIN_PRESETS
from tap.training.checkpoint import write_json
from tap.training.report import Picture, Section, Table, Text, write_report
from tap.training.report.origins import nearest_preset
from tap.training.run_folder import Table as CsvTable

NASTY = "<script>alert('&')</script>"


def make_run(out: Path, task: str = "pretrain", **changes: Any) -> Path:
    out.mkdir(parents=True)
    config = apply_overrides(PRETRAIN_PRESETS["small/transformer"](), ["train.epochs=4", "train.eval_every=2"])
    record = {"task": task, "config": config.model_dump(mode="json"), "shards": f"set {NASTY}"}
    record["data"] = {"num_samples": {"train": 1234, "test": 56}}
    write_json(out / "config.json", {**record, **changes})
    return out


def add_tables(out: Path, epochs: int) -> None:
    for step in range(1, 6 * epochs + 1):
        row = {"epoch": 1, "step": step, "loss": 1.0 / step, "mask_loss": 0.5, "skipped": 0, "lr": 1e-3}
        CsvTable(out / "metrics.csv").append(row | {"samples_per_second": 61.25, "data_wait": 0.01})
    for epoch in range(2, epochs + 1, 2):
        found: dict[str, Any] = {
            "epoch": epoch,
            "step": 6 * epoch,
            "split": "test",
            "loss": 0.25,
            "baseline_loss": 0.5,
            "ratio": 0.8125,
        }
        CsvTable(out / "eval.csv").append(found)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def test_a_finished_run_tells_all_of_itself(tmp_path: Path) -> None:
    out = make_run(tmp_path / "runs" / "first try")
    add_tables(out, 4)
    (out / "pictures").mkdir()
    for epoch, size in ((2, 3), (4, 5)):
        Image.fromarray(np.zeros((size, size), np.uint8)).save(out / "pictures" / f"epoch{epoch:03d}.png")
    write_json(
        out / "environment.json", {"commit": "abc123", "command": ["tap", "pretrain"], "versions": {"torch": "2"}}
    )
    page = write_report(out).read_text(encoding="utf-8")
    text = text_of(page)
    for part in (
        "first try", "Pre-training", "finished", "backbone transformer", "1,234 train, 56 test samples", "0.8125",
        "true ones, epoch 4", "Measured on: test", "train.epochs", "nearest preset, small/transformer", "abc123",
        "tap finetune classification", "--init", "tap photo CLOUD",
    ):  # fmt: skip
        assert part in text, part
    assert page.count("<svg") == 4  # training loss, learning rate, loss with its baseline, ratio
    assert page.count("data:image/png;base64,") == 1
    assert "--resume" not in text


def test_what_is_shown_of_the_truth_is_said(tmp_path: Path) -> None:
    out = make_run(tmp_path / "run")
    add_tables(out, 2)
    (out / "pictures").mkdir()
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(out / "pictures" / "epoch002.png")
    text = text_of(write_report(out).read_text(encoding="utf-8"))
    assert "0.25 loss, test" in text
    assert "silhouette" not in text
    record = json.loads((out / "config.json").read_text())
    record["config"]["targets"] = ["rgb", "depth"]
    write_json(out / "config.json", record)
    assert "shown, on the true silhouette alone" in text_of(write_report(out).read_text(encoding="utf-8"))


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    out = make_run(tmp_path / "run")
    add_tables(out, 2)
    page = write_report(out).read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert "&lt;script&gt;" in page


def test_a_run_that_goes_on_says_how(tmp_path: Path) -> None:
    out = make_run(tmp_path / "run")
    add_tables(out, 2)
    assert "2 of 4 epochs" in text_of(write_report(out).read_text())
    assert "tap pretrain &#x27;set" in write_report(out).read_text()
    write_json(out / "environment.json", {"command": ["tap", "pretrain", "my set", "--out", "x", "--resume"]})
    assert "tap pretrain 'my set' --out x --resume" in text_of(write_report(out).read_text()).replace("&#x27;", "'")


def test_an_empty_run_has_a_report_too(tmp_path: Path) -> None:
    text = text_of(write_report(make_run(tmp_path / "run", task="other")).read_text())
    assert "other" in text
    assert "0 of 4 epochs" in text


def test_a_result_is_shown(tmp_path: Path) -> None:
    out = make_run(tmp_path / "run")
    add_tables(out, 2)
    numbers = {"loss": 0.5, "accuracy": 0.875}
    result = {"validation": {"last": numbers, "best": numbers}, "test": {"best": {"loss": 0.4, "accuracy": 0.9375}}}
    write_json(out / "result.json", {**result, "best_epoch": 7, "selected_on": "validation accuracy"})
    text = text_of(write_report(out).read_text())
    assert "accuracy loss" in text  # in the order of the file
    assert "test, best checkpoint 0.9375 0.4" in text
    assert "epoch 7, chosen on validation accuracy" in text
    assert (
        text.index("accuracy, test, best") < text.index("Result") < text.index("How it went")
    )  # what it is read for first


class Confused:
    """A task with a section of its own."""

    def __init__(self) -> None:
        self.model = nn.Linear(100, 250)

    def report_sections(self, out: Path) -> list[Section]:
        table = Table(["of", "number"], [[NASTY, 12_345]])
        return [Section(NASTY, [Text(NASTY), table, Picture(out / "a.png", NASTY)])]


def test_a_task_adds_sections_and_their_text_is_escaped(tmp_path: Path) -> None:
    out = make_run(tmp_path / "run")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(out / "a.png")
    task: Any = Confused()
    page = write_report(out, task).read_text()
    assert page.count(escape(NASTY)) >= 5
    assert "<script" not in page
    assert "12,345" in page
    assert "0.03 M parameters" in page


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    out = make_run(tmp_path / "run")
    (out / "config.json").write_text("{")
    with pytest.raises(TapError, match=r"config\.json: cannot be read"):
        write_report(out)


def test_the_nearest_preset_and_what_differs_from_it() -> None:
    config = apply_overrides(PRETRAIN_PRESETS["small/transformer"](), ["train.seed=3", "data.num_views=2"])
    name, pairs = nearest_preset(config.model_dump(mode="json"), PRETRAIN_PRESETS)
    assert name == "small/transformer"
    assert pairs == [("data.num_views", 4, 2), ("train.seed", 0, 3)]
