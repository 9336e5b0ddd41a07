import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from tap.backbones import BackboneConfig, build_backbone
from tap.errors import TapError
from tap.interchange.hub import load_backbone
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint

CONFIG = BackboneConfig(name="dgcnn", settings={"widths": (8, 8), "channels": 16, "num_neighbors": 4})


def write(folder: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> Path:
    save_checkpoint(folder, {"format_version": FORMAT_VERSION, "config": config}, {}, weights)
    return folder


def own_weights(config: BackboneConfig) -> dict[str, torch.Tensor]:
    module: Any = build_backbone(config)
    return {f"backbone.{name}": tensor for name, tensor in module.state_dict().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "weights", {"backbone": CONFIG.model_dump(mode="json")}, own_weights(CONFIG))


class FakeHub(types.ModuleType):
    """In place of `huggingface_hub`: answers with one folder, or an error."""

    def __init__(self, answer: Path | Exception) -> None:
        super().__init__("huggingface_hub")
        self.answer, self.asked = answer, []  # type: ignore[var-annotated]

    def snapshot_download(self, name: str, revision: str | None = None, allow_patterns: list[str] | None = None) -> str:
        self.asked.append((name, revision, allow_patterns))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


def test_a_name_of_the_hub_is_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    backbone = load_backbone("someone/tap-dgcnn", revision="v1")
    assert hub.asked == [("someone/tap-dgcnn", "v1", ["config.json", "model.safetensors"])]
    assert torch.equal(
        backbone.get_parameter("fusion.linear.weight"), load_backbone(folder).get_parameter("fusion.linear.weight")
    )
    assert len(hub.asked) == 1  # a folder of this machine asks nobody


def test_errors_of_the_hub_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(OSError("404 not found\nmore")))
    with pytest.raises(TapError, match=r"someone/x: no such folder, and not to be had .*: 404 not found$"):
        load_backbone("someone/x")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(TapError, match=r"someone/x: no such folder, .*pip install \"tap3d\[hub\]\""):
        load_backbone("someone/x")


@pytest.mark.parametrize("name", ["runs", "a/b/c", "/nowhere/run", "../x", "http://a/b"])
def test_what_is_no_name_of_the_hub_is_a_missing_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(OSError("asked"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(TapError, match="no such folder; give an export"):
        load_backbone(name)
    assert not hub.asked


def test_the_hub_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"backbone": {"name": "this:Zen", "settings": {}}}
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(write(tmp_path / "odd", config, {"a": torch.ones(1)})))
    with pytest.raises(TapError, match="import this first, if you trust it"):
        load_backbone("someone/odd")
    assert "this" not in sys.modules


def test_folders_that_hold_no_backbone_are_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TapError, match="neither a checkpoint nor a run"):
        load_backbone(tmp_path)
    with pytest.raises(TapError, match="names no backbone"):
        load_backbone(write(tmp_path / "none", {}, {"a": torch.ones(1)}))
    unknown = {"backbone": {"name": "dgcnn", "settings": {"wings": 2}}}
    with pytest.raises(TapError, match="wings"):
        load_backbone(write(tmp_path / "unknown", unknown, {"a": torch.ones(1)}))


def test_weights_of_another_backbone_are_named(tmp_path: Path) -> None:
    wider = BackboneConfig(name="dgcnn", settings={"widths": (8, 8), "channels": 32, "num_neighbors": 4})
    mixed = write(tmp_path / "mixed", {"backbone": wider.model_dump(mode="json")}, own_weights(CONFIG))
    with pytest.raises(TapError, match=r"backbone.fusion.linear.weight is \(16, 16\) where the model has \(32, 16\)"):
        load_backbone(mixed)
    other = BackboneConfig(
        name="pointnet2", settings={"strides": (2,), "mlps": ((8,),), "radii": (1.0,), "num_neighbors": (4,)}
    )
    with pytest.raises(TapError, match=r"backbone\.stages\.0\.layers.0.linear.weight is missing"):
        load_backbone(write(tmp_path / "other", {"backbone": other.model_dump(mode="json")}, own_weights(CONFIG)))
