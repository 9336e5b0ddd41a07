import os
from pathlib import Path

import pytest

from render.errors import RenderError
from render.finding.walk import walk
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


def test_splits_are_taken_for_classes_only_when_told(tmp_path: Path) -> None:
    listing = find_meshes(make(tmp_path, "train/chair.off", "test/lamp.off"), "class")
    assert [source.category for source in listing.sources] == ["test", "train"]


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
        (("Meshes/a/train/1.off",), "auto", "lies below .*Meshes, which fits layout modelnet: name that folder"),
        (("train/chair.off", "test/lamp.off"), "auto", "such as test/lamp.off; arrange .* or say --layout class"),
        (("02691156/train/model.obj",), "auto", "fits the layouts modelnet and shapenet-v1; choose one"),
        (("a/1.off",), "manifest", "is a folder; layout manifest wants a .csv or .jsonl file"),
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


def test_linked_files_and_folders_are_followed_under_the_names_of_the_links(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "chairs/train/1.off", "2.off")
    make(tmp_path / "src", "table/train/1.off")
    (tmp_path / "src" / "chair").symlink_to(tmp_path / "elsewhere" / "chairs")
    (tmp_path / "src" / "table" / "train" / "2.off").symlink_to(tmp_path / "elsewhere" / "2.off")
    listing = find_meshes(tmp_path / "src")
    assert [source.relative for source in listing.sources] == [
        "chair/train/1.off", "table/train/1.off", "table/train/2.off",
    ]  # fmt: skip
    assert listing.notes == ("1 linked folders followed",)


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_a_folder_that_holds_it_is_cut(tmp_path: Path, target: str) -> None:
    make(tmp_path / "src", "a/1.off")
    (tmp_path / "src" / "a" / "loop").symlink_to(target)
    listing = find_meshes(tmp_path / "src")
    assert [source.relative for source in listing.sources] == ["a/1.off"]
    assert listing.notes == ("1 links back to a folder that holds them, skipped",)
    assert "1 links back" in listing.describe()


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    make(tmp_path, "a/1.off", "b/1.off")
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    found = walk(tmp_path)
    assert found.meshes == ("a/1.off", "a/b/1.off", "b/1.off", "b/a/1.off")
    assert found.notes == ("2 linked folders followed", "2 links back to a folder that holds them, skipped")


def test_what_cannot_be_a_mesh_is_counted(tmp_path: Path) -> None:
    make(tmp_path, "1.off", "._1.off", "__MACOSX/1.off", ".git/2.off", "notes.txt")
    (tmp_path / "gone.off").symlink_to(tmp_path / "none.off")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe.off")
    listing = find_meshes(tmp_path)
    assert [source.relative for source in listing.sources] == ["1.off"]
    assert listing.num_ignored == 7
    assert listing.notes == (
        "2 links that lead nowhere, skipped",
        "1 pipes, sockets or devices named like meshes, skipped",
        "3 hidden names (.name, __MACOSX), skipped",
    )


def test_deep_trees_and_line_breaks_in_names(tmp_path: Path) -> None:
    name = "/".join(["d"] * 400) + "/line\nbreak.off"
    assert walk(make(tmp_path, name)).meshes == (name,)
    (source,) = find_meshes(make(tmp_path / "two\nlines", "a\nb/train/c\nd.off")).sources
    assert (source.category, source.split, source.relative) == ("a\nb", "train", "a\nb/train/c\nd.off")


def test_a_name_that_is_not_utf8_is_found_and_can_be_written_down(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "ok.off")
    (folder / os.fsdecode(b"caf\xe9.off")).write_text("")
    sources = find_meshes(tmp_path).sources
    assert [source.relative for source in sources] == ["a/caf\\xe9.off", "a/ok.off"]
    assert all(Path(source.path).exists() for source in sources)
