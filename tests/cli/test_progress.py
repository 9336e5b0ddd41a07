"""What a terminal, or a file in its place, shows of a training run."""

import time
from typing import Any

import pytest

from cli.progress import TrainProgress, training_line

NUMBERS: dict[str, Any] = {
    "epoch": 2, "epochs": 70, "step": 12, "steps": 420.0, "loss": 0.51234, "samples_per_second": 61.25, "data_wait": 0.032,
    "seconds_left": 3723.0,
}  # fmt: skip


def test_the_line_has_all_that_matters() -> None:
    assert training_line(NUMBERS) == (
        "epoch 2 of 70, step 12 of 420",
        "loss 0.5123, 61.2 samples/s, waiting for data 3%, 1:02:03 left",
    )


def test_without_a_terminal_lines_come_now_and_then_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with TrainProgress() as shown:
        shown.on_message("[bold]begins")
        for step in range(1, 421):
            now[0] += 1.0
            shown.on_step({**NUMBERS, "step": step})
        shown.on_eval({"epoch": 2, "split": "test", "loss": 0.25})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[bold]begins"
    steps = [int(line.partition("step ")[2].partition(" ")[0]) for line in lines[1:-1]]
    assert steps[:3] == [1, 11, 21]
    assert steps[-1] == 420
    assert len(steps) == 43
    assert lines[-1] == "evaluated: epoch 2, split test, loss 0.25"


def test_further_processes_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainProgress(speaks=False) as shown:
        shown.on_message("begins")
        shown.on_step(NUMBERS)
        shown.on_eval({"loss": 1.0})
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
