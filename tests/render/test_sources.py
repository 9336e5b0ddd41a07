import os
from pathlib import Path

import pytest

from render.errors import RenderError
from render.sources import find_meshes


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def test_modelnet_layout(tmp_path: Path) -> None:
    make(tmp_path, "b/train/2.off", "a/test/1.OBJ", "a/train/1.off", "a/notes.txt", "README")
    listing = find_meshes(tmp_path)
    assert listing.layout == "modelnet"
    assert [(s.relative, s.category, s.split) for s in listing.sources] == [
        ("a/test/1.OBJ", "a", "test"), ("a/train/1.off", "a", "train"), ("b/train/2.off", "b", "train"),
    ]  # fmt: skip
    assert listing.num_ignored == 2
    assert "3 meshes, 2 classes, 2 train, 1 test; 2 other files ignored" in listing.describe()


def test_class_and_flat_layouts(tmp_path: Path) -> None:
    by_class = find_meshes(make(tmp_path / "c", "chair/1.ply", "table/1.stl"))
    assert (by_class.layout, [s.category for s in by_class.sources]) == ("class", ["chair", "table"])
    flat = find_meshes(make(tmp_path / "f", "1.glb", "2.glb"))
    assert (flat.layout, {(s.category, s.split) for s in flat.sources}) == ("flat", {("unlabeled", "train")})


def test_names_with_spaces_and_other_letters(tmp_path: Path) -> None:
    listing = find_meshes(make(tmp_path, "Stühle/train/ein Stuhl.off"))
    assert listing.sources[0].category == "Stühle"
    assert Path(listing.sources[0].path).exists()


@pytest.mark.parametrize(
    ("names", "layout", "message"),
    [
        (("a/1.off", "1.off"), "auto", "cannot tell the layout \\(1 at depth 1, 1 at depth 2\\)"),
        (("a/b/1.off",), "auto", "cannot tell the layout"),
        (("a/dev/1.off",), "modelnet", "1.off: does not fit layout modelnet"),
        (("a/1.off",), "flat", "does not fit layout flat"),
        (("a/1.txt",), "auto", "no mesh below it \\(1 other files\\)"),
        (("a/1.off",), "tree", "'tree' is unknown; name one of auto"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, names: tuple[str, ...], layout: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        find_meshes(make(tmp_path, *names), layout)  # type: ignore[arg-type]


def test_no_such_folder_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="no such folder"):
        find_meshes(tmp_path / "none")
    with pytest.raises(RenderError, match="is not a folder"):
        find_meshes(make(tmp_path, "1.off") / "1.off")


def test_a_link_that_loops_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "a/1.off")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert len(find_meshes(tmp_path).sources) == 1


def test_a_name_that_is_not_utf8_is_found_and_can_be_written_down(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "ok.off")
    (folder / os.fsdecode(b"caf\xe9.off")).write_text("")
    sources = find_meshes(tmp_path).sources
    assert [source.relative for source in sources] == ["a/caf\\xe9.off", "a/ok.off"]
    assert all(Path(source.path).exists() for source in sources)
