import functools
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli.main import app
from cli.use_commands import compare, reproduce
from tap.results.published import TABLES
from tap.results.reproduction import Planner, Step, steps_of
from tap.tasks.classes.classification_presets import CLASSIFICATION_PRESETS, FEWSHOT_PRESETS
from tap.tasks.parts.partseg_presets import PARTSEG_PRESETS
from tap.tasks.pretraining.pretrain_presets import PRETRAIN_PRESETS

PRESETS: dict[str, Any] = {
    "pretrain": PRETRAIN_PRESETS,
    "classification": CLASSIFICATION_PRESETS,
    "fewshot": FEWSHOT_PRESETS,
    "partseg": PARTSEG_PRESETS,
}


@functools.cache
def preset(task: str, name: str) -> Any:
    """A preset's config, which takes a while to build where its backbone is large."""
    return PRESETS[task][name]()


def parsed(step: Step) -> dict[str, Any]:
    """The parameters that a step's command is called with; raises where it is wrong usage."""
    command: Any = typer.main.get_command(app)
    words = list(step.arguments)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return dict(command.make_context(step.task, words).params)


@pytest.mark.parametrize("size", ["paper", "reference", "small"])
@pytest.mark.parametrize("table", TABLES)
def test_every_command_parses_and_its_preset_is_there(table: str, size: Any) -> None:
    steps = steps_of(Planner(Path("data"), Path("runs"), size).cells(table))
    assert bool(steps) == (table != "table5")
    for step in steps:
        given = parsed(step)
        assert given["preset"] in PRESETS[step.task], step.command
        assert (given["out"], given["resume"]) == (step.out, True)
        assert shlex.split(step.command) == ["tap", *step.arguments]
        if step.needs is not None:
            assert given["init"] == step.needs.out
            before = preset("pretrain", parsed(step.needs)["preset"]).model.backbone
            mine = preset(step.task, given["preset"]).backbone
            if mine is not None:  # else it takes that of the pre-training
                differing = {key for key, value in mine.settings.items() if before.settings.get(key) != value}
                assert mine.name == before.name
                assert differing == ({"inputs"} if given.get("reinit") else set()), step.command


def test_the_settings_are_those_of_the_paper() -> None:
    planner = Planner(Path("data"), Path("runs"))
    cells = {(cell.row.name, cell.column.name): parsed(cell.step) for cell in planner.cells("table4")}
    given = cells["Transformer + TAP", "10-way 20-shot"]
    assert (given["way"], given["shot"], given["folds"]) == (10, 20, 10)
    given = parsed(planner.cells("table3")[0].step)
    assert (given["select"], given["settings"], given["reinit"]) == ("test", ["train_split=trainval"], None)
    given = parsed(planner.cells("table1")[0].step)
    assert (given["select"], given["layout"]) == ("test", "scanobjectnn/pb_t50_rs")


def invoke(*arguments: Any) -> Result:
    commands = typer.Typer(pretty_exceptions_enable=False)
    for command in (compare, reproduce):  # of one command alone typer makes no command
        commands.command()(command)
    return CliRunner().invoke(commands, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def test_commands_of_a_table_are_listed(tmp_path: Path) -> None:
    done = invoke("reproduce", "table3", "--data", tmp_path, "--out", tmp_path / "table3.md")
    assert done.exit_code == 0, done.output
    steps = steps_of(Planner(tmp_path, Path("runs/reproduce")).cells("table3"))
    assert len(steps) == 3
    for step in steps:
        assert step.command in done.stdout
        assert step.command in (tmp_path / "table3.md").read_text()
    assert f"{tmp_path}/ShapeNetPart is not there" in done.stdout
    ran = invoke("reproduce", "table3", "--data", tmp_path, "--run")
    assert ran.exit_code == 0, ran.output  # nothing could run, and nothing failed
    assert "0 of 3 runs of table3 are finished" in ran.stdout
    assert "is no folder" not in ran.stdout
    nowhere = invoke("reproduce", "table3", "--data", tmp_path / "nowhere", "--run").stdout
    assert f"are finished; {tmp_path / 'nowhere'} is no folder, --data names that of the data sets" in nowhere
    assert "| PointMLP + TAP | class mIoU | 85.2 |  |  |  |" in ran.stdout
    scenes = invoke("reproduce", "table5", "--run")
    assert "nothing of table5 can be run: scene-level tasks are not there yet" in scenes.stdout
    assert invoke("reproduce", "table9").exit_code == 2


def test_a_command_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def start(command: list[str]) -> "subprocess.Popen[bytes]":
        ran.append(command)
        return popen([sys.executable, "-c", "raise SystemExit(1)"])

    popen = subprocess.Popen
    monkeypatch.setattr("cli.reproduce_command.subprocess.Popen", start)
    folder = tmp_path / "modelnet40_normal_resampled"
    (folder / "cup").mkdir(parents=True)
    (folder / "modelnet40_shape_names.txt").write_text("cup\n")
    for split, name in (("train", "cup_0001"), ("test", "cup_0002")):
        (folder / f"modelnet40_{split}.txt").write_text(f"{name}\n")
        (folder / "cup" / f"{name}.txt").write_text("0,0,0,0,0,1\n")
    done = invoke("reproduce", "table2", "--data", tmp_path, "--runs", tmp_path / "runs", "--run")
    assert done.exit_code == 1
    assert len(ran) == 1  # from scratch; the other starts from a pre-training without data
    assert ran[0][:5] == [sys.executable, "-m", "cli.main", "finetune", "classification"]
    assert f"{tmp_path}/runs/paper/classification-pointmlp-scratch-modelnet40: failed with exit code 1" in done.stdout


RUN = """
import signal, sys
from cli import reproduce_command
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.executable, reproduce_command.SECONDS_TO_SAVE = sys.argv[1], float(sys.argv[3])
try:
    reproduce_command._run([sys.argv[2]])
except KeyboardInterrupt:
    sys.exit(7)
"""
SAVES = """#!{python}
import pathlib, signal, sys, time
file = pathlib.Path(sys.argv[-1])
def save(number, frame):
    time.sleep(1)
    file.write_text("saved")
    sys.exit(130)
signal.signal(signal.SIGINT, save)
file.write_text("ready")
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("meets_both", [True, False])
def test_after_ctrl_c_the_run_has_the_time_to_save(meets_both: bool, tmp_path: Path) -> None:
    program, file = tmp_path / "tap", tmp_path / "state"
    program.write_text(SAVES.format(python=sys.executable))
    program.chmod(0o755)
    seconds = "60" if meets_both else "0.1"
    process = subprocess.Popen([sys.executable, "-c", RUN, program, file, seconds], start_new_session=True)
    while not file.exists() or file.read_text() != "ready":
        assert process.poll() is None
        time.sleep(0.05)
    if meets_both:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == 7
    assert file.read_text() == "saved"
