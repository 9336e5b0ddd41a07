import json
from pathlib import Path

import pytest

from render.errors import RenderError
from render.sources import MeshSource, find_meshes


def write(folder: Path, text: str | bytes, name: str = "list.csv", mesh: str = "a.off") -> Path:
    """A manifest with one mesh beside it."""
    (folder / mesh).parent.mkdir(parents=True, exist_ok=True)
    (folder / mesh).write_text("")
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv_with_all_columns(tmp_path: Path) -> None:
    text = "path,category,split,part_labels\nb.off,lamp,test,\na.off,chair,val,labels/a.npy\n"
    listing = find_meshes(write(tmp_path, text))
    assert listing.layout == "manifest"
    assert listing.sources == (
        MeshSource(str(tmp_path / "a.off"), "a.off", "chair", "val", str(tmp_path / "labels/a.npy")),
        MeshSource(str(tmp_path / "b.off"), "b.off", "lamp", "test", None),
    )
    assert listing.describe() == (
        "layout manifest (rows of path,category,split,part_labels): 2 meshes, 2 classes, 1 val, 1 test"
    )


def test_only_paths_are_needed(tmp_path: Path) -> None:
    (source,) = find_meshes(write(tmp_path, "path\na.off\n"), "manifest").sources
    assert (source.category, source.split, source.part_labels) == ("unlabeled", "train", None)


def test_csv_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    text = '\ufeffcategory,path\r\n\r\n"Stuhl, alt","a ""b"",\nc.off"\r\n,\r\n'
    (source,) = find_meshes(write(tmp_path, text, mesh='a "b",\nc.off')).sources
    assert (source.category, source.relative) == ("Stuhl, alt", 'a "b",\nc.off')
    assert Path(source.path).exists()


def test_jsonl(tmp_path: Path) -> None:
    rows = [{"path": "a.off", "category": "Stühle\u2028x", "split": None}, {"path": "sub/b c.glb", "split": "test"}]
    text = "\ufeff" + "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    sources = find_meshes(write(tmp_path, text, "list.jsonl")).sources
    assert [(source.relative, source.category, source.split) for source in sources] == [
        ("a.off", "Stühle\u2028x", "train"),
        ("sub/b c.glb", "unlabeled", "test"),
    ]


def test_names_of_paths_that_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    rows = ["../up.off", "x/../../../up.off", "./in//a.off", str(folder / "in/b.off"), "/data/c.off"]
    listing = find_meshes(write(folder, "path\n" + "\n".join(rows), mesh="in/a.off"))
    assert {source.relative: source.path for source in listing.sources} == {
        "__up__/up.off": f"{folder}/../up.off",
        "__up__/__up__/up.off": f"{folder}/x/../../../up.off",
        "in/a.off": f"{folder}/./in//a.off",
        "in/b.off": f"{folder}/in/b.off",
        "__root__/data/c.off": "/data/c.off",
    }


def test_a_file_that_does_not_exist_is_listed_but_one_must(tmp_path: Path) -> None:
    assert len(find_meshes(write(tmp_path, "path\na.off\nnone.off\n")).sources) == 2
    with pytest.raises(RenderError, match=r"none of its 1 meshes exists, such as .*none\.off"):
        find_meshes(write(tmp_path, "path\nnone.off\n"))


def test_a_name_that_is_not_utf8_comes_by_its_surrogates(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"path": "caf\udce9.off"}), "list.jsonl", mesh="caf\udce9.off")
    assert find_meshes(path).sources[0].relative == "caf\\xe9.off"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,categroy\na.off,x\n", "line 1: column 'categroy' is unknown; did you mean category"),
        ("path;category\na.off;x\n", "column 'path;category' is unknown"),
        ("category\nx\n", "line 1: lacks the column path; found category"),
        ("path,path\na,b\n", "column 'path' occurs twice"),
        ("", "lacks the column path; found none"),
        ("path\n", "lists no mesh"),
        ("path,split\na.off,dev\n", "line 2: split 'dev' is none of train, val, test"),
        ("path,split\n\na.off\n", "line 3: 1 fields, the header has 2"),
        ("path,split\n,train\n", "line 2: path '' names no file"),
        ("path\n.\n", "line 2: path '.' names no file"),
        ("path\na.off\n\n./a.off\n", "line 4: ./a.off is the mesh of line 2 again"),
        ('path\n"a.off\n', "line 2: cannot read as CSV"),
        (b"path\na.off\nSt\xfchle.off\n", "line 3: is not UTF-8; save the file as UTF-8"),
        ("path\na\0.off\n", "line 2"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        find_meshes(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.off"}\n{"path": ', "line 2: not valid JSON"),
        ('["a.off"]', "line 1: is no JSON object"),
        ('{"path": "a.off", "category": 3}', "line 1: category is 3, expected text"),
        ('{"path": "a.off", "spilt": "val"}', "column 'spilt' is unknown; did you mean split"),
        ('{"path": "a.off", "path": "b.off"}', "column 'path' occurs twice"),
        ('{"path": null}', "line 1: path '' names no file"),
        ('{"path": "a\\u0000.off"}', "line 1: a path holds a zero byte"),
        ('{"path": "a.off", "category": "\\ud800"}', "line 1: .* holds half a character"),
    ],
)
def test_what_is_wrong_with_a_jsonl_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        find_meshes(write(tmp_path, text, "list.jsonl"))


def test_a_manifest_has_no_other_layout(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="is a manifest, which has no layout class"):
        find_meshes(write(tmp_path, "path\na.off\n"), "class")
