import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tap.ablations import ABLATIONS
from tap.errors import TapError
from tap.results.reproduction import FOLDERS, Planner, steps_of
from tap.results.reproduction_runs import FINISHED, READY, filled, measured, run_steps, state_of, told_percent
from tap.tasks.pretraining.pretrain_presets import PRETRAIN_PRESETS
from tap.training.checkpoint import FORMAT_VERSION, save_checkpoint, write_json
from tests.tap.conftest import write_set
from tests.tap.datasets.tiny_sets import LAYOUT_SETS, scanobjectnn


def test_cells_are_those_that_the_paper_has() -> None:
    planner = Planner(Path("data"), Path("runs"))
    found = [(cell.row.name, cell.column.name, cell.published) for cell in planner.cells("table1")]
    assert len(found) == 12  # three backbones on one variant and the transformer on three, each twice
    assert ("DGCNN", "OBJ_BG", None) not in found
    assert ("Transformer + TAP", "OBJ_BG", 90.36) in found
    assert len(planner.cells("table4")) == 8
    assert planner.cells("table5") == []
    with pytest.raises(TapError, match="'table6' is no table; name one of table1"):
        planner.cells("table6")


def test_what_tables_share_is_run_once() -> None:
    planner = Planner(Path("data"), Path("runs"))
    first, second, third = (steps_of(planner.cells(table)) for table in ("table1", "table2", "ablations"))
    names = [step.out.name for step in first]
    assert len(set(names)) == len(names) == 12 + 4
    shared = {step.out for step in first} & {step.out for step in second} & {step.out for step in third}
    tap = "classification-pointmlp-tap-scanobjectnn-pb_t50_rs"
    assert {folder.name for folder in shared} == {"pretrain-pointmlp", tap}
    ablated = {step.out.name for step in third if step.task == "pretrain"}
    assert "pretrain-pointmlp-F2" in ablated
    assert len(ablated) == len(ABLATIONS) - 2 + 1  # two rows are the full model, which is pre-trained once


@pytest.mark.parametrize("data", [name for name in FOLDERS if name != "modelnet40-fewshot"])
def test_folders_are_opened_in_their_layout(data: str) -> None:
    assert all(layout in LAYOUT_SETS for _, layout in FOLDERS[data])


