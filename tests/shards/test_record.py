import json
from pathlib import Path

import pytest

from shards.codec import encode_json
from shards.errors import ShardError
from shards.record import (
    Failure,
    Manifest,
    ShardRecord,
    all_configs,
    config_hash,
    decode_manifest,
    decode_record,
    encode_manifest,
    encode_record,
    read_manifest,
    read_record,
    read_records,
    write_manifest,
)
from shards.stores.store import open_store

RECORD = ShardRecord(
    name="train-000000",
    split="train",
    count=2,
    bytes=10240,
    sha256="ab" * 32,
    config_hash="cd",
    sources_hash="ef",
    categories={"chair": 1, "mug": 1},
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
    store = open_store(tmp_path)
    store.put("train-000000.json", encode_record(RECORD))
    assert read_record(store, "train-000000") == RECORD
    assert read_records(store, ["train-000000"]) == [RECORD]
    with pytest.raises(ShardError, match=r"train-000001\.json: missing; run tap shards repair"):
        read_records(store, ["train-000000", "train-000001"])


def test_records_of_earlier_versions_have_no_categories(tmp_path: Path) -> None:
    old = {name: value for name, value in RECORD.model_dump().items() if name != "categories"}
    (tmp_path / "train-000000.json").write_text(json.dumps(old))
    assert read_record(open_store(tmp_path), "train-000000").categories is None


@pytest.mark.parametrize("num_shards", [0, 1, 3])
def test_manifest_has_one_line_a_shard(tmp_path: Path, num_shards: int) -> None:
    write_manifest(open_store(tmp_path), manifest(num_shards))
    text = (tmp_path / "manifest.json").read_text()
    assert sum('"name":"train-' in line for line in text.splitlines()) == num_shards
    assert [line.count('"sha256"') for line in text.splitlines() if '"sha256"' in line] == [1] * num_shards
    assert json.loads(text)["config"]["sizes"] == [1, 2]
    assert read_manifest(open_store(tmp_path)) == manifest(num_shards)


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
        read_record(open_store(tmp_path), "a")
    assert str(path) in str(caught.value)


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="No such file"):
        read_manifest(open_store(tmp_path))
    (tmp_path / "a.json").write_text(json.dumps({**RECORD.model_dump(), "when": "now"}))
    with pytest.raises(ShardError, match="when"):
        read_record(open_store(tmp_path), "a")


@pytest.mark.parametrize("at", range(0, len(encode_record(RECORD)), 7))
def test_any_flipped_bit_of_a_record_is_told(at: int) -> None:
    data = bytearray(encode_record(RECORD))
    data[at] ^= 1 << at % 8
    with pytest.raises(ShardError):
        decode_record(bytes(data), "record")


@pytest.mark.parametrize("at", range(0, len(encode_manifest(manifest(2))), 7))
def test_any_flipped_bit_of_a_manifest_is_told(at: int) -> None:
    data = bytearray(encode_manifest(manifest(2)))
    data[at] ^= 1 << at % 8
    with pytest.raises(ShardError):
        decode_manifest(bytes(data), "manifest")


def test_a_hash_is_no_path() -> None:
    """A cache names its copies by it."""
    content = RECORD.model_dump() | {"sha256": "../x"}
    with pytest.raises(ShardError, match="sha256"):
        decode_record(encode_json(content), "train-000000.json")


def test_configs_of_joined_sets() -> None:
    assert list(all_configs({"a": 1})) == [{"a": 1}]
    inner = {"merged": [{"a": 1}, {"a": 2}]}
    assert list(all_configs({"merged": [inner, {"a": 3}]}))[1:] == [inner, {"a": 1}, {"a": 2}, {"a": 3}]
    assert len(list(all_configs({"merged": 5}))) == len(list(all_configs({"merged": [1, []]}))) == 1
