import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.index import decode_index
from shards.record import encode_record, read_manifest, read_record
from shards.stores.store import open_store
from shards.tar import member_header
from shards.upkeep.finding import Finding
from shards.upkeep.verify import verify_set
from tests.shards.damage import flip
from tests.shards.older import build_older
from tests.shards.synthetic import change_manifest, make_sample, make_sources

FIRST = "chair-test-chair_0900"


def found(folder: Path | str) -> list[tuple[str, str | None, str]]:
    return [(finding.file, finding.member, finding.what) for finding in verify_set(folder).findings]


def details(folder: Path) -> str:
    return "\n".join(finding.line() for finding in verify_set(folder).findings)


def rewrite_tar(path: Path, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> None:
    """Writes a tar again with other members, whole and in the form of ours."""
    with tarfile.open(path) as tar:
        members = []
        for info in tar.getmembers():
            content = tar.extractfile(info)
            assert content is not None
            members.append((info.name, content.read()))
    data = b"".join(
        member_header(name, len(content)) + content + bytes(-len(content) % 512) for name, content in change(members)
    )
    data += bytes(1024)
    path.write_bytes(data + bytes(-len(data) % 10240))


def test_a_whole_set(whole: Path) -> None:
    told: list[tuple[int, int]] = []
    verification = verify_set(whole, on_progress=lambda done, total: told.append((done, total)))
    size = sum(path.stat().st_size for path in whole.glob("*.tar"))
    assert verification.findings == ()
    assert verification.notes == ()
    assert (verification.num_samples, verification.num_shards, verification.num_bytes) == (11, 4, size)
    assert [total for _, total in told] == [size] * 4
    assert told[-1] == (size, size)


@pytest.mark.parametrize(
    ("place", "detail"), [(5, "header is damaged"), (155, "header is not as it was"), (600, "CRC-32")]
)
def test_a_flip_names_its_member_and_nothing_else(folder: Path, place: int, detail: str) -> None:
    flip(folder / "test-000000.tar", place, 5)  # a space to a zero: of no consequence to the header's own checksum
    assert found(folder) == [("test-000000.tar", f"{FIRST}.intrinsics.npy", "damaged")]
    assert detail in details(folder)


def test_padding_and_end_mark(folder: Path) -> None:
    size = decode_index((folder / "test-000000.idx").read_bytes(), "")[0].members["intrinsics.npy"].num_bytes
    assert size % 512
    flip(folder / "test-000000.tar", 512 + size)
    flip(folder / "test-000000.tar", -1)
    assert found(folder) == [
        ("test-000000.tar", f"{FIRST}.intrinsics.npy", "damaged"),
        ("test-000000.tar", None, "damaged"),
    ]
    assert "padding after it" in details(folder)


def test_several_in_one_tar_are_all_told(folder: Path) -> None:
    spans = decode_index((folder / "test-000000.idx").read_bytes(), "")[0].members
    for field, shift in (("intrinsics.npy", -500), ("json", 3), ("view00.png", -513)):
        flip(folder / "test-000000.tar", spans[field].offset + shift)
    assert [member for _, member, _ in found(folder)] == [
        f"{FIRST}.intrinsics.npy",
        f"{FIRST}.json",
        f"{FIRST}.points.npy",  # whose padding comes before the header of view00
    ]


def test_a_cut_tar(folder: Path) -> None:
    path = folder / "test-000000.tar"
    spans = [
        span
        for sample in decode_index((folder / "test-000000.idx").read_bytes(), "")
        for span in sample.members.values()
    ]
    path.write_bytes(path.read_bytes()[: spans[-2].offset + 5])
    assert [(member, what) for _, member, what in found(folder)] == [
        (None, "truncated"),
        ("lamp-test-lamp_0901.view02.png", "truncated"),
        ("lamp-test-lamp_0901.world_to_camera.npy", "missing"),
    ]
    path.write_bytes(b"")
    assert [what for _, _, what in found(folder)] == ["truncated"] + ["missing"] * 14


def test_missing_files(folder: Path) -> None:
    for name in ("test-000000.tar", "train-000000.idx", "train-000001.json"):
        (folder / name).unlink()
    assert found(folder) == [
        ("test-000000.tar", None, "missing"),
        ("train-000000.idx", None, "missing"),
        ("train-000001.json", None, "missing"),
    ]


def test_foreign_files_and_drafts(folder: Path) -> None:
    for name in ("train-000009.tar", "other.idx", "val-000000.json", ".train-000000.tar.tmp-1", "README.txt", "a.json"):
        (folder / name).write_bytes(b"x")
    assert sorted(found(folder)) == [
        (".train-000000.tar.tmp-1", None, "unfinished"),
        ("other.idx", None, "foreign"),
        ("train-000009.tar", None, "foreign"),
        ("val-000000.json", None, "foreign"),
    ]


def test_members_put_in_taken_out_and_doubled(folder: Path) -> None:
    tar = folder / "test-000000.tar"

    def change(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return [members[0], ("notes.txt", b"hello"), ("b.json", b"{}"), members[0], *members[2:]]

    rewrite_tar(tar, change)
    lines = [(member, what) for _, member, what in found(folder)]
    assert ("notes.txt", "foreign") in lines
    assert ("b.json", "foreign") in lines
    assert (f"{FIRST}.intrinsics.npy", "doubled") in lines
    assert (f"{FIRST}.json", "missing") in lines
    assert "damaged" not in {what for _, what in lines}  # all that is left is whole, if elsewhere
    assert sum(what == "displaced" for _, what in lines) == 1


def test_links_and_what_follows_the_end(folder: Path) -> None:
    tar = folder / "test-000000.tar"
    with tarfile.open(fileobj=(stream := io.BytesIO()), mode="w") as writer:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        writer.addfile(info)
    tar.write_bytes(stream.getvalue()[:512] + tar.read_bytes() + tar.read_bytes())
    lines = {(member, what) for _, member, what in found(folder)}
    assert ("link", "foreign") in lines
    assert {(f"{FIRST}.json", "doubled"), ("lamp-test-lamp_0901.view02.png", "doubled")} <= lines
    assert (None, "foreign") in lines


def test_two_shards_of_one_key(folder: Path) -> None:
    """Made by hand, with sums that fit: no writer of ours would."""
    for suffix in (".tar", ".idx"):
        shutil.copy(folder / f"train-000000{suffix}", folder / f"train-000002{suffix}")
    store = open_store(folder)
    record = read_record(store, "train-000000").model_copy(update={"name": "train-000002"})
    (folder / "train-000002.json").write_bytes(encode_record(record))
    entries = read_manifest(store).shards
    change_manifest(folder, shards=(*entries[:-1], record.entry()))
    findings = verify_set(folder).findings
    assert [(finding.file, finding.what) for finding in findings] == [("train-000002.tar", "doubled")] * 4
    assert "train-000000.tar has a sample of this key" in findings[0].detail


def test_files_of_another_shard(folder: Path) -> None:
    shutil.copy(folder / "train-000000.idx", folder / "train-000002.idx")
    shutil.copy(folder / "train-000000.json", folder / "train-000001.json")
    assert found(folder) == [
        ("train-000001.json", None, "contradiction"),
        ("train-000002.idx", None, "contradiction"),
    ]
    assert "is that of train-000000" in details(folder)


def test_a_record_that_says_otherwise(folder: Path) -> None:
    store = open_store(folder)
    record = read_record(store, "train-000000")
    changed = record.model_copy(update={"count": 3, "flags": {"open": 4}, "sources_hash": "0", "config_hash": "1"})
    (folder / "train-000000.json").write_bytes(encode_record(changed))
    assert set(found(folder)) == {("train-000000.json", None, "contradiction"), ("train-000000.json", None, "foreign")}
    lines = details(folder)
    for told in ("count 3, the manifest says 4", "says count 3, its samples say 4", "says flags", "sources_hash '0'"):
        assert told in lines


def test_a_manifest_that_says_otherwise(folder: Path) -> None:
    change_manifest(folder, classes={"chair": 0, "mug": 1})
    assert ("test-000000.tar", "lamp-test-lamp_0901.json", "contradiction") in found(folder)
    assert "category 'lamp', which the manifest does not know" in details(folder)
    change_manifest(folder, classes={"lamp": 0, "chair": 1})
    assert "not numbered in sorted order" in details(folder)
    change_manifest(folder, classes={"chair": 0, "lamp": 1, "mug": 2}, config={"rig": "b"})
    assert "does not fit its config_hash" in details(folder)


def test_a_manifest_that_is_damaged_missing_or_unfinished(folder: Path) -> None:
    path = folder / "manifest.json"
    data = path.read_bytes()
    flip(path, data.index(b'"rig"') + 1)
    assert found(folder) == [("manifest.json", None, "damaged")]
    path.unlink()
    assert found(folder) == [("manifest.json", None, "missing")]
    flip(folder / "train-000000.tar", 700)
    assert [file for file, _, _ in found(folder)] == ["manifest.json", "train-000000.tar"]
    path.write_bytes(data)
    change_manifest(folder, shards=())
    assert found(folder)[0] == ("manifest.json", None, "unfinished")
    change_manifest(folder, schema_version="2.0")
    with pytest.raises(ShardError, match=r"schema 2\.0, this version reads 1"):
        verify_set(folder)


def test_no_set_here(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no shards and no manifest"):
        verify_set(tmp_path)


def test_sets_before_indexes(tmp_path: Path) -> None:
    folder = build_older(tmp_path)
    verification = verify_set(folder)
    assert verification.findings == ()
    assert verification.notes == ("made before version 1.2: 4 shards have no index yet; tap shards repair adds them",)
    flip(folder / "train-000000.tar", 700)
    assert found(folder) == [("train-000000.tar", None, "damaged")]
    flip(folder / "train-000000.tar", 5)
    lines = [(member, what) for _, member, what in found(folder)]
    assert lines == [(None, "damaged")]
    assert "neither a member nor the end mark at byte 0" in details(folder)


def test_any_number_of_threads_tells_the_same(folder: Path) -> None:
    for name in ("test-000000", "train-000001", "train-000002"):
        flip(folder / f"{name}.tar", 600)
    lines = [verify_set(folder, number).findings for number in (1, 2, 7)]
    assert lines[0] == lines[1] == lines[2]
    assert len(lines[0]) == 3
    with pytest.raises(ShardError, match="0 threads"):
        verify_set(folder, 0)


def test_a_set_in_an_object_store(s3_url: str) -> None:
    location = f"{s3_url}/a/set"
    options = BuildOptions(samples_per_shard=4, num_workers=0)
    build_shards(make_sources(), make_sample, location, {"rig": "a"}, options)
    assert verify_set(location).findings == ()
    store = open_store(location)
    data = bytearray(store.read("train-000000.tar"))
    data[700] ^= 1
    store.put("train-000000.tar", bytes(data))
    store.put("train-000007.tar", b"x")
    store.remove("train-000001.idx")
    assert [(file, what) for file, _, what in found(location)] == [
        ("train-000007.tar", "foreign"),
        ("train-000000.tar", "damaged"),
        ("train-000001.idx", "missing"),
    ]


def test_a_name_in_a_foreign_tar_cannot_steer_the_terminal() -> None:
    assert Finding("a.tar", "\x1b[2Jx\n", "foreign", "no").line() == "a.tar: \\x1b[2Jx\\n: foreign: no"
