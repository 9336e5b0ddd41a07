"""`tap probe` and `tap embed` as a user meets them; what they compute is tested in tests/tap."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tap.presets import MODEL_PRESETS

QUICK = ("--set", "data.num_points=256", "--set", "train.batch_size=4")


@pytest.fixture(scope="module")
def shards(mesh_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "set"
    options = ["--up", "z", "--set", "image_size=112", "--set", "num_points=256"]
    assert CliRunner().invoke(app, ["render", str(mesh_folder), "--out", str(out), *options]).exit_code == 0
    return out


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_probe_of_random_weights_tells_its_accuracies_and_keeps_them(shards: Path, tmp_path: Path) -> None:
    done = invoke("probe", shards, "--out", tmp_path / "probe", *QUICK, "--set", "num_cuts=2")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "probe" / "result.json").read_text())
    assert f"validation accuracy {result['validation']['accuracy']:.1%} (C {result['penalty']:g}, chosen on 2 cuts" in (
        done.output
    )
    assert f"test accuracy {result['test']['accuracy']:.1%}" in done.output
    assert result["init"] is None
    assert "features of transformer, random weights" in done.output


def test_random_weights_are_of_the_backbone_that_is_named(shards: Path, tmp_path: Path) -> None:
    few = (*QUICK, "--set", "num_cuts=1", "--set", "penalties=[0.1]")
    done = invoke("probe", shards, "--out", tmp_path / "probe", "--preset", "small/pointnet2", *few)
    assert done.exit_code == 0, done.output
    assert "features of pointnet2, random weights" in done.output
    backbone = json.loads((tmp_path / "probe" / "config.json").read_text())["config"]["backbone"]
    assert backbone == MODEL_PRESETS["small/pointnet2"]().backbone.model_dump(mode="json")
    wrong = invoke("probe", shards, "--out", tmp_path / "wrong", "--preset", "small/pointnet")
    assert wrong.exit_code == 1
    assert "preset 'small/pointnet' is unknown; the nearest is 'small/pointnet2'" in wrong.output


def test_features_of_one_split_become_a_file(shards: Path, tmp_path: Path) -> None:
    train = ("--set", "train.epochs=1", "--set", "train.batch_size=4", "--set", "data.num_views=1")
    assert invoke("pretrain", shards, "--out", tmp_path / "run", *train, "--set", "data.num_points=256").exit_code == 0
    file = tmp_path / "features.npz"
    done = invoke("embed", shards, "--run", tmp_path / "run", "--out", file, "--split", "test", *QUICK)
    assert done.exit_code == 0, done.output
    with np.load(file, allow_pickle=False) as content:
        assert set(content) == {"vectors", "keys", "splits", "labels", "classes"}
        assert set(content["splits"].tolist()) == {"test"}
        assert len(content["vectors"]) == len(content["keys"]) == len(content["labels"])
    assert f"{len(np.load(file)['keys'])} test" in done.output
    for arguments, message in (
        (("--out", file), "exists; choose another --out"),
        (("--out", tmp_path / "other.npz", "--split", "val"), "no split 'val'; there are"),
        (("--out", tmp_path / "other.npz", "--set", "pooling=mean"), "pooling"),
    ):
        failed = invoke("embed", shards, "--run", tmp_path / "run", *arguments)
        assert failed.exit_code == 1
        assert message in failed.output
