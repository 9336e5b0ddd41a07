import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from shards.errors import ShardError
from tap.backbones import BackboneConfig
from tap.config import apply_overrides
from tap.datasets import DatasetConfig
from tap.errors import TapError
from tap.loading.data import DataConfig
from tap.results.evaluation import EvaluationOptions, evaluate
from tap.results.evaluation_files import class_numbers
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.confusion import confusion
from tap.tasks.classes.scores import Scores
from tap.tasks.parts.part_config import PartSegConfig
from tap.tasks.parts.partseg import finetune_partseg
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.training.checkpoint import read_json
from tap.training.train_config import TrainConfig
from tests.tap.conftest import surface
from tests.tap.part_sets import write_part_set


@pytest.fixture(scope="module")
def run(shards: Path, classification_config: ClassificationConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "classify"
    finetune_classification(shards, out, apply_overrides(classification_config, ["votes=2"]))
    return out


def options(out: Path, **changes: object) -> EvaluationOptions:
    return EvaluationOptions(out=out, **changes)  # type: ignore[arg-type]


def test_confusion_and_classes_by_hand() -> None:
    truth, predicted = torch.tensor([0, 0, 0, 2, 2]), torch.tensor([0, 1, 1, 2, 2])
    scores = Scores(torch.arange(5), truth, predicted, torch.ones(5), torch.ones(5))
    assert confusion(scores, 3).tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 2]]
    assert class_numbers(scores, ["cup", "jar", "pot"]) == [
        {"class": "cup", "samples": 3, "right": 1, "accuracy": 1 / 3, "taken_for": "jar"},
        {"class": "pot", "samples": 2, "right": 2, "accuracy": 1.0, "taken_for": None},
    ]


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_the_runs_own_test_split_gives_the_runs_own_numbers(
    run: Path, shards: Path, tmp_path: Path, checkpoint: str
) -> None:
    result = evaluate(run, shards, options(tmp_path / "out", checkpoint=checkpoint, votes=2))
    finished = read_json(run / "result.json")
    assert result["numbers"]["single"] == finished["test"][checkpoint]
    if checkpoint == "best":
        assert result["numbers"]["vote"] == finished["test"]["vote"]
        assert result["epoch"] == finished["best_epoch"]
    assert (result["num_samples"], result["num_damaged"]) == (6, 0)
    assert np.sum(result["confusion"]) == 6
    assert np.trace(result["confusion"]) == round(6 * finished["test"][checkpoint]["accuracy"])
    assert read_json(tmp_path / "out" / "evaluation.json") == result
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 1000
    with (tmp_path / "out" / "predictions.csv").open() as stream:
        mine = [(row["key"], row["predicted"], row["confidence"]) for row in csv.DictReader(stream)]
    with (run / "predictions.csv").open() as stream:
        rows = csv.DictReader(stream)
        assert mine == [(row["key"], row[checkpoint], row[f"{checkpoint}_confidence"]) for row in rows]


def test_the_results_lie_in_the_run_and_another_evaluation_is_kept(run: Path, shards: Path) -> None:
    first = evaluate(run, shards)
    assert first["out"] == str(run / "evaluation-both-test")
    assert evaluate(run, shards) == first  # the same again is written again
    with pytest.raises(TapError, match="holds another evaluation: checkpoint 'best' where 'last' is asked for"):
        evaluate(run, shards, EvaluationOptions(checkpoint="last"))
    assert read_json(run / "evaluation-both-test" / "evaluation.json") == first
    with pytest.raises(TapError, match="holds something else than an evaluation"):
        evaluate(run, shards, EvaluationOptions(out=run / "best"))


def test_a_folder_of_ones_own_is_of_one_run(run: Path, shards: Path, tmp_path: Path) -> None:
    first = evaluate(run, shards, options(tmp_path / "out"))
    assert evaluate(run, shards, options(tmp_path / "out")) == first
    other = shutil.copytree(run, tmp_path / "other")
    with pytest.raises(TapError, match=r"holds another evaluation: run '.*classify' where '.*other' is asked for"):
        evaluate(other, shards, options(tmp_path / "out"))
    assert read_json(tmp_path / "out" / "evaluation.json") == first


def test_a_checkpoint_folder_stands_for_its_run(run: Path, shards: Path, tmp_path: Path) -> None:
    result = evaluate(run / "last", shards, options(tmp_path / "out"))
    assert result["identity"]["checkpoint"] == "last"
    assert result["numbers"]["single"] == read_json(run / "result.json")["test"]["last"]


