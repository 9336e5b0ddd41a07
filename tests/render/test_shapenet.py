import json
from pathlib import Path

import pytest

from render.errors import RenderError
from render.finding.shapenet import SYNSETS
from render.sources import Listing, find_meshes

AIRPLANE, CHAIR = "02691156", "03001627"


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def found(listing: Listing) -> list[tuple[str, str, str]]:
    return [(source.relative, source.category, source.split) for source in listing.sources]


def test_the_table_has_the_55_classes_under_55_names() -> None:
    assert len(SYNSETS) == len(set(SYNSETS.values())) == 55
    assert (SYNSETS[AIRPLANE], SYNSETS[CHAIR], SYNSETS["04554684"]) == ("airplane", "chair", "washer")


def test_core_v1(tmp_path: Path) -> None:
    make(tmp_path, f"{AIRPLANE}/1a/model.obj", f"{AIRPLANE}/1a/model.mtl", f"{AIRPLANE}/1a/images/skin.jpg")
    make(tmp_path, f"{CHAIR}/2b/model.obj", f"{CHAIR}/2b/hull.obj", "99999999/3c/model.obj")
    make(tmp_path, f"{CHAIR}/empty/model.mtl")
    listing = find_meshes(tmp_path)
    assert listing.layout == "shapenet-v1"
    assert found(listing) == [
        (f"{AIRPLANE}/1a/model.obj", "airplane", "train"),
        (f"{CHAIR}/2b/model.obj", "chair", "train"),
        ("99999999/3c/model.obj", "99999999", "train"),
    ]
    assert listing.num_ignored == 4
    assert listing.notes == ("1 model folders without a mesh",)


def test_core_v2_takes_splits_from_all_csv(tmp_path: Path) -> None:
    for model in ("aa", "bb", "cc"):
        make(tmp_path, f"{CHAIR}/{model}/models/model_normalized.obj", f"{CHAIR}/{model}/models/model_normalized.mtl")
    (tmp_path / "all.csv").write_text(
        "id,synsetId,subSynsetId,modelId,split\r\n"
        f"000001,{CHAIR},{CHAIR},aa,test\r\n"
        f"000002,{AIRPLANE},{AIRPLANE},bb,test\r\n"  # the same model id under another synset is another model
        f"000003,{CHAIR},{CHAIR},cc,val\r\n"
    )
    listing = find_meshes(tmp_path)
    assert listing.layout == "shapenet-v2"
    assert [source.split for source in listing.sources] == ["test", "train", "val"]
    assert {source.category for source in listing.sources} == {"chair"}
    assert listing.notes == ("1 models not in all.csv, taken as train",)
    assert listing.describe().endswith(
        "3 meshes, 1 classes, 1 train, 1 val, 1 test; 4 other files ignored; 1 models not in all.csv, taken as train"
    )


@pytest.mark.parametrize(
    "taxonomy",
    [
        [{"synsetId": AIRPLANE, "name": "aeroplane,plane", "children": []}, {"synsetId": CHAIR, "name": "seat"}],
        [
            {
                "metadata": {"name": AIRPLANE, "label": "aeroplane,plane"},
                "children": [{"metadata": {"name": CHAIR, "label": "seat"}, "children": []}],
            }
        ],
    ],
)
def test_taxonomy_wins(tmp_path: Path, taxonomy: object) -> None:
    make(tmp_path, f"{AIRPLANE}/1/model.obj", f"{CHAIR}/2/model.obj", "04379243/3/model.obj")
    (tmp_path / "taxonomy.json").write_text(json.dumps(taxonomy))
    assert [source.category for source in find_meshes(tmp_path).sources] == ["aeroplane", "seat", "table"]


def test_synsets_of_one_name_stay_two_classes(tmp_path: Path) -> None:
    make(tmp_path, f"{AIRPLANE}/1/model.obj", f"{CHAIR}/2/model.obj")
    entries = [{"synsetId": AIRPLANE, "name": "thing"}, {"synsetId": CHAIR, "name": "thing,seat"}]
    (tmp_path / "taxonomy.json").write_text(json.dumps(entries))
    assert [source.category for source in find_meshes(tmp_path).sources] == [AIRPLANE, CHAIR]


def test_shapenet55(tmp_path: Path) -> None:
    make(tmp_path, "train/model_000003.off", "train/model_000003_001.jpg", "train/model_000004.off", "val/000005.obj")
    (tmp_path / "train.csv").write_text(f"id,synsetId,subSynsetId\n000003,{CHAIR},{CHAIR}\n")
    (tmp_path / "all.csv").write_text(f"id,synsetId,subSynsetId,modelId,split\n000005,{AIRPLANE},{AIRPLANE},aa,val\n")
    listing = find_meshes(tmp_path)
    assert listing.layout == "shapenet55"
    assert found(listing) == [
        ("train/model_000003.off", "chair", "train"),
        ("train/model_000004.off", "unlabeled", "train"),
        ("val/000005.obj", "airplane", "val"),
    ]
    assert listing.notes == ("1 models not in the csv files, unlabeled",)


@pytest.mark.parametrize(
    ("mesh", "table", "text", "message"),
    [
        ("train/model_000003.off", None, "", "needs train.csv or all.csv beside the folders"),
        (
            "train/model_000003.off",
            "train.csv",
            "id,name\n1,2\n",
            "lacks the column synsetId; its columns are id, name",
        ),
        ("train/model_000003.off", "train.csv", "id,synsetId\n000009,03001627\n", "hold none of the models"),
        ("train/model_000003.off", "train.csv", "id,synsetId\n000003\n", "line 2: 1 fields, the header has 2"),
        (
            f"{CHAIR}/1/model.obj",
            "all.csv",
            "synsetId,modelId,split\n1,2,dev\n",
            "line 2: split 'dev' is none of train",
        ),
        (f"{CHAIR}/1/model.obj", "all.csv", "", "all.csv: lacks the column synsetId"),
        (f"{CHAIR}/1/model.obj", "taxonomy.json", "[", "taxonomy.json: not valid JSON"),
        (f"{CHAIR}/1/model.obj", "taxonomy.json", "[]", "taxonomy.json: names no synset"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(
    tmp_path: Path, mesh: str, table: str | None, text: str, message: str
) -> None:
    make(tmp_path, mesh)
    if table:
        (tmp_path / table).write_text(text)
    with pytest.raises(RenderError, match=message):
        find_meshes(tmp_path)


def test_a_mesh_outside_the_model_folders_does_not_fit(tmp_path: Path) -> None:
    make(tmp_path, f"{CHAIR}/1/model.obj", f"{CHAIR}/stray.obj")
    with pytest.raises(RenderError, match=r"stray\.obj: does not fit layout shapenet-v1"):
        find_meshes(tmp_path, "shapenet-v1")


def test_a_folder_of_companions_only_is_told(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="no mesh of layout shapenet-v2"):
        find_meshes(make(tmp_path, f"{CHAIR}/1/model.obj"), "shapenet-v2")
