"""Meshes and a runner for the tests of the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from render.shapes.families import write_shape_collection


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture(scope="session")
def mesh_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families of six, in all five formats, `<class>/<split>/<name>`, +z up."""
    folder = tmp_path_factory.mktemp("meshes")
    write_shape_collection(folder, num_per_family=6, seed=1, families=("mug", "table"), test_share=0.34)
    return folder
