import json
from pathlib import Path
from typing import Any

import pytest

from tap.config import apply_overrides
from tap.errors import TapError
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classifier import ClassificationConfig
from tap.tasks.pretraining.pretrain import PretrainConfig
from tap.tasks.seeds import over_seeds, spread


def test_spread_by_hand() -> None:
    found = spread([{"best": {"accuracy": 0.5, "worst": "bed"}}, {"best": {"accuracy": 0.8}, "vote": {}}])
    assert set(found) == {"best"}
    assert set(found["best"]) == {"accuracy"}
    assert found["best"]["accuracy"] == {"mean": 0.65, "std": pytest.approx(0.3 / 2**0.5), "values": [0.5, 0.8]}
    assert spread([2.0]) == {"mean": 2.0, "std": None, "values": [2.0]}
    assert spread([None, None]) is None
    assert spread([{"a": 1.0}, None]) is None
    assert spread([True, False]) is None


def test_each_seed_has_its_folder_and_the_same_cut(
    shards: Path, tmp_path: Path, classification_config: ClassificationConfig
) -> None:
    config = apply_overrides(classification_config, ["train.epochs=1", "train.seed=3"])
    runs: list[int] = []

    def run(out: Path, one: ClassificationConfig) -> dict[str, Any]:
        runs.append(one.train.seed)
        return finetune_classification(shards, out, one, resume=True)

    summary = over_seeds(run, tmp_path, config, 2)
    assert runs == summary["seeds"] == [3, 4]
    assert summary["runs"] == ["seed3", "seed4"]
    assert summary["selected_on"] == "validation accuracy, 20% of each class of train"
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in summary["runs"]]
    values = [result["test"]["best"]["loss"] for result in results]
    assert values[0] != values[1]
    assert summary["test"]["best"]["loss"]["values"] == values
    assert summary["test"]["best"]["loss"]["mean"] == pytest.approx(sum(values) / 2)
    stored = [json.loads((tmp_path / name / "config.json").read_text())["config"] for name in summary["runs"]]
    assert [one["split_seed"] for one in stored] == [3, 3]
    written = {name: (tmp_path / name / "last/model.safetensors").stat().st_mtime_ns for name in summary["runs"]}
    more = over_seeds(run, tmp_path, config, 3)
    assert more["test"]["best"]["loss"]["values"][:2] == values
    for name, moment in written.items():  # a finished one is not run again
        assert (tmp_path / name / "last/model.safetensors").stat().st_mtime_ns == moment


def test_a_config_without_split_seed_and_a_taken_folder(tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    seen: list[PretrainConfig] = []

    def run(out: Path, config: PretrainConfig) -> dict[str, Any]:
        seen.append(config)
        return {"test": {"last": {"loss": float(config.train.seed)}}}

    summary = over_seeds(run, tmp_path, pretrain_config, 3)
    assert [config.train.seed for config in seen] == [0, 1, 2]
    assert summary["test"]["last"]["loss"]["mean"] == 1.0
    assert summary["test"]["last"]["loss"]["std"] == 1.0
    assert summary["validation"] is None
    (tmp_path / "last").mkdir()
    for name in ("model.safetensors", "config.json"):
        (tmp_path / "last" / name).write_text("{}")
    with pytest.raises(TapError, match="holds a run itself"):
        over_seeds(run, tmp_path, pretrain_config, 3)
