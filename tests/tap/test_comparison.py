import json
from pathlib import Path

import pytest

from tap.config import apply_overrides
from tap.errors import TapError
from tap.network.model import build_model
from tap.presets import MODEL_PRESETS
from tap.results.comparison import Comparison, as_markdown, compare_runs
from tap.results.comparison_runs import data_name, folds_name, preset_of, read_run
from tap.results.published import TABLES, published
from tap.tasks.classes.classification import finetune_classification
from tap.tasks.classes.classification_config import ClassificationConfig
from tap.tasks.classes.classifier import build_classifier
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tap.training.checkpoint import FORMAT_VERSION, read_json, save_checkpoint, write_json


@pytest.fixture(scope="module")
def pretrained(shards: Path, pretrain_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    pretrain(shards, out, apply_overrides(pretrain_config, ["train.epochs=1"]))
    return out


@pytest.fixture(scope="module")
def classified(
    shards: Path,
    pretrained: Path,
    classification_config: ClassificationConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "classified"
    config = apply_overrides(classification_config, ["train.epochs=1", "votes=2", "backbone=null"])
    finetune_classification(shards, out, config, init=pretrained)
    return out


def write_run(out: Path, size: str = "paper", epoch: int = 300, **facts: object) -> Path:
    """A run of PointMLP with a checkpoint of its config and no real weights."""
    backbone = MODEL_PRESETS[f"{size}/pointmlp"]().backbone
    config = ClassificationConfig(backbone=backbone)
    config = apply_overrides(config, ["train.epochs=300", "dataset.layout=scanobjectnn/pb_t50_rs"])
    classes = [f"class{number}" for number in range(15)]
    record = {
        "format_version": FORMAT_VERSION,
        "task": "classification",
        "config": config.model_dump(mode="json"),
        "data": {"classes": classes, "num_samples": {"train": 11416, "test": 2882}},
        "shards": "/data/ScanObjectNN",
        "init": None,
        **facts,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "config.json", record)
    if epoch:
        save_checkpoint(out / "last", record, {"epoch": epoch}, {})
    return out


def test_finished_runs_stand_in_a_table_a_task(classified: Path, pretrained: Path) -> None:
    tables = compare_runs([classified, pretrained])
    assert [table.task for table in tables] == ["classification", "pretrain"]
    row = dict(zip(tables[0].columns, tables[0].rows[0], strict=True))
    result, metrics = read_json(classified / "result.json"), read_json(pretrained / "last" / "state.json")["metrics"]
    assert row["run"] == "classified"
    assert row["backbone"] == "transformer"  # of no preset, so without a size
    assert (row["start"], row["epochs"]) == ("pretrained", "1")
    assert row["selected on"] == result["selected_on"]
    assert row["data"] == "both (6 test, 12 train, 3 validation)"
    for checkpoint in ("last", "best", "vote"):
        accuracy, mean = (result["test"][checkpoint][name] for name in ("accuracy", "class_mean_accuracy"))
        assert row[f"accuracy, {checkpoint} (test)"] == f"{100 * accuracy:.1f}"
        assert row[f"class mean, {checkpoint} (test)"] == f"{100 * mean:.1f}"
    assert row["pre-training ratio"] == f"{metrics['ratio']:.3f}"
    assert "published" not in row
    assert "state" not in row
    other = dict(zip(tables[1].columns, tables[1].rows[0], strict=True))
    assert other["ratio (test)"] == f"{metrics['ratio']:.3f}"
    assert other["view dependence (test)"] == f"{metrics['view_dependence']:.3f}"


def test_parameters_are_those_that_are_learned(
    classified: Path, pretrained: Path, pretrain_config: PretrainConfig
) -> None:
    record = read_json(classified / "config.json")
    model = build_classifier(ClassificationConfig.model_validate(record["config"]), 3)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert read_run(classified).facts["parameters"] == f"{count / 1e6:.2f} M"
    count = sum(parameter.numel() for parameter in build_model(pretrain_config.model).parameters())
    assert read_run(pretrained).facts["parameters"] == f"{count / 1e6:.2f} M"


def test_published_numbers_stand_beside_the_papers_backbone_and_set(tmp_path: Path) -> None:
    scratch = write_run(tmp_path / "scratch")
    assert read_run(scratch).facts["published"] == "87.4 (table1)"
    assert read_run(write_run(tmp_path / "tap", init="/runs/tap")).facts["published"] == "88.5 (table1)"
    assert "published" not in read_run(write_run(tmp_path / "small", "small")).facts
    other = {"classes": [f"class{number}" for number in range(29)], "num_samples": {"train": 591, "test": 616}}
    assert read_run(write_run(tmp_path / "other", data=other)).facts["published"] == ""


def test_sets_are_known_by_their_counts() -> None:
    def account(classes: int, test: int) -> dict[str, object]:
        return {"classes": ["x"] * classes, "num_samples": {"test": test}}

    layout = {"config": {"dataset": {"layout": "scanobjectnn/obj_only"}}}
    assert data_name({}, account(40, 2468)) == "modelnet40"
    assert data_name({}, account(16, 2874)) == "shapenetpart"
    assert data_name({}, account(15, 2882)) == "scanobjectnn/pb_t50_rs"
    assert data_name({}, account(15, 581)) == ""  # OBJ_BG or OBJ_ONLY
    assert data_name(layout, account(15, 581)) == "scanobjectnn/obj_only"
    assert data_name(layout, account(3, 6)) == ""


def test_published_folds_are_known_and_others_are_not() -> None:
    assert folds_name({"way": 5, "shot": 20, "folds": "published"}) == "modelnet40-fewshot/5way_20shot"
    assert folds_name({"way": 5, "shot": 20, "folds": "drawn with seed 0"}) == ""
    assert [value for _, _, value in published("fewshot", "modelnet40-fewshot/5way_20shot", "transformer", True)] == [
        97.8
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"format_version": 1, "task": "classification", "config": {"train": 3}}'),
        ("config.json", '{"format_version": 1, "task": "classification", "config": {"train": {"epochs": "many"}}}'),
        ("result.json", '{"test": [1, 2]}'),
        ("result.json", '{"test": {"best": {"accuracy": "good"}}}'),
        ("result.json", "[]"),
    ],
)
def test_a_file_that_no_run_wrote_is_one_line(file: str, content: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_json(run / "result.json", {"test": {"best": {"accuracy": 0.5}}})
    (run / file).write_text(content.replace('"format_version": 1', f'"format_version": {FORMAT_VERSION}'))
    with pytest.raises(TapError, match=r"run.*\.json"):
        read_run(run)


def test_a_preset_is_known_whatever_its_inputs() -> None:
    backbone = MODEL_PRESETS["paper/pointmlp"]().backbone.model_dump(mode="json")
    assert preset_of(backbone) == "paper"
    backbone["settings"]["inputs"] = "xyz_normal"
    assert preset_of(backbone) == "paper"
    backbone["settings"]["embed_channels"] = 32
    assert preset_of(backbone) == ""
    assert preset_of({"name": "mine:Backbone", "settings": {}}) == ""


def test_a_run_without_a_result_has_no_numbers(tmp_path: Path) -> None:
    row = read_run(write_run(tmp_path / "half", epoch=12))
    assert row.facts["state"] == "unfinished, epoch 12 of 300"
    assert row.measured == {}
    assert read_run(write_run(tmp_path / "none", epoch=0)).facts["state"] == "unfinished, epoch 0 of 300"
    with pytest.raises(TapError, match="no such folder"):
        read_run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TapError, match="neither a checkpoint nor a run"):
        read_run(tmp_path / "empty")


