from pathlib import Path
from typing import Self

import pytest
from pydantic import BaseModel, model_validator

from tap.config import apply_overrides, differing_keys, load_config, parse_value
from tap.errors import TapError
from tap.loading.moves import MovesConfig
from tap.tasks import CLASSIFICATION_PRESETS, PRETRAIN_PRESETS, TASKS
from tap.tasks.classes.classification_config import ClassificationConfig


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("null", None),
        ("[0.9, 1.1]", [0.9, 1.1]),
        ("bf16-mixed", "bf16-mixed"),
    ],
)
def test_values(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_overrides_and_file_give_the_same(tmp_path: Path) -> None:
    preset = PRETRAIN_PRESETS["small/transformer"]()
    options = [
        "train.epochs=3",
        "augment.scale=[0.8, 1.2]",
        "model.backbone.settings.depth=4",
        "train.precision=bf16-mixed",
    ]
    file = tmp_path / "run.toml"
    file.write_text(
        '[train]\nepochs = 3\nprecision = "bf16-mixed"\n[augment]\nscale = [0.8, 1.2]\n[model.backbone.settings]\ndepth = 4\n'
    )
    changed = apply_overrides(preset, options)
    assert changed == load_config(file, preset)
    assert (changed.train.epochs, changed.model.backbone.settings["depth"]) == (3, 4)
    assert preset == PRETRAIN_PRESETS["small/transformer"]()


@pytest.mark.parametrize(
    ("option", "nearest"),
    [("trian.epochs=3", "train.epochs"), ("epochs=3", "train.epochs"), ("data.num_point=3", "data.num_points")],
)
def test_unknown_key_names_the_nearest(option: str, nearest: str) -> None:
    with pytest.raises(TapError) as error:
        apply_overrides(PRETRAIN_PRESETS["small/transformer"](), [option])
    assert option.split("=")[0] in str(error.value)
    assert repr(nearest) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        (["model.image_size=64"], 4),
        (["model.generator.strides=[4,2,2,2]", "model.image_size=224"], 7),
        (["model.generator.strides=[4,2,2]"], 7),
    ],
)
def test_cells_follow_a_changed_size(options: list[str], cells: int) -> None:
    changed = apply_overrides(PRETRAIN_PRESETS["small/transformer"](), options)
    assert changed.model.photograph.cells == cells
    again = apply_overrides(changed, ["model.image_size=448"])
    assert again.model.photograph.cells == 448 * cells // changed.model.image_size


def test_cells_that_somebody_gives_beside_the_size_must_fit() -> None:
    with pytest.raises(TapError, match=r"set photograph\.cells to 4"):
        apply_overrides(PRETRAIN_PRESETS["small/dgcnn"](), ["model.image_size=64", "model.photograph.cells=7"])


@pytest.mark.parametrize("text", ["tensorboard", '["tensorboard"]'])
def test_one_tracker_needs_no_list(text: str) -> None:
    changed = apply_overrides(PRETRAIN_PRESETS["small/dgcnn"](), [f"train.trackers={text}"])
    assert changed.train.trackers == ("tensorboard",)


def test_what_a_model_says_of_itself_is_told_as_it_is() -> None:
    class Pair(BaseModel):
        low: int = 0
        high: int = 1

        @model_validator(mode="after")
        def _in_order(self) -> Self:
            if self.low > self.high:
                raise ValueError(f"low {self.low} is above high {self.high}")
            return self

    with pytest.raises(TapError) as error:
        apply_overrides(Pair(), ["low=3"])
    assert str(error.value) == "--set: Pair: low 3 is above high 1"


def test_bad_values_and_files_are_one_line(tmp_path: Path) -> None:
    preset = CLASSIFICATION_PRESETS["small/transformer"]()
    with pytest.raises(TapError, match=r"train\.epochs.*got 'many'"):
        apply_overrides(preset, ["train.epochs=many"])
    with pytest.raises(TapError, match="expected key=value"):
        apply_overrides(preset, ["train.epochs"])
    file = tmp_path / "run.toml"
    file.write_text("train = ")
    with pytest.raises(TapError, match="TOML"):
        load_config(file, preset)


def test_differing_keys_name_both_values() -> None:
    assert differing_keys({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c (2 and 3)"]


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, entry in TASKS.items() for name in entry.presets])
def test_every_preset_survives_json(task: str, name: str) -> None:
    config = TASKS[task].presets[name]()
    assert isinstance(config, TASKS[task].config_class)
    assert type(config).model_validate_json(config.model_dump_json()) == config
    for field in type(config).model_fields.values():
        assert field.description


def test_another_backbone_begins_with_its_own_settings() -> None:
    changed = apply_overrides(
        PRETRAIN_PRESETS["small/transformer"](),
        ["model.backbone.settings.num_neighbors=7", "model.backbone.name=dgcnn"],
    )
    assert changed.model.backbone.name == "dgcnn"
    settings = changed.model.backbone.settings
    assert settings["num_neighbors"] == 7
    assert settings["channels"] == 1024
    assert "num_groups" not in settings


def test_what_a_config_leaves_empty_takes_a_table(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'vote_moves = {scale = [0.8, 1.2]}\n[backbone]\nname = "pointnet2"\nsettings = {inputs = "xyz", strides = [4], '
        'mlps = [[8, 16]], radii = [0.4], num_neighbors = [8]}\n[dataset.label_map]\nsofa = "couch"\n'
    )
    config = load_config(file, ClassificationConfig())
    assert config.backbone is not None
    assert (config.backbone.name, config.backbone.settings["radii"]) == ("pointnet2", [0.4])
    assert config.vote_moves == MovesConfig(scale=(0.8, 1.2))
    assert config.dataset.label_map == {"sofa": "couch"}
    changed = apply_overrides(ClassificationConfig(), ["vote_moves.scale=[0.8,1.2]", "vote_moves.translate=0.1"])
    assert changed.vote_moves == MovesConfig(scale=(0.8, 1.2), translate=0.1)
    with pytest.raises(TapError, match=r"--set: vote_moves\.scall: Extra inputs are not permitted"):
        apply_overrides(ClassificationConfig(), ["vote_moves.scall=[0.8,1.2]"])
    with pytest.raises(TapError, match=r"unknown key 'bakbone\.name'"):
        apply_overrides(ClassificationConfig(), ["bakbone.name=dgcnn"])
