"""The options of commands that read a labelled data set."""

import pytest
import typer
from typer.testing import CliRunner

from cli.dataset_options import LabelMap, Layout, label_pairs, with_dataset
from tap.datasets import LAYOUTS, DatasetConfig
from tap.tasks.classes.classifier import ClassificationConfig


def test_the_help_names_every_layout() -> None:
    app = typer.Typer()

    @app.command()
    def command(layout: Layout = None, label_map: LabelMap = None) -> None:
        typer.echo(with_dataset(DatasetConfig(), layout, label_map).model_dump_json())

    # wide, so that no name is broken in two
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "400"}).stdout
    assert all(name in told for name in LAYOUTS)
    arguments = ["--layout", "folder", "--label-map", "couch=sofa", "--label-map", "a = b=c"]
    changed = DatasetConfig.model_validate_json(CliRunner().invoke(app, arguments).stdout)
    assert changed == DatasetConfig(layout="folder", label_map={"couch": "sofa", "a": "b=c"})
    assert CliRunner().invoke(app, ["--label-map", "couch"]).exit_code == 2


def test_options_change_a_run_config_and_keep_what_they_do_not_name() -> None:
    given = ClassificationConfig(dataset=DatasetConfig(layout="folder", label_map={"x": "y"}, up="y"))
    changed = with_dataset(given, None, ["couch=sofa"])
    assert changed.dataset == DatasetConfig(layout="folder", label_map={"x": "y", "couch": "sofa"}, up="y")
    assert with_dataset(given, None, None) == given
    assert with_dataset(given, "shards", None).dataset.layout == "shards"


@pytest.mark.parametrize("text", ["couch", "=sofa", "couch=", "a=b,a=c"])
def test_what_is_no_pair_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no OLD=NEW"):
        label_pairs(text.split(","))
