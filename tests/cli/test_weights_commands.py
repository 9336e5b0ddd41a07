from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from cli.weights_commands import export, import_weights
from tap.backbones import BackboneConfig, build_backbone
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint

SETTINGS = ("widths=[8,8]", "channels=16", "num_neighbors=4")


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command(name="import-weights")(import_weights)
    app.command(name="export")(export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A small DGCNN as the authors' trainer would save it, with a head."""
    shapes: dict[str, tuple[int, ...]] = {
        "head.gconv.nn.0.weight": (8, 8, 1, 1),
        "backbone.0.gconv.nn.0.weight": (8, 16, 1, 1),
    }
    shapes |= {"fusion_block.0.weight": (16, 16, 1)}
    weights = {name: torch.ones(shape) for name, shape in shapes.items()}
    for name, width in (("head.gconv.nn", 8), ("backbone.0.gconv.nn", 8), ("fusion_block", 16)):
        norm = {"weight": torch.ones(width), "bias": torch.ones(width), "running_mean": torch.ones(width)}
        norm |= {"running_var": torch.ones(width), "num_batches_tracked": torch.tensor(1)}
        weights |= {f"{name}.1.{part}": tensor for part, tensor in norm.items()}
    weights = {f"encoder.{name}": tensor for name, tensor in weights.items()}
    torch.save({"model": weights | {"prediction.head.0.0.weight": torch.ones(2)}}, tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


def test_import_prints_the_account(theirs: Path, tmp_path: Path) -> None:
    changes = [word for setting in SETTINGS for word in ("--set", f"backbone.settings.{setting}")]
    result = run("import-weights", theirs, "--backbone", "dgcnn", "--out", tmp_path / "out", *changes)
    assert result.exit_code == 0, result.output
    assert "Take-A-Photo, fine-tuned" in result.output
    assert "18" in result.output
    assert "taken: backbone" in result.output
    assert "left out: a task head" in result.output
    assert (tmp_path / "out" / "account.json").is_file()
    again = run("import-weights", theirs, "--backbone", "dgcnn", "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "exists; choose another --out" in again.output
    wrong = run("import-weights", theirs, "--backbone", "transformer", "--out", tmp_path / "wrong")
    assert wrong.exit_code == 1
    assert "holds the tensors of a dgcnn" in wrong.output


def test_export_writes_a_folder(tmp_path: Path) -> None:
    config = BackboneConfig(name="dgcnn", settings={"widths": (8, 8), "channels": 16, "num_neighbors": 4})
    module = build_backbone(config)
    assert isinstance(module, torch.nn.Module)
    weights = {f"backbone.{name}": tensor for name, tensor in module.state_dict().items()}
    record = {"format_version": FORMAT_VERSION, "task": "classification", "config": {"backbone": config.model_dump()}}
    save_checkpoint(tmp_path / "run" / "best", record, {"epoch": 1}, weights)
    result = run("export", tmp_path / "run", "--out", tmp_path / "out", "--checkpoint", "best", "--license", "mit")
    assert result.exit_code == 0, result.output
    assert "backbone of" in result.output
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()
    missing = run("export", tmp_path / "nowhere", "--out", tmp_path / "other")
    assert missing.exit_code == 1
    assert "no such folder" in missing.output