def test_several_seeds_are_one_row(tmp_path: Path) -> None:
    for seed in (0, 1, 10):
        write_run(tmp_path / "runs" / f"seed{seed}")
    (tmp_path / "runs" / "seed0" / "result.json").write_text("{}")
    row = read_run(tmp_path / "runs")
    assert (row.facts["run"], row.facts["state"]) == ("runs (3 runs)", "unfinished, 1 of its runs are finished")
    assert row.measured == {}
    numbers = {"accuracy": {"mean": 0.875, "std": 0.0123, "values": []}, "loss": {"mean": 1.0, "std": 0.1}}
    alone: dict[str, object] = {"accuracy": {"mean": 0.5, "std": None, "values": []}}
    summary = {"selected_on": "validation", "test": {"best": numbers, "last": alone}, "validation": None}
    (tmp_path / "runs" / "summary.json").write_text(json.dumps(summary))
    row = read_run(tmp_path / "runs")
    assert row.measured == {"accuracy, best (test)": "87.5 ± 1.2", "accuracy, last (test)": "50.0"}
    assert (row.facts["selected on"], row.facts["state"]) == ("validation", "")


def test_a_summary_tells_how_many_runs_its_numbers_are_of(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs" / f"seed{seed}", epoch=12)
    numbers = {"best": {"accuracy": {"mean": 0.5, "std": 0.1, "values": []}}}
    summary = {"runs": ["seed0", "seed1"], "test": numbers}  # of before a third seed was asked for
    write_json(tmp_path / "runs" / "summary.json", summary)
    facts = read_run(tmp_path / "runs").facts
    assert (facts["run"], facts["state"]) == ("runs (2 runs)", "numbers of 2 runs, 3 are there")
    write_json(tmp_path / "runs" / "summary.json", {**summary, "runs": ["seed0", "seed1", "seed2"]})
    facts = read_run(tmp_path / "runs").facts
    assert (facts["run"], facts["state"]) == ("runs (3 runs)", "")


def test_a_checkpoint_stands_for_its_run(classified: Path) -> None:
    for name in ("best", "last"):
        assert read_run(classified / name) == read_run(classified)


def test_a_probe_has_trained_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "probe", epoch=0, task="probe")
    assert (read_run(run).facts["epochs"], read_run(run).facts["state"]) == ("", "unfinished")
    write_json(run / "result.json", {"validation": {"accuracy": 0.9}, "test": None, "selected_on": "4 cuts"})
    assert read_run(run).measured == {"accuracy (validation)": "90.0"}
    numbers = {"accuracy": 0.571, "class_mean_accuracy": 0.5}
    write_json(run / "result.json", {"validation": {"accuracy": 0.9}, "test": numbers, "selected_on": "4 cuts"})
    assert read_run(run).measured == {"accuracy (test)": "57.1", "class mean (test)": "50.0"}
    assert (read_run(run).facts["selected on"], read_run(run).facts["state"]) == ("4 cuts", "")


