"""Files that a mesh file names are found near it, whatever the slashes and the letter case, and never elsewhere."""

import os
from pathlib import Path

import pytest

from render.errors import RenderError
from render.reading.companions import read_companion


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    """A mesh file two folders deep, and files around it that hold their own name."""
    for name in (
        "outside.txt",
        "model/above.txt",
        "model/images/Wood Grain.PNG",
        "model/meshes/a.txt",
        "model/meshes/sub/b.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return tmp_path / "model" / "meshes" / "mesh.obj"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.txt", "a.txt"),
        ("./a.txt", "a.txt"),
        ('"a.txt"', "a.txt"),
        ("sub/b.txt", "b.txt"),
        ("sub\\b.txt", "b.txt"),
        (".\\sub\\..\\a.txt", "a.txt"),
        ("../above.txt", "above.txt"),
        ("..\\images\\Wood Grain.PNG", "Wood Grain.PNG"),
        ("../IMAGES/wood grain.png", "Wood Grain.PNG"),
        ("A.TXT", "a.txt"),
    ],
)
def test_files_near_the_mesh(mesh: Path, name: str, found: str) -> None:
    assert read_companion(mesh, name).decode() == found


@pytest.mark.parametrize(
    "name",
    ["../../outside.txt", "sub/../../../outside.txt", "..\\..\\outside.txt", "images/../../../outside.txt"],
)
def test_what_leads_out_is_refused(mesh: Path, name: str) -> None:
    with pytest.raises(RenderError, match="leads out of the folder above"):
        read_companion(mesh, name)


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "C:\\a.txt", "http://example.org/a.txt", "file:///a.txt", "\\\\host\\a", "a\0.txt"]
)
def test_what_is_not_relative_is_refused(mesh: Path, name: str) -> None:
    with pytest.raises(RenderError, match="is not a name relative to the mesh file"):
        read_companion(mesh, name)


@pytest.mark.parametrize("name", ["none.txt", "sub", "", "..", "none/a.txt", "a.txt/b", "x" * 5000])
def test_what_is_no_file_is_refused(mesh: Path, name: str) -> None:
    with pytest.raises(RenderError, match=r"is not a file|cannot read"):
        read_companion(mesh, name)


def test_a_pipe_would_never_end(mesh: Path) -> None:
    os.mkfifo(mesh.with_name("pipe.png"))
    with pytest.raises(RenderError, match="is not a file"):
        read_companion(mesh, "pipe.png")


def test_size_is_bounded(mesh: Path) -> None:
    assert read_companion(mesh, "a.txt", 5) == b"a.txt"
    with pytest.raises(RenderError, match="has 5 bytes, more than 4"):
        read_companion(mesh, "a.txt", 4)


def test_the_exact_name_wins_over_another_case(mesh: Path) -> None:
    mesh.with_name("A.txt").write_text("upper")
    assert read_companion(mesh, "a.txt") == b"a.txt"
    assert read_companion(mesh, "A.txt") == b"upper"
    assert read_companion(mesh, "A.TXT") == b"upper"  # the first by name


def test_a_path_without_folder_means_the_one_at_hand(mesh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mesh.parent)
    assert read_companion(Path("mesh.obj"), "../above.txt") == b"above.txt"
