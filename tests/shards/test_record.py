import json
from pathlib import Path

import pytest

from shards.errors import ShardError
from shards.record import (
    Failure,
    Manifest,
    ShardRecord,
    config_hash,
    read_manifest,
    read_record,
    write_manifest,
    write_record,
)

RECORD = ShardRecord(
    name="train-000000",
    split="train",
    count=2,
    bytes=10240,
    sha256="ab",
    config_hash="cd",
    sources_hash="ef",
    failures=(Failure(source="a/é.off", reason="no faces"),),
    flags={"open": 1},
)


def manifest(num_shards: int) -> Manifest:
    entries = [RECORD.model_copy(update={"name": f"train-{number:06d}"}).entry() for number in range(num_shards)]
    return Manifest(
        schema_version="1.0",
        config={"rig": {"name": "mvcnn12"}, "sizes": [1, 2]},
        config_hash="cd",
        classes={"chair": 0, "mug": 1},
        shards=tuple(entries),
    )


def test_record_round_trip(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["train-000000.json"]
    assert read_record(tmp_path / "train-000000.json") == RECORD


@pytest.mark.parametrize("num_shards", [0, 1, 3])
def test_manifest_has_one_line_a_shard(tmp_path: Path, num_shards: int) -> None:
    write_manifest(tmp_path, manifest(num_shards))
    text = (tmp_path / "manifest.json").read_text()
    assert sum('"name":"train-' in line for line in text.splitlines()) == num_shards
    assert [line.count('"sha256"') for line in text.splitlines() if '"sha256"' in line] == [1] * num_shards
    assert json.loads(text)["config"]["sizes"] == [1, 2]
    assert read_manifest(tmp_path) == manifest(num_shards)


def test_config_hash() -> None:
    assert config_hash({"a": 1, "b": [2]}) == config_hash({"b": [2], "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})
    assert len(config_hash({})) == 16
    with pytest.raises(ShardError):
        config_hash({"a": object()})


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("{}", "not a ShardRecord"), ("[]", "expected an object")],
)
def test_damaged_record(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ShardError, match=message) as caught:
        read_record(path)
    assert str(path) in str(caught.value)


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="No such file"):
        read_manifest(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({**RECORD.model_dump(), "when": "now"}))
    with pytest.raises(ShardError, match="when"):
        read_record(tmp_path / "a.json")
