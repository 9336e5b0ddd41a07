"""Loose files of a set: what is in them, that they become the same set again, and what becomes of folders that exist."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.exchange.export import ExportOptions, ExportReport, export_set
from shards.exchange.importing import find_loose, import_set
from shards.exchange.ply import decode_ply
from shards.plan import Source
from shards.reader import ShardReader
from shards.schema import Sample
from tests.shards import synthetic

IN_PROCESS = BuildOptions(num_workers=0, samples_per_shard=4)


def rich_sample(source: Source) -> Sample:
    """Every kind of member: colour views, depth, normals, part images, colours, labels, boxes, tilted cameras."""
    sample = synthetic.make_sample(source)
    random = np.random.default_rng(len(source.key))
    size, views, side = len(sample.arrays["points"]), synthetic.NUM_VIEWS, synthetic.SIDE
    turns, _ = np.linalg.qr(random.normal(size=(views, 3, 3)))
    poses = np.tile(np.eye(4), (views, 1, 1))
    poses[:, :3, :3] = turns * np.linalg.det(turns)[:, None, None]
    poses[:, :3, 3] = random.normal(size=(views, 3))
    labels = {name: random.integers(-1, 9, size).astype(np.int32) for name in ("part", "semantic", "instance")}
    arrays = sample.arrays | labels | {
        "colors": random.integers(0, 256, (size, 3)).astype(np.uint8),
        "boxes": random.normal(size=(2, 7)).astype(np.float32),
        "world_to_camera": poses.astype(np.float32),
        "intrinsics": np.tile(np.diag([31.1, 31.3, 1.0]), (views, 1, 1)).astype(np.float32),
    }  # fmt: skip
    images = {}
    for i in range(views):
        color = random.integers(0, 256, (side, side, 4)).astype(np.uint8)
        color[..., 3] = np.where(color[..., 3] > 99, 255, 0)
        images[f"view{i:02d}"] = color
        images[f"depth{i:02d}"] = random.integers(0, 1 << 16, (side, side)).astype(np.uint16)
        images[f"normal{i:02d}"] = random.integers(0, 256, (side, side, 3)).astype(np.uint8)
        images[f"part{i:02d}"] = random.integers(0, 9, (side, side)).astype(np.uint16)
    return replace(sample, arrays=arrays, images=images, meta=sample.meta | {"projection": "perspective"})


def bare_sample(source: Source) -> Sample:
    """A cloud that was never rendered."""
    sample = synthetic.make_sample(source)
    none = {"projection": None, "rig": None, "backend": None, "image_size": None}
    empty = {"world_to_camera": np.empty((0, 4, 4), np.float32), "intrinsics": np.empty((0, 3, 3), np.float32)}
    return replace(sample, images={}, arrays=sample.arrays | empty, meta=sample.meta | none)


def built(folder: Path, make_sample: Any = synthetic.make_sample) -> Path:
    build_shards(synthetic.make_sources(7, 2), make_sample, folder, {"rig": "mvcnn12"}, IN_PROCESS)
    return folder


def exported(location: Path, folder: Path, split: str | None = None, **options: Any) -> ExportReport:
    with ShardReader(location, split) as reader:
        return export_set(reader, folder, ExportOptions(**options))


def places(folder: Path) -> list[str]:
    return sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("transforms.json"))


@pytest.mark.parametrize("make_sample", [synthetic.make_sample, rich_sample, bare_sample])
@pytest.mark.parametrize("as_stored", [False, True])
def test_imported_again_every_byte_is_the_same(tmp_path: Path, make_sample: Any, as_stored: bool) -> None:
    location = built(tmp_path / "set", make_sample)
    assert exported(location, tmp_path / "loose", as_stored=as_stored) == ExportReport(9, 0)
    loose = find_loose(tmp_path / "loose")
    report = import_set(loose, tmp_path / "back", IN_PROCESS)
    assert report.failures == ()
    for path in [*location.glob("*.tar"), *location.glob("*.idx")]:
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_files_of_a_sample(tmp_path: Path) -> None:
    location = built(tmp_path / "set", rich_sample)
    exported(location, tmp_path / "loose")
    with ShardReader(location, "test") as reader:
        sample = reader.read(0, ("points", "colors", "part"))
        raw = {name: reader.raw(0, name) for name in ("depth01.png", "boxes.npy", "json")}
    folder = tmp_path / "loose/test" / sample.meta["category"] / sample.key
    images = [f"{kind}{i:02d}.png" for kind in ("depth", "normal", "part", "view") for i in range(3)]
    arrays = ["boxes.npy", "instance.npy", "semantic.npy"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*images, *arrays, "points.ply", "sample.json", "transforms.json"]
    )
    assert (folder / "depth01.png").read_bytes() == raw["depth01.png"]
    assert (folder / "boxes.npy").read_bytes() == raw["boxes.npy"]
    assert (folder / "sample.json").read_bytes() == raw["json"]
    cloud = decode_ply((folder / "points.ply").read_bytes())
    assert all(np.array_equal(cloud[name], sample.arrays[name]) for name in ("points", "colors", "part"))


def test_grey_views_become_pictures_that_every_tool_reads(tmp_path: Path) -> None:
    location = built(tmp_path / "set")
    exported(location, tmp_path / "loose", split="test")
    with ShardReader(location, "test") as reader:
        sample = reader.read(1)
    folder = tmp_path / "loose/test" / sample.meta["category"] / sample.key
    picture = Image.open(folder / "view02.png")
    assert picture.mode == "RGBA"
    assert np.array_equal(np.asarray(picture), sample.images["view02"][..., [0, 0, 0, 1]])
    content = json.loads((folder / "transforms.json").read_text())
    assert [frame["file_path"] for frame in content["frames"]] == ["view00.png", "view01.png", "view02.png"]
    assert content["camera_model"] == "ORTHOPHOTO"


def test_chosen_samples_alone_are_written(tmp_path: Path) -> None:
    location = built(tmp_path / "set")
    exported(location, tmp_path / "chairs", split="train", classes=("chair",))
    assert len(places(tmp_path / "chairs")) == 3
    assert all(place.startswith("train/chair/") for place in places(tmp_path / "chairs"))
    assert exported(location, tmp_path / "few", num_samples=4) == ExportReport(4, 0)
    with pytest.raises(ShardError, match="no class 'sofa'; it has chair, lamp, mug"):
        exported(location, tmp_path / "none", classes=("sofa",))


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    location = built(tmp_path / "set")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose/notes.txt").write_text("mine")
    with pytest.raises(ShardError, match="is not empty; --resume goes on with an export, --overwrite replaces it"):
        exported(location, tmp_path / "loose")


def test_resume_keeps_whole_samples_and_mends_others(tmp_path: Path) -> None:
    location, folder = built(tmp_path / "set"), tmp_path / "loose"
    exported(location, folder)
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    first, second, third = (folder / place for place in places(folder)[:3])
    (first / "view01.png").unlink()
    (second / "points.ply").write_bytes((second / "points.ply").read_bytes()[:-1] + b"?")
    third.rename(third.with_name(f".{third.name}.tmp-1"))  # as a run leaves it that is killed before the rename
    kept = folder / places(folder)[-1]
    before = kept.stat().st_ino
    assert exported(location, folder, resume=True) == ExportReport(3, 6)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == whole
    assert kept.stat().st_ino == before


def test_overwrite_removes_earlier_samples_and_nothing_else(tmp_path: Path) -> None:
    location, folder = built(tmp_path / "set"), tmp_path / "loose"
    exported(location, folder)
    (folder / "notes.txt").write_text("mine")
    exported(location, folder, split="test", overwrite=True)
    assert len(places(folder)) == 2
    assert not (folder / "train").exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_overwrite_removes_nothing_where_a_sample_holds_files_of_others(tmp_path: Path) -> None:
    location, folder = built(tmp_path / "set"), tmp_path / "loose"
    exported(location, folder)
    (folder / places(folder)[-1] / "notes.txt").write_text("mine")
    with pytest.raises(ShardError, match=r"notes.txt: no export wrote this; move it away"):
        exported(location, folder, overwrite=True)
    assert len(places(folder)) == 9


def test_classes_cannot_climb_out_of_the_folder(tmp_path: Path) -> None:
    sources = [replace(source, category="../../x") for source in synthetic.make_sources(2, 0)]
    build_shards(sources, synthetic.make_sample, tmp_path / "set", {}, IN_PROCESS)
    exported(tmp_path / "set", tmp_path / "deep/loose")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["deep", "set"]
    assert {place.split("/")[1] for place in places(tmp_path / "deep/loose")} == {"__.._x"}
    import_set(find_loose(tmp_path / "deep/loose"), tmp_path / "back", IN_PROCESS)
    with ShardReader(tmp_path / "back") as reader:
        assert reader.classes == ("../../x",)


def test_a_url_is_no_place_for_loose_files(tmp_path: Path) -> None:
    with ShardReader(built(tmp_path / "set")) as reader, pytest.raises(ShardError, match="folder of this machine"):
        export_set(reader, "s3://bucket/loose")  # type: ignore[arg-type]


def test_overwrite_removes_what_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    reader = ShardReader(built(tmp_path / "set"))
    export_set(reader, tmp_path / "out")
    place = min((tmp_path / "out").glob("*/*/*"))
    mine = place.with_name(".mine.tmp-old")
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    left = place.with_name(f".{place.name}.tmp-1")  # as a run leaves it that is killed while it removes a sample
    place.rename(left)
    (left / "sample.json").unlink()
    assert export_set(reader, tmp_path / "out", ExportOptions(overwrite=True)) == ExportReport(len(reader), 0)
    assert (mine / "notes.txt").read_text() == "mine"
    assert not left.exists()
    assert (place / "sample.json").is_file()
    left.mkdir()
    (left / "notes.txt").write_text("mine")
    with pytest.raises(ShardError, match="no export wrote this"):
        export_set(reader, tmp_path / "out", ExportOptions(resume=True))
    assert (left / "notes.txt").is_file()
