import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tap.backbones import BackboneConfig, build_backbone
from tap.batch import PointBatch
from tap.errors import TapError
from tap.interchange.export import export_run
from tap.interchange.hub import load_backbone
from tap.interchange.importing import import_weights
from tap.network.generator import GeneratorConfig
from tap.network.model import ModelConfig, build_model
from tap.network.photograph import PhotographConfig
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classifier import ClassificationConfig
from tap.training.checkpoint import FORMAT_VERSION, load_tensors, save_checkpoint

SETTINGS = {"num_groups": 12, "group_size": 8, "radius": 0.4, "embed_hidden": (16, 16, 32), "embed_channels": 32}
BACKBONE = BackboneConfig(name="transformer", settings=SETTINGS | {"channels": 48, "depth": 2, "num_heads": 3})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a pre-training run leaves that an export reads."""
    config = ModelConfig(
        backbone=BACKBONE,
        photograph=PhotographConfig(channels=32, layers=1, num_heads=4, cells=4),
        generator=GeneratorConfig(strides=(4, 2)),
        image_size=32,
    )
    torch.manual_seed(0)
    record = {
        "format_version": FORMAT_VERSION,
        "package_version": "0.1.0",
        "task": "pretrain",
        "config": {"model": config.model_dump(mode="json"), "data": {"num_points": 128}},
        "data": {"num_samples": {"train": 15, "test": 6}},
        "shards": "/somewhere/private/shards",
    }
    state = {"epoch": 3, "step": 9, "metrics": {"loss": 0.25, "ratio": 0.5, "split": "test"}}
    folder = tmp_path / "run"
    weights = build_model(config).state_dict()
    save_checkpoint(folder / "last", record, state, weights)
    (folder / "pictures").mkdir()
    for epoch in (1, 3):
        (folder / "pictures" / f"epoch{epoch:03d}.png").write_bytes(b"picture %d" % epoch)
    return folder


def test_a_backbone_goes_out_and_comes_back(run: Path, tmp_path: Path) -> None:
    out = export_run(run, tmp_path / "out", license_name="mit")
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors", "views.png"]
    assert (out / "views.png").read_bytes() == b"picture 3"
    stored = load_tensors(run / "last" / "model.safetensors")
    exported = load_tensors(out / "model.safetensors")
    assert set(exported) == {name for name in stored if name.startswith("backbone.")}
    backbone = load_backbone(out)
    assert not backbone.training
    assert backbone.config == build_backbone(BACKBONE).config  # type: ignore[attr-defined]
    points = PointBatch(torch.rand(2, 64, 3) - 0.5)
    with torch.no_grad():
        assert torch.equal(backbone(points).tokens, load_backbone(run)(points).tokens)
    assert load_backbone(run / "last").state_dict().keys() == backbone.state_dict().keys()


def test_the_config_says_what_inputs_it_needs_and_no_path(run: Path, tmp_path: Path) -> None:
    config = json.loads((export_run(run, tmp_path / "out") / "config.json").read_text())
    assert config["config"]["backbone"]["name"] == "transformer"
    assert (config["channels"], config["num_tokens"], config["has_class_token"]) == (48, 12, True)
    assert config["inputs"]["up_axis"] == "z"
    assert config["inputs"]["num_points"] == 128
    assert config["metrics"] == {"loss": 0.25, "ratio": 0.5, "split": "test"}
    assert config["source"] == {
        "run": "run",
        "task": "pretrain",
        "epochs": 3,
        "package_version": "0.1.0",
        "num_samples": {"train": 15, "test": 6},
        "from": None,
    }
    assert config["task"] == "backbone"
    assert "private" not in json.dumps(config)
    assert str(tmp_path) not in json.dumps(config)


def test_the_card_has_the_header_of_the_hub_and_the_figures(run: Path, tmp_path: Path) -> None:
    card = (export_run(run, tmp_path / "out", license_name="cc-by-4.0") / "README.md").read_text()
    header = card.split("---\n")[1].splitlines()
    assert header[:3] == ["library_name: tap3d", "pipeline_tag: feature-extraction", "license: cc-by-4.0"]
    assert "- transformer" in header
    for line in (
        "tap.load_backbone(",
        "| ratio | 0.5 |",
        "| samples in train | 15 |",
        "12 tokens of 48 channels, and a class",
        "](views.png)",
        "128 points",
    ):
        assert line in card
    (run / "pictures" / "epoch003.png").write_bytes(b"0" * 2_000_001)
    plain = export_run(run, tmp_path / "plain")
    assert not (plain / "views.png").exists()
    assert "views.png" not in (plain / "README.md").read_text()
    assert "license" not in (plain / "README.md").read_text()


def test_a_whole_model_goes_out(run: Path, tmp_path: Path) -> None:
    out = export_run(run, tmp_path / "out", "model")
    assert set(load_tensors(out / "model.safetensors")) == set(load_tensors(run / "last" / "model.safetensors"))
    facts = json.loads((out / "config.json").read_text())
    assert facts["task"] == "pretrain"
    assert ModelConfig.model_validate(facts["config"]["model"]).image_size == 32
    assert "photograph module and generator" in (out / "README.md").read_text()
    assert load_backbone(out).state_dict().keys() == load_backbone(run).state_dict().keys()


def test_an_export_of_an_export_is_the_same_weights(run: Path, tmp_path: Path) -> None:
    first = export_run(run, tmp_path / "first")
    second = export_run(first, tmp_path / "second")
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_what_cannot_be_exported_is_said_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TapError, match="no such folder"):
        export_run(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(TapError, match="has only the checkpoint 'last'; name that one"):
        export_run(run, tmp_path / "out", checkpoint="best")
    save_checkpoint(tmp_path / "odd", {"format_version": FORMAT_VERSION, "config": {}}, {}, {"a": torch.ones(1)})
    with pytest.raises(TapError, match="names no backbone"):
        export_run(tmp_path / "odd", tmp_path / "out")
    stored = {"format_version": FORMAT_VERSION, "config": {"backbone": BACKBONE.model_dump(mode="json")}}
    save_checkpoint(tmp_path / "headless", stored, {}, {"head.weight": torch.ones(1)})
    with pytest.raises(TapError, match="holds no tensor of a backbone"):
        export_run(tmp_path / "headless", tmp_path / "out")
    with pytest.raises(TapError, match="give a name that the Hub knows"):
        export_run(run, tmp_path / "out", license_name="mit\ntags: []")
    (tmp_path / "file").touch()
    with pytest.raises(TapError, match="exists; choose another --out"):
        export_run(run, tmp_path / "file")
    with pytest.raises(TapError, match="cannot be written"):
        export_run(run, tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "headless", "odd", "run"]


def test_fine_tuning_starts_from_an_export_and_from_an_import(
    run: Path,
    tmp_path: Path,
    shards: Path,
    classification_config: ClassificationConfig,
    load_case: Callable[[str], tuple[dict[str, Tensor], object]],
) -> None:
    torch.save({"model": load_case("dgcnn")[0]}, tmp_path / "w.pth")
    settings = ("widths=[8,8,16,32]", "channels=32", "num_neighbors=8")
    import_weights(
        tmp_path / "w.pth",
        "dgcnn",
        tmp_path / "dgcnn",
        overrides=[f"backbone.settings.{setting}" for setting in settings],
    )
    brief = classification_config.train.model_copy(
        update={"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9, "min_learning_rate": 1e-10}
    )
    config = classification_config.model_copy(update={"backbone": None, "train": brief})
    for init in (export_run(run, tmp_path / "export"), tmp_path / "dgcnn"):
        out = tmp_path / f"tuned-{init.name}"
        result = finetune_classification(shards, out, config, init=init)
        assert result["init"] == str(init)
        before, after = (
            load_backbone(folder).get_parameter(name)
            for folder in (init, out)
            for name in ["fusion.linear.weight" if init.name == "dgcnn" else "widen.weight"]
        )
        assert torch.allclose(before, after, atol=1e-6)