def test_samples_of_the_training_are_called_so(run: Path, shards: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    (other / "result.json").unlink()
    found = [evaluate(other, shards, EvaluationOptions(split, out=tmp_path / split)) for split in ("train", "test")]
    assert [result["seen_in_training"] for result in found] == [True, False]
    assert not found[0]["run_finished"]
    copy = shutil.copytree(shards, tmp_path / "copy")
    result = evaluate(run, copy, EvaluationOptions("train", out=tmp_path / "elsewhere"))
    assert (result["seen_in_training"], result["run_finished"]) == (False, True)


def test_classes_match_by_name(run: Path, tmp_path: Path) -> None:
    for folder, name in (("known", "rod"), ("unknown", "pole")):  # of a set with fewer classes, in another order
        for number, category in enumerate((name, "ball")):
            file = tmp_path / folder / category / "test" / "1.npy"
            file.parent.mkdir(parents=True)
            np.save(file, surface(category if category == "ball" else "rod", 300, np.random.default_rng(number)))
    result = evaluate(run, tmp_path / "known", options(tmp_path / "out"))
    assert [(row["class"], row["samples"]) for row in result["per_class"]] == [("ball", 1), ("rod", 1)]
    with pytest.raises(TapError, match="the class 'pole' is unknown to the model"):
        evaluate(run, tmp_path / "unknown", options(tmp_path / "refused"))
    assert not (tmp_path / "refused").exists()
    dataset = DatasetConfig(label_map={"pole": "rod"})
    mapped = evaluate(run, tmp_path / "unknown", options(tmp_path / "mapped", dataset=dataset))
    assert mapped["numbers"] == result["numbers"]


def test_the_set_of_the_run_is_read_as_the_run_read_it(
    shards: Path, classification_config: ClassificationConfig, tmp_path: Path
) -> None:
    names = {"ball": "round", "box": "square", "rod": "square"}
    config = classification_config.model_copy(update={"dataset": DatasetConfig(label_map=names)})
    out = tmp_path / "run"
    finished = finetune_classification(shards, out, apply_overrides(config, ["train.epochs=1"]))
    result = evaluate(out, shards)
    assert result["classes"] == ["round", "square"]
    assert result["numbers"]["single"] == finished["test"]["best"]
    copy = shutil.copytree(shards, tmp_path / "copy")
    with pytest.raises(TapError, match="the classes 'ball', 'box', 'rod' are unknown to the model"):
        evaluate(out, copy)
    same = evaluate(out, copy, options(tmp_path / "mapped", dataset=DatasetConfig(label_map=names)))
    assert same["numbers"] == result["numbers"]


def test_what_cannot_be_evaluated_says_so(
    run: Path, shards: Path, pretrain_config: PretrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(ShardError, match="both: no split 'val'"):
        evaluate(run, shards, options(tmp_path / "out", split="val"))
    with pytest.raises(TapError, match="no such folder"):
        evaluate(tmp_path / "nothing", shards)
    with pytest.raises(TapError, match=r"holds 1 runs; name one of them, such as .*classify$"):
        evaluate(run.parent, shards)
    pretrained = tmp_path / "pretrained"
    pretrain(shards, pretrained, apply_overrides(pretrain_config, ["train.epochs=1"]))
    with pytest.raises(TapError, match="a run of pretrain; this is there for classification and partseg alone"):
        evaluate(pretrained, shards)


def test_part_segmentation_gives_the_runs_own_numbers(tmp_path: Path) -> None:
    data = write_part_set(tmp_path / "parts", {"train": 4, "val": 2, "test": 2})
    settings = {"num_groups": 8, "group_size": 8, "radius": 0.4, "embed_hidden": [8, 8, 16], "embed_channels": 16}
    backbone = BackboneConfig(settings=settings | {"channels": 24, "depth": 1, "num_heads": 3})
    train = TrainConfig(epochs=2, batch_size=4, eval_every=1, accelerator="cpu")
    config = PartSegConfig(backbone=backbone, train=train, data=DataConfig(num_points=64))
    finished = finetune_partseg(data, tmp_path / "run", config)
    result = evaluate(tmp_path / "run", data)
    assert result["numbers"] == {"single": finished["test"]["best"]}
    assert {row["class"]: row["iou"] for row in result["per_class"]} == {
        name: row["best"] for name, row in finished["categories"].items()
    }
    out = Path(result["out"])
    assert sorted(file.name for file in out.iterdir()) == ["evaluation.json", "parts.npz", "parts.png"]
    with np.load(out / "parts.npz") as mine, np.load(tmp_path / "run" / "parts.npz") as whole:
        assert sorted(mine) == sorted(whole)
        for key in mine:
            assert mine[key].tolist() == whole[key][[0, 2]].tolist()  # truth and the best checkpoint's
    with pytest.raises(TapError, match="--votes: part segmentation is scored in a single pass"):
        evaluate(tmp_path / "run", data, options(tmp_path / "voted", votes=3))