def test_modelnet_is_taken_as_it_is_there(tmp_path: Path) -> None:
    def arguments() -> tuple[str, ...]:
        cells = Planner(tmp_path, Path("runs")).cells("table2")
        return next(cell.step.arguments for cell in cells if cell.column.name == "ModelNet40")

    assert "modelnet40-txt" in arguments()
    (tmp_path / "modelnet40_ply_hdf5_2048").mkdir()
    assert "modelnet40-h5" in arguments()
    (tmp_path / "modelnet40_normal_resampled").mkdir()
    assert "modelnet40-txt" in arguments()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ShapeNet55 shards and OBJ_BG, without the other variants."""
    write_set(tmp_path / "data" / "ShapeNet55", {"train": 1})
    scanobjectnn(tmp_path / "data" / "ScanObjectNN")
    return tmp_path / "data"


def test_what_can_run_is_run_and_kept(root: Path, tmp_path: Path) -> None:
    planner = Planner(root, tmp_path / "runs", "small")
    cells = planner.cells("table1")
    ran: list[str] = []
    told: list[str] = []

    def runner(arguments: Sequence[str]) -> int:
        out = Path(arguments[arguments.index("--out") + 1])
        ran.append(out.name)
        if arguments[0] == "pretrain":
            if "dgcnn" in out.name:
                return 1
            config = PRETRAIN_PRESETS["small/transformer"]()
            record = {"format_version": FORMAT_VERSION, "task": "pretrain", "config": config.model_dump(mode="json")}
            epochs = config.train.epochs - ("pointmlp" in out.name)  # one has not come to its end
            save_checkpoint(out / "last", record, {"epoch": epochs, "metrics": {"split": "test", "loss": 1.0}}, {})
            write_json(out / "config.json", record)
        else:
            numbers = {"best": {"accuracy": 0.9036}, "last": {"accuracy": 0.5}}
            out.mkdir(parents=True)
            write_json(out / "result.json", {"test": numbers, "selected_on": "test accuracy"})
        return 0

    states = run_steps(steps_of(cells), runner, told.append)
    assert ran == [
        "pretrain-dgcnn",
        "pretrain-pointnet2",
        "pretrain-pointmlp",
        "classification-transformer-scratch-scanobjectnn-obj_bg",
        "pretrain-transformer",
        "classification-transformer-tap-scanobjectnn-obj_bg",
    ]
    by_name = {folder.name: state for folder, state in states.items()}
    assert by_name["pretrain-dgcnn"] == "failed with exit code 1"
    assert by_name["pretrain-pointmlp"] == "failed with exit code 0"
    assert by_name["pretrain-transformer"] == FINISHED
    missing = by_name["classification-transformer-tap-scanobjectnn-pb_t50_rs"]
    assert "main_split/training_objectdataset_augmentedrot_scale75.h5 is missing" in missing
    assert f"{tmp_path}/runs/small/pretrain-dgcnn: failed with exit code 1" in told

    cell = next(cell for cell in cells if (cell.row.name, cell.column.name) == ("Transformer + TAP", "OBJ_BG"))
    found = measured(cell)
    assert found is not None
    assert found.value == pytest.approx(90.36)
    assert (found.deviation, found.selected_on) == (None, "test accuracy")
    text = filled("table1", cells)
    assert f"| Transformer + TAP | OBJ_BG | 90.36 | 90.36 | test accuracy | {cell.step.out.name} |" in text
    assert "| Transformer + TAP | OBJ_ONLY | 89.5 |  |  |  |" in text
    assert "| Point-MAE | OBJ_BG | 90.02 |  |  |  |" in text
    assert cell.step.command in text

    others = Planner(root, tmp_path / "runs", "reference").cells("table1")
    assert all(measured(cell) is None for cell in others)  # what was measured with other presets is no number of theirs

    ran.clear()
    run_steps(steps_of(cells), runner, told.append)
    assert ran == ["pretrain-dgcnn", "pretrain-pointmlp"]  # what is finished is not run again


def test_a_step_says_why_it_cannot_run(root: Path, tmp_path: Path) -> None:
    planner = Planner(root, tmp_path / "runs")
    scratch, tap = (cell.step for cell in planner.cells("table1") if cell.column.name == "OBJ_BG")
    assert (state_of(scratch), state_of(tap)) == (READY, READY)
    part, _ = steps_of(planner.cells("table3"))[:2]
    assert state_of(part).startswith(f"{root}/ShapeNetPart is not there; get shapenetcore_partanno")
    elsewhere = Planner(tmp_path / "elsewhere", tmp_path / "runs").cells("table1")
    tap = next(cell.step for cell in elsewhere if cell.row.pretrained)
    missing = f"{tmp_path}/elsewhere/ShapeNet55 is not there; make it of meshes with tap render"
    assert state_of(tap) == f"its pre-training cannot run: {missing}"


def test_numbers_of_parts_and_of_folds(tmp_path: Path) -> None:
    planner = Planner(tmp_path, tmp_path / "runs")
    cells = planner.cells("table3")
    by_name = {(cell.row.name, cell.column.name): cell for cell in cells}
    assert all(measured(cell) is None for cell in cells)
    out = by_name["PointMLP", "Mug"].step.out
    out.mkdir(parents=True)
    numbers = {"best": {"class_miou": 0.846, "instance_miou": 0.861}}
    result = {"test": numbers, "categories": {"Mug": {"num_shapes": 3, "best": 0.958, "last": 0.1}}}
    (out / "result.json").write_text(json.dumps(result))
    found = {name: measured(cell) for name, cell in by_name.items()}
    assert str(found["PointMLP", "Mug"]) == "95.8"
    assert (str(found["PointMLP", "class mIoU"]), str(found["PointMLP", "instance mIoU"])) == ("84.6", "86.1")
    assert found["PointMLP", "Chair"] is None
    assert found["PointMLP + TAP", "Mug"] is None

    fold = planner.cells("table4")[0]
    fold.step.out.mkdir(parents=True)
    (fold.step.out / "result.json").write_text("{}")
    assert measured(fold) is None  # some folds are not a result
    summary = {"test": {"last": {"accuracy": {"mean": 0.973, "std": 0.018}}}, "selected_on": "nothing"}
    (fold.step.out / "summary.json").write_text(json.dumps(summary))
    assert str(measured(fold)) == "97.3 ± 1.8"
    assert "| Transformer | 5-way 10-shot |  | 97.3 ± 1.8 | nothing |" in filled("table4", [fold])


def test_a_table_that_cannot_be_run_stays_blank() -> None:
    text = filled("table5", [])
    assert "Nothing of it can be run: scene-level tasks are not there yet." in text
    assert "| 3DETR + TAP | AP25 | 63.0 |  |  |  |" in text
    assert "Commands" not in text


def test_percentages_keep_what_was_published() -> None:
    assert [told_percent(value) for value in (90.36, 77.24, 86.1, 89.5)] == ["90.36", "77.24", "86.1", "89.5"]
    assert told_percent(97.3, 1.8) == "97.3 ± 1.8"
