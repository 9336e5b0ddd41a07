"""Sets and settings that do not fit each other: one line each, before any training."""

import functools
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.plan import Source
from shards.record import read_manifest, write_manifest
from shards.schema import Sample
from shards.stores.store import open_store
from tap.config import apply_overrides
from tap.errors import TapError
from tap.tasks.pretraining.pretrain import PretrainConfig, pretrain
from tests.tap import spheres


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.num_points=257", "stores 256 points"),
        ("data.num_views=5", "stores 4 views"),
        ("train_split=nowhere", "no split 'nowhere'"),
        ("eval_split=val", "no split 'val'; it has test, train"),
        ("data.num_points=8", "transformer: clouds of 8 points cannot give 12 tokens; sample more points a cloud"),
        (
            "model.backbone.name=dgcnn model.backbone.settings.inputs=xyz_normal",
            "inputs xyz_normal: the clouds come with",
        ),
        ("targets=rgb,depth", "stores no depth images; render with --channels depth, or leave depth out of targets"),
    ],
)
def test_what_does_not_fit_is_said_before_any_training(
    option: str, message: str, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    with pytest.raises((TapError, ShardError), match=re.escape(message)) as error:
        pretrain(shards, tmp_path / "run", apply_overrides(pretrain_config, option.split()))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_what_is_not_installed_is_said_before_any_training(
    shards: Path, tmp_path: Path, pretrain_config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "triton", None)
    for option, message in (
        ("train.trackers=wandb", "wandb is not installed"),
        ("train.ops=triton", "needs the package"),
    ):
        with pytest.raises(TapError, match=message):
            pretrain(shards, tmp_path / "run", apply_overrides(pretrain_config, [option]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("schema_version", "9.0", "samples of schema 9.0, this version reads"), ("shards", (), "has not finished")],
)
def test_a_set_of_another_kind_is_said_before_any_training(
    key: str, value: object, message: str, shards: Path, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "set"))
    store = open_store(folder)
    write_manifest(store, read_manifest(store).model_copy(update={key: value}))
    with pytest.raises(ShardError, match=re.escape(message)) as error:
        pretrain(folder, tmp_path / "run", pretrain_config)
    assert "\n" not in str(error.value)
    with pytest.raises(ShardError, match=r"no manifest\.json here"):
        pretrain(tmp_path, tmp_path / "run", pretrain_config)
    assert not (tmp_path / "run").exists()


def test_samples_that_differ_are_met_before_any_training(tmp_path: Path, pretrain_config: PretrainConfig) -> None:
    """The last of the training samples, which no other test would reach, has fewer views."""
    make = functools.partial(spheres.make_sample, kinds=())
    fewer = functools.partial(spheres.make_sample, kinds=(), views=2)
    sources = [
        Source(str(number), f"ball/{split}/{number}", "ball", split, f"ball_{split}_{number}")
        for split, count in (("train", 5), ("test", 1))
        for number in range(count)
    ]

    def make_either(source: Source) -> Sample:
        return (fewer if source.key == "ball_train_4" else make)(source)

    build_shards(sources, make_either, tmp_path / "set", {"rig": "test"}, BuildOptions(num_workers=0))
    config = apply_overrides(pretrain_config, ["data.num_points=64"])
    with pytest.raises(TapError, match=r"sample ball_train_4 stores 2 views, data\.num_views asks for 3; lower it"):
        pretrain(tmp_path / "set", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kinds": ()},
            r"stores no depth and no normal images; render with --channels depth,normal, or leave depth and",
        ),
        ({"views": 0, "kinds": ()}, r"stores no views; pre-training needs rendered ones"),
        ({"size": 48}, r"the stored views are 48 px, the model draws 32 px"),
    ],
)
def test_sets_that_do_not_fit_are_told_before_any_training(
    options: dict[str, Any], message: str, tmp_path: Path, pretrain_config: PretrainConfig
) -> None:
    config = apply_overrides(pretrain_config, ["targets=rgb,depth,normal", "data.num_points=48"])
    folder = spheres.write_spheres(tmp_path / "set", {"train": 2, "test": 1}, **options)
    with pytest.raises((TapError, ShardError), match=message) as error:
        pretrain(folder, tmp_path / "run", config)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