def test_validation_numbers_are_called_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    numbers = {"best": {"instance_miou": 0.861, "class_miou": 0.846, "point_accuracy": 0.9}}
    (run / "result.json").write_text(json.dumps({"validation": numbers, "test": None}))
    assert read_run(run).measured == {
        "instance mIoU, best (validation)": "86.1",
        "class mIoU, best (validation)": "84.6",
    }


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / folder) for folder in ("a/tap", "b/tap", "b/other")]
    names = [row[0] for row in compare_runs(runs)[0].rows]
    assert names == ["a/tap", "b/tap", "other"]


def test_settings_that_differ_are_told(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("a", "b")]
    assert not any("." in column for column in compare_runs(runs)[0].columns)
    record = read_json(runs[1] / "config.json")
    record["config"]["data"]["num_points"] = 512
    record["config"]["backbone"]["settings"]["embed_channels"] = 32
    record["config"]["train"]["num_workers"] = 3
    write_json(runs[1] / "config.json", record)
    columns = compare_runs(runs)[0].columns
    assert [column for column in columns if "." in column] == ["backbone.settings.embed_channels", "data.num_points"]
    assert [row[columns.index("data.num_points")] for row in compare_runs(runs)[0].rows] == ["1024", "512"]
    record["config"]["backbone"]["name"] = "dgcnn"
    write_json(runs[1] / "config.json", record)
    assert [column for column in compare_runs(runs)[0].columns if "." in column] == ["data.num_points"]


def test_markdown_keeps_its_columns() -> None:
    text = as_markdown([Comparison("classification", ("run", "accuracy"), (("a|b", "1"), ("c\nd", "")))])
    assert text == "## classification\n\n| run | accuracy |\n| --- | --- |\n| a\\|b | 1 |\n| c d |  |\n"


@pytest.mark.parametrize("name", TABLES)
def test_published_rows_have_a_value_for_each_column(name: str) -> None:
    table = TABLES[name]
    for row in table.rows:
        assert len(row.values) == len(table.columns)
        assert not row.deviations or len(row.deviations) == len(table.columns)
        assert all(value is None or 30 < value < 100 for value in row.values)
        assert row.backbone is None or f"paper/{row.backbone}" in MODEL_PRESETS
    assert table.source


def test_published_numbers_by_hand() -> None:
    def values(*what: object) -> list[tuple[str, str, float]]:
        return [(table, column.name, value) for table, column, value in published(*what)]  # type: ignore[arg-type]

    data = "scanobjectnn/pb_t50_rs"
    assert values("classification", data, "dgcnn", True) == [("table1", "PB_T50_RS", 86.6)]
    assert values("classification", "modelnet40", "pointmlp", False) == [("table2", "ModelNet40", 93.7)]
    assert values("partseg", "shapenetpart", "pointmlp", True)[:2] == [
        ("table3", "class mIoU", 85.2),
        ("table3", "instance mIoU", 86.9),
    ]
    assert values("classification", "psb29", "pointmlp", True) == []
