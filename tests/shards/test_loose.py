"""Folders of loose samples as other tools write them: what becomes of them, and one line for what cannot become one."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.build import BuildOptions
from shards.errors import ShardError
from shards.exchange import loose
from shards.exchange.importing import find_loose, import_set
from shards.exchange.loose import ReadLoose, folder_label
from shards.exchange.ply import encode_ply
from shards.plan import Source
from shards.reader import ShardReader
from tests.shards.loose_files import POINTS, SIDE, change_transforms, picture, write_foreign

IN_PROCESS = BuildOptions(num_workers=0)


def failure(folder: Path) -> str:
    """What is said of a folder's sample."""
    with pytest.raises(ShardError) as caught:
        ReadLoose()(Source(str(folder), "mug/a", "mug", "train", "mug-a"))
    return str(caught.value)


def test_a_foreign_folder_becomes_a_sample(tmp_path: Path) -> None:
    write_foreign(tmp_path / "src/mug/train/a")
    report = import_set(find_loose(tmp_path / "src"), tmp_path / "set", IN_PROCESS)
    assert (report.num_samples, report.failures) == (1, ())
    with ShardReader(tmp_path / "set", "train") as reader:
        sample = reader.read(0)
        assert reader.classes == ("mug",)
    meta = sample.meta
    assert (sample.key, meta["source"], meta["category"]) == ("mug-train-a", "mug/train/a", "mug")
    assert (meta["projection"], meta["image_size"], meta["rig"]) == ("perspective", SIDE, "imported")
    assert np.array_equal(sample.arrays["points"], POINTS)
    assert np.array_equal(sample.images["view01"][0, 0], (101, 10, 20, 255))
    assert sample.images["view01"][0, -1, 3] == 0
    # The second camera stands at z = 3 and looks down: right is +x, image down is -y.
    assert np.allclose(sample.arrays["world_to_camera"][1], [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]])
    focal = SIDE / 2 / np.tan(0.4)
    assert np.allclose(sample.arrays["intrinsics"][1], [[focal, 0, SIDE / 2], [0, focal, SIDE / 2], [0, 0, 1]])


def test_soft_edges_become_hard(tmp_path: Path) -> None:
    write_foreign(tmp_path / "a", num_views=2)
    (tmp_path / "a/images/0000.png").write_bytes(picture(9, alpha=128))
    (tmp_path / "a/images/0001.png").write_bytes(picture(9, alpha=127))
    packed = ReadLoose()(Source(str(tmp_path / "a"), "a", "mug", "train", "a"))
    views = [
        np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")) for name, data in packed.members if "view" in name
    ]
    assert [int(view[0, 0, 3]) for view in views] == [255, 0]


def test_names_written_on_windows_are_found(tmp_path: Path) -> None:
    write_foreign(tmp_path / "a")
    change_transforms(tmp_path / "a", frame={"file_path": "images\\0000.png"})
    assert ReadLoose()(Source(str(tmp_path / "a"), "a", "mug", "train", "a")).key == "a"


def put(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def tell(**fields: object) -> Callable[[Path], object]:
    return lambda folder: change_transforms(folder, **fields)


LONG = POINTS * np.array([1, 1, 1, 2, 2, 2], np.float32)
NOT_FINITE = np.where(POINTS == 0.5, np.float32("inf"), POINTS).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (tell(frame={"file_path": "../secret.png"}), "'../secret.png': lies outside the sample's folder"),
        (tell(frame={"file_path": "/etc/passwd"}), "'/etc/passwd': lies outside"),
        (tell(ply_file_path="../points.ply"), "'../points.ply': lies outside"),
        (tell(frame={"file_path": "a\0b"}), "cannot be read: embedded null byte"),
        (tell(frame={"file_path": "images/9.png"}), "images/9.png: missing"),
        (tell(w=9), "is 8 x 8 pixels, the file says 9 x 8"),
        (tell(k1=0.1), "transforms.json: k1 is given"),
        (tell(frames=[]), "holds no frames"),
        (tell(frame={"transform_matrix": (3 * np.eye(4)).tolist()}), "not a rotation"),
        (put("images/0001.png", picture(1, side=6)), "pictures of 6 x 6 and 8 x 8 pixels"),
        (put("images/0001.png", picture(1, mode="RGB")), "has no alpha"),
        (put("images/0001.png", picture(1)[:-20]), "images/0001.png: "),
        (put("images/0001.png", b"\xff\xd8\xff\xe0 a JPEG"), "images/0001.png: not a"),
        (put("transforms.json", b"{"), "transforms.json: not valid JSON"),
        (put("transforms.json", b"[" * 100000), "transforms.json: not valid JSON"),
        (put("points.ply", b"solid"), "points.ply: not a PLY"),
        (put("points.ply", encode_ply({"points": LONG})), "the normal of point 0 has length 2"),
        (put("points.ply", encode_ply({"points": NOT_FINITE})), "points holds a value that is not finite"),
        (put("sample.json", b"{}"), "sample.json: says projection None, transforms.json says perspective"),
        (lambda folder: (folder / "points.ply").unlink(), "points.ply: missing"),
    ],
)
def test_what_cannot_become_a_sample_is_told_in_one_line(
    tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    folder = write_foreign(tmp_path / "a")
    (tmp_path / "secret.png").write_bytes(picture(1))
    (tmp_path / "points.ply").write_bytes(encode_ply({"points": POINTS}))
    change(folder)
    line = failure(folder)
    assert line.startswith("mug/a: ")
    assert told in line
    assert str(tmp_path) not in line
    assert "\n" not in line


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "a")
    (tmp_path / "secret.png").write_bytes(picture(1))
    (folder / "images/0000.png").unlink()
    (folder / "images/0000.png").symlink_to(tmp_path / "secret.png")
    assert "lies outside the sample's folder" in failure(folder)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_foreign(tmp_path / "a", num_views=3)
    monkeypatch.setattr(loose, "MAX_SAMPLE_PIXELS", 2 * SIDE * SIDE)
    assert "0002.png: with it the pictures have more than 128 pixels" in failure(folder)
    monkeypatch.setattr(loose, "MAX_FILE_BYTES", 100)
    assert "points.ply: " in failure(folder)
    assert "more than the 100 allowed" in failure(folder)


