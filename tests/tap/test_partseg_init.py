from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tap.backbones import BackboneConfig
from tap.config import apply_overrides
from tap.errors import TapError
from tap.interchange.folder import write_folder
from tap.loading.data import DataConfig
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.part_segmentation import build_segmenter
from tap.tasks.parts.partseg import finetune_partseg
from tap.tasks.parts.partseg_init import load_backbone, reinit_named, starting_backbone
from tap.training.checkpoint import load_record, load_tensors
from tap.training.task import Silent
from tests.tap.part_sets import POINTMLP, tiny_config, write_part_set


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_part_set(tmp_path_factory.mktemp("sets") / "parts", {"train": 2, "val": 1, "test": 1})


@pytest.fixture(scope="module")
def config() -> PartSegConfig:
    return tiny_config()


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a backbone of the same settings, other weights."""
    torch.manual_seed(5)
    out = tmp_path_factory.mktemp("init") / "backbone"
    return write_backbone(out, POINTMLP)


def write_backbone(out: Path, settings: dict[str, Any]) -> Path:
    backbone = BackboneConfig(name="pointmlp", settings=settings)
    model = build_segmenter(PartSegConfig(backbone=backbone, data=DataConfig(num_points=64)), 2, 1)
    tensors = {f"backbone.{name}": value for name, value in model.get_submodule("backbone").state_dict().items()}
    return write_folder(out, {"config": {"backbone": backbone.model_dump()}}, tensors, {})


def test_from_a_backbone(parts: Path, config: PartSegConfig, init: Path, tmp_path: Path) -> None:
    stored = load_file(init / "model.safetensors")
    frozen = apply_overrides(config, ["train.epochs=1", "backbone=null", "backbone_warmup_epochs=1000000000"])
    result = finetune_partseg(parts, tmp_path, frozen, init=init)
    assert (result["init"], result["reinitialized"]) == (str(init), [])
    found = load_tensors(tmp_path / "last" / "model.safetensors")
    learned = [name for name in stored if stored[name].ndim > 1]
    assert learned
    assert all(torch.allclose(found[name], stored[name], atol=1e-6) for name in learned)


def test_a_first_layer_of_other_inputs_is_begun_anew_only_when_told(
    parts: Path, config: PartSegConfig, init: Path, tmp_path: Path
) -> None:
    wider = apply_overrides(config, ["train.epochs=1", "backbone.settings.inputs=xyz_normal"])
    told = r"backbone.embed.linear.weight is \(8, 3\) where the model has \(8, 6\): .* --reinit embedding"
    with pytest.raises(TapError, match=told):
        finetune_partseg(parts, tmp_path / "run", wider, init=init)
    assert not (tmp_path / "run").exists()
    heard = Heard()
    result = finetune_partseg(parts, tmp_path / "run", wider, init, False, heard, "embedding")
    assert result["reinitialized"] == ["backbone.embed.linear.weight"]
    assert "but for backbone.embed.linear.weight, which is fresh" in heard.messages[0]
    record = load_record(tmp_path / "run" / "last")
    assert record["config"]["data"]["normals"] is True
    assert record["reinitialized"] == ["backbone.embed.linear.weight"]
    longer = apply_overrides(wider, ["train.epochs=1"])
    again = finetune_partseg(parts, tmp_path / "run", longer, init, True)  # nothing is begun anew, so nothing is told
    assert again["reinitialized"] == ["backbone.embed.linear.weight"]


class Heard(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, message: str) -> None:
        self.messages.append(message)


def segmenter(settings: dict[str, Any]) -> torch.nn.Module:
    torch.manual_seed(9)
    normals = settings["inputs"] == "xyz_normal"
    backbone = BackboneConfig(name="pointmlp", settings=settings)
    model = build_segmenter(PartSegConfig(backbone=backbone, data=DataConfig(num_points=64, normals=normals)), 2, 1)
    return model.get_submodule("backbone")


def test_exactly_the_first_layer_stays_fresh(init: Path) -> None:
    stored = load_file(init / "model.safetensors")
    backbone = segmenter(POINTMLP | {"inputs": "xyz_normal"})
    before = {f"backbone.{name}": value.clone() for name, value in backbone.state_dict().items()}
    assert load_backbone(backbone, init, "embedding") == ["backbone.embed.linear.weight"]
    after = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    fresh = (
        [name for name in after if not torch.equal(after[name], stored[name])]
        if after.keys() == stored.keys()
        else None
    )
    assert fresh == ["backbone.embed.linear.weight"]
    assert torch.equal(after["backbone.embed.linear.weight"], before["backbone.embed.linear.weight"])


def test_nothing_else_may_differ(init: Path, tmp_path: Path) -> None:
    backbone = segmenter(POINTMLP)
    with pytest.raises(
        TapError, match=r"--reinit embedding: the first layer of .* fits, as all do; leave --reinit out"
    ):
        load_backbone(backbone, init, "embedding")
    assert load_backbone(backbone, init) == []
    assert torch.equal(
        backbone.state_dict()["embed.linear.weight"],
        load_file(init / "model.safetensors")["backbone.embed.linear.weight"],
    )
    other = segmenter(POINTMLP | {"embed_channels": 16})
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(
        TapError, match=r"does not fit the backbone: .* use the config of that run, but for backbone.settings"
    ):
        load_backbone(other, init, "embedding")
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    less = load_file(init / "model.safetensors")
    less.pop("backbone.stages.0.affine_scale")
    copy = write_backbone(tmp_path / "less", POINTMLP)
    save_file(less, copy / "model.safetensors")
    with pytest.raises(TapError, match=r"backbone\.stages\.0\.affine_scale is missing"):
        load_backbone(segmenter(POINTMLP | {"inputs": "xyz_normal"}), copy, "embedding")


def test_the_backbone_may_differ_in_its_inputs_alone(init: Path) -> None:
    same = BackboneConfig(name="pointmlp", settings=POINTMLP)
    wider = BackboneConfig(name="pointmlp", settings=POINTMLP | {"inputs": "xyz_normal"})
    assert starting_backbone(wider, init) == wider
    assert starting_backbone(None, init) == same
    assert starting_backbone(wider, None) == wider
    with pytest.raises(TapError, match=r"its backbone is not the wanted one, in settings.strides"):
        starting_backbone(BackboneConfig(name="pointmlp", settings=POINTMLP | {"strides": [2, 2]}), init)
    with pytest.raises(TapError, match="its backbone is not the wanted one, in name"):
        starting_backbone(BackboneConfig(name="dgcnn"), init)
    with pytest.raises(TapError, match="--reinit head: it must be one of embedding"):
        reinit_named("head")


def test_reinit_needs_something_to_start_from(parts: Path, config: PartSegConfig, tmp_path: Path) -> None:
    with pytest.raises(TapError, match="there is no --init whose first layer would not fit"):
        finetune_partseg(parts, tmp_path / "run", config, reinit="embedding")
