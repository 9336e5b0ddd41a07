import argparse
import os
import pickle
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tap.errors import TapError
from tap.interchange.untrusted import load_checkpoint

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3)}


class Runs:
    """A pickle of it calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_both_formats_of_torch_are_read(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "w.pth"
    torch.save({"model": WEIGHTS, "epoch": 3}, file, _use_new_zipfile_serialization=zipped)
    content = load_checkpoint(file)
    assert content["epoch"] == 3
    assert torch.equal(content["model"]["layer.weight"], WEIGHTS["layer.weight"])


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "w.safetensors")
    assert list(load_checkpoint(tmp_path / "w.safetensors")) == ["layer.weight"]


def test_what_public_checkpoints_hold_beside_tensors_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("easydict")
    easy = type("EasyDict", (dict,), {"__module__": "easydict", "__qualname__": "EasyDict"})
    module.EasyDict = easy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easydict", module)
    beside = {
        "best": np.float64(0.5),
        "curve": np.arange(3.0),
        "count": np.int64(4),
        "args": argparse.Namespace(lr=0.1),
        "config": easy(depth=2),
    }
    torch.save({"model": WEIGHTS, **beside}, tmp_path / "w.pth")
    monkeypatch.delitem(sys.modules, "easydict")
    content = load_checkpoint(tmp_path / "w.pth")
    assert content["best"] == 0.5
    assert content["curve"].tolist() == [0.0, 1.0, 2.0]
    assert content["count"] == 4
    assert content["args"].lr == 0.1
    assert dict(content["config"]) == {"depth": 2}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("call", ["system", "eval", "import", "loads"])
def test_what_would_run_is_refused_and_does_not(tmp_path: Path, zipped: bool, call: str) -> None:
    witness = tmp_path / "ran"
    code = f"open({str(witness)!r}, 'w').close()"
    runs = {
        "system": Runs(os.system, f"touch {witness}"),
        "eval": Runs(eval, code),
        "import": Runs(__import__, "this"),
        "loads": Runs(pickle.loads, pickle.dumps(Runs(eval, code))),
    }
    torch.save({"model": WEIGHTS, "x": runs[call]}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    named = {"system": "system", "eval": "eval", "import": "__import__", "loads": "loads"}[call]
    with pytest.raises(TapError, match=rf"w\.pth: names \S*{named}, which is not on the list"):
        load_checkpoint(tmp_path / "w.pth")
    assert not witness.exists()
    assert "this" not in sys.modules


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS, "x": np.array([Runs(print, "no")], dtype=object)}, tmp_path / "w.pth")
    with pytest.raises(TapError, match=r"w\.pth: "):
        load_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_cut_file_is_one_line(tmp_path: Path, share: float, zipped: bool) -> None:
    file = tmp_path / "w.pth"
    torch.save({"model": WEIGHTS}, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    # In a file without zip the cut may go through a name.
    with pytest.raises(TapError, match=r"it may be cut off|it is cut off there") as error:
        load_checkpoint(file)
    assert "\n" not in str(error.value)
    assert "internal" not in str(error.value)


def test_advice_of_torch_is_not_passed_on(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "noise.pth").write_bytes(b"\x95\x02" * 50)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"model": Runs(os.system, "true")}, protocol=4))
    for name in ("noise", "plain"):  # torch tells how to switch the allow-list off
        with pytest.raises(TapError, match=rf"{name}\.pth: ") as error:
            load_checkpoint(tmp_path / f"{name}.pth")
        assert not re.search("weights_only|PyTorch|Re-running", str(error.value))
        assert "Unsupported operand 149" in str(error.value)
    assert not [one for one in recwarn if "pickle protocol" in str(one.message)]


def test_what_is_no_checkpoint_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a checkpoint\n")
    with pytest.raises(TapError, match=r"text\.pth: cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "text.pth")
    with pytest.raises(TapError, match="is a folder"):
        load_checkpoint(tmp_path)
    with pytest.raises(TapError, match=r"cannot be read: .*No such file"):
        load_checkpoint(tmp_path / "nowhere.pth")
    for content, kind in (({"epoch": 3, "more": {"a": 1}}, "dict"), ([1, 2], "list"), (torch.ones(2), "Tensor")):
        torch.save(content, tmp_path / "empty.pth")
        with pytest.raises(TapError, match=f"holds a {kind} without tensors"):
            load_checkpoint(tmp_path / "empty.pth")
