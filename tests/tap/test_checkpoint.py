from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tap.backbones import BackboneConfig, build_backbone
from tap.errors import TapError
from tap.training import checkpoint
from tap.training.checkpoint import find_checkpoint, load_record, load_weights, save_checkpoint

RECORD = {"format_version": checkpoint.FORMAT_VERSION, "config": {}}


def model() -> nn.ModuleDict:
    return nn.ModuleDict({"backbone": nn.Linear(3, 2), "head": nn.Linear(2, 2)})


def test_round_trip_and_replacement(tmp_path: Path) -> None:
    source, target = model(), model()
    for step in (1, 2):
        save_checkpoint(tmp_path / "last", RECORD, {"step": step}, source.state_dict(), {"a/step": torch.ones(())})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]
    assert checkpoint.load_state(tmp_path / "last") == {"step": 2}
    assert load_record(tmp_path / "last") == RECORD
    assert load_weights(target, tmp_path) == []
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )


def test_prefix_takes_one_part_and_accounts_for_the_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, backbone = model(), nn.Linear(3, 2)
    save_checkpoint(tmp_path / "last", RECORD, {}, source.state_dict())
    with caplog.at_level("INFO"):
        left_out = load_weights(backbone, tmp_path, "backbone.")
    assert left_out == ["head.bias", "head.weight"]
    assert "took 2 tensors of 'backbone.', left out 2 head" in caplog.text
    assert torch.equal(backbone.weight, source.state_dict()["backbone.weight"])


def test_mismatch_names_the_tensors_and_changes_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", RECORD, {}, model().state_dict())
    other = nn.ModuleDict({"backbone": nn.Linear(4, 2), "neck": nn.Linear(1, 1)})
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(TapError) as error:
        load_weights(other, tmp_path)
    message = str(error.value)
    assert "neck.weight is missing" in message
    assert "head.bias has no place in the model" in message
    assert "backbone.weight is (2, 3) where the model has (2, 4)" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def test_a_checkpoint_of_another_backbone_says_how_they_differ(tmp_path: Path) -> None:
    source: Any = build_backbone(
        BackboneConfig(name="transformer", settings={"channels": 48, "num_heads": 3, "depth": 1})
    )
    weights = {f"backbone.{name}": tensor for name, tensor in source.state_dict().items()}
    save_checkpoint(tmp_path / "last", RECORD, {}, weights)
    other: Any = build_backbone(BackboneConfig(name="dgcnn"))
    wanted = set(other.state_dict())
    with pytest.raises(TapError, match="does not fit the model") as error:
        load_weights(other, tmp_path, "backbone.")
    message = str(error.value)
    named = [part for part in message.split(": ")[2].split("; ")[0].split(", ") if part.startswith("backbone.")]
    assert (
        sum("is missing" in part for part in named) == sum("has no place in the model" in part for part in named) == 2
    )
    shared = wanted & set(source.state_dict())
    unlike = [name for name in shared if other.state_dict()[name].shape != source.state_dict()[name].shape]
    differences = len(wanted) + len(weights) - 2 * len(shared) + len(unlike)
    assert f"and {differences - len(named)} more; use the config of that run" in message


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(TapError, match="no such folder"):
        find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(TapError, match="neither a checkpoint nor a run"):
        find_checkpoint(tmp_path)


def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", RECORD, {"step": 1}, model().state_dict())
    (tmp_path / "last").rename(tmp_path / ".last.previous")
    assert checkpoint.load_state(find_checkpoint(tmp_path)) == {"step": 1}
    save_checkpoint(tmp_path / "last", RECORD, {"step": 2}, model().state_dict())
    assert checkpoint.load_state(find_checkpoint(tmp_path)) == {"step": 2}


def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    for name in (".last.tmp-1", ".best.tmp-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.MODEL).write_bytes(b"half")
    save_checkpoint(tmp_path / "last", RECORD, {}, model().state_dict())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".best.tmp-1", "last"]


def test_damage_and_foreign_versions_are_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", {"format_version": 99}, {}, model().state_dict())
    with pytest.raises(TapError, match="format version 99, this release reads 1"):
        load_record(tmp_path / "last")
    (tmp_path / "last" / checkpoint.MODEL).write_bytes(b"short")
    with pytest.raises(TapError, match="cannot be read"):
        load_weights(model(), tmp_path)