def test_a_failed_sample_is_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_foreign(tmp_path / "src/mug" / name)
    (tmp_path / "src/mug/a/points.ply").unlink()
    report = import_set(find_loose(tmp_path / "src"), tmp_path / "set", IN_PROCESS)
    assert report.num_samples == 1
    assert [(failed.source, failed.reason) for failed in report.failures] == [("mug/a", "mug/a: points.ply: missing")]


@pytest.mark.parametrize(
    ("names", "layout", "expected"),
    [
        (["train/mug/a", "test/mug/a"], "split", [("mug", "test", "test-mug-a"), ("mug", "train", "train-mug-a")]),
        (["mug/val/a"], "modelnet", [("mug", "val", "mug-val-a")]),
        (["mug/a", "lamp/a"], "class", [("lamp", "train", "lamp-a"), ("mug", "train", "mug-a")]),
        (["a", ".hidden"], "flat", [("unlabeled", "train", "a")]),
    ],
)
def test_class_and_split_follow_from_the_place(
    tmp_path: Path, names: list[str], layout: str, expected: list[tuple[str, str, str]]
) -> None:
    for name in names:
        write_foreign(tmp_path / name)
    found = find_loose(tmp_path)
    assert found.layout == layout
    assert [(source.category, source.split, source.key) for source in found.sources] == expected


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "no folder with a transforms.json below it"),
        (["train/a", "test/b"], "hardly classes"),
        (["mug/a", "lamp/train/a"], "samples lie 2 deep, and lamp/train/a deeper"),
        (["mug/odd/a", "train/mug/b"], "mug/odd/a: tells no split"),
    ],
)
def test_places_that_tell_no_layout_are_refused(tmp_path: Path, names: list[str], told: str) -> None:
    for name in names:
        write_foreign(tmp_path / name)
    with pytest.raises(ShardError, match=told):
        find_loose(tmp_path)
    with pytest.raises(ShardError, match="no such folder"):
        find_loose(tmp_path / "nowhere")


def test_folders_without_a_sample_are_told(tmp_path: Path) -> None:
    write_foreign(tmp_path / "mug/a")
    (tmp_path / "mug/b").mkdir()
    assert find_loose(tmp_path).passed_over == ("mug/b",)


def test_an_exported_sample_that_was_moved_gets_its_new_place(tmp_path: Path) -> None:
    write_foreign(tmp_path / "first/train/mug/a")
    import_set(find_loose(tmp_path / "first"), tmp_path / "set", IN_PROCESS)
    with ShardReader(tmp_path / "set") as reader:
        meta = reader.meta(0)
    folder = tmp_path / "second/val/lamp/renamed"
    folder.parent.mkdir(parents=True)
    (tmp_path / "first/train/mug/a").rename(folder)
    (folder / "sample.json").write_text(json.dumps(meta | {"note": "kept"}))
    import_set(find_loose(tmp_path / "second"), tmp_path / "moved", IN_PROCESS)
    with ShardReader(tmp_path / "moved") as reader:
        assert reader.meta(0) == meta | {"note": "kept", "category": "lamp", "split": "val"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chair", "chair"), ("Stuhl ä 椅", "Stuhl ä 椅"), ("../x", "__x"), ("..", "_"), (".", "_"), ("", "_"),
        ("a/b\\c:d", "a_b_c_d"), ("a\nb\0", "a_b_"), (".hidden", "_hidden"), ("x" * 300, "x" * 80), ("\ud800", "_"),
    ],
)  # fmt: skip
def test_names_of_folders_are_only_names(tmp_path: Path, text: str, expected: str) -> None:
    assert folder_label(text) == expected
    (tmp_path / folder_label(text)).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [expected]


def test_a_name_longer_than_any_file_is_a_failure_of_its_sample(tmp_path: Path) -> None:
    write_foreign(tmp_path / "a")
    change_transforms(tmp_path / "a", ply_file_path="x" * 5000)
    assert "cannot be read: File name too long" in failure(tmp_path / "a")
    write_foreign(tmp_path / "b")
    change_transforms(tmp_path / "b", frame={"file_path": "x/" * 3000})
    assert "cannot be read: File name too long" in failure(tmp_path / "b")
