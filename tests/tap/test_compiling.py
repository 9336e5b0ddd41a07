import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tap.config import apply_overrides
from tap.errors import TapError
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.training.checkpoint import load_tensors
from tap.training.compiling import compiled, plain_compiler_errors


class CompilerError(RuntimeError):
    """As torch raises one."""


CompilerError.__module__ = "torch._inductor.exc"


def test_a_machine_without_a_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(function: Any) -> Any:
        def run(*_: Any) -> None:
            raise CompilerError("No working C++ compiler found.\nTraceback:\n  a hundred lines")

        return run

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(TapError, match=r"cannot compile for cpu: No working C\+\+ compiler found; set train\.compile"):
        compiled(nn.Linear(2, 2), torch.device("cpu"))


def test_only_errors_of_the_compiler_are_its() -> None:
    with (
        pytest.raises(TapError, match=r"^train\.compile: the model cannot be compiled: odd; "),
        plain_compiler_errors(True),
    ):
        raise CompilerError("odd")
    for enabled, error in ((False, CompilerError("odd")), (True, ValueError("a bug"))):
        with pytest.raises(type(error)), plain_compiler_errors(enabled):
            raise error


def test_a_compiled_run_saves_plain_names_and_goes_on_without(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))  # needs no compiler
    config = apply_overrides(pretrain_config, ["train.epochs=1", "train.compile=true"])
    result = pretrain(shards, tmp_path / "run", config)
    names = load_tensors(Path(result["checkpoint"]) / "model.safetensors")
    assert not any("_orig_mod" in name for name in names)
    plain = apply_overrides(config, ["train.compile=false"])
    assert pretrain(shards, tmp_path / "run", plain, resume=True)["steps"] == 3
    assert result["metrics"]["loss"] == pytest.approx(
        pretrain(shards, tmp_path / "plain", plain)["metrics"]["loss"], rel=1e-4
    )
