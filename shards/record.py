"""What is known about shards without opening them: the record beside each tar, and the manifest of a set.

Both hold only what follows from inputs and config, so that two runs of one job write equal bytes: no time, no machine.
Both end in a checksum over their other fields (from version 1.2 on), so that no digit and no reason is taken on trust.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shards.codec import decode_json, encode_json
from shards.errors import ShardError
from shards.stores.store import Store

MANIFEST_NAME = "manifest.json"
RECORD, TAR, INDEX = ".json", ".tar", ".idx"
"""What is added to a shard's name for its three files."""

CHECKSUM = "checksum"
"""Field of both files: the first 16 hex digits of the SHA-256 of the canonical JSON of all other fields."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class Failure(BaseModel):
    """A source that gave no sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="posix path relative to SRC")
    reason: str = Field(description="one line")


class ShardEntry(BaseModel):
    """A shard's line in the manifest: what a reader needs to trust the tar."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="name of the tar without .tar")
    split: str = Field(description="the split that all its samples belong to")
    count: int = Field(ge=0, description="samples in the tar")
    num_failures: int = Field(ge=0, description="sources that gave none; the record says which and why")
    bytes: int = Field(ge=0, description="size of the tar")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the tar, hex")


class ShardRecord(BaseModel):
    """`NAME.json` beside `NAME.tar`: written after the tar, so that its presence means that the shard is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="name of the tar without .tar")
    split: str = Field(description="the split that all its samples belong to")
    count: int = Field(ge=0, description="samples in the tar")
    bytes: int = Field(ge=0, description="size of the tar")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the tar, hex")
    config_hash: str = Field(description="hash of the config that made it")
    sources_hash: str = Field(description="hash of the planned sources: paths, keys and categories in order")
    categories: dict[str, int] | None = Field(
        None, description="class name to the number of its samples, sorted; null in sets made before 1.2"
    )
    failures: tuple[Failure, ...] = Field(description="sources that gave no sample, in order")
    flags: dict[str, int] = Field(description="quality flag to the number of samples that carry it")

    def entry(self) -> ShardEntry:
        """The record's short form for the manifest."""
        return ShardEntry(
            name=self.name,
            split=self.split,
            count=self.count,
            num_failures=len(self.failures),
            bytes=self.bytes,
            sha256=self.sha256,
        )


class Manifest(BaseModel):
    """`manifest.json`: config, classes, one line a shard. Without shards it belongs to a run that has not finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: str = Field(description="version of the sample contract")
    config: dict[str, Any] = Field(description="the resolved config of the run")
    config_hash: str = Field(description="config_hash(config)")
    classes: dict[str, int] = Field(description="category name to label index, in sorted order of the names")
    shards: tuple[ShardEntry, ...] = Field(description="all shards, sorted by name; empty until all are done")


def config_hash(config: dict[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the config's canonical JSON.

    Raises:
        ShardError: the config holds what JSON cannot.
    """
    return hashlib.sha256(encode_json(config)).hexdigest()[:16]


def all_configs(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A set's config, and where sets were joined, after it those of the parts, to any depth."""
    yield config
    merged = config.get("merged")
    for part in merged if isinstance(merged, list) else ():
        if isinstance(part, dict):
            yield from all_configs(part)


def encode_record(record: ShardRecord) -> bytes:
    """The bytes of `NAME.json`, its checksum among them."""
    content = record.model_dump()
    text = json.dumps(content | {CHECKSUM: config_hash(content)}, sort_keys=True, ensure_ascii=False, indent=1)
    return text.encode() + b"\n"


def decode_record(data: bytes, path: str) -> ShardRecord:
    """The record in these bytes; `path` is what messages call it.

    Raises:
        ShardError: it is damaged, or of another form.
    """
    return _decoded(data, path, ShardRecord)


def read_record(store: Store, name: str) -> ShardRecord:
    """The record of a shard.

    Raises:
        ShardError: it is missing, damaged, of another form or of another shard.
    """
    file = name + RECORD
    return decode_record(store.read(file), store.path(file))


def read_records(store: Store, names: Sequence[str]) -> list[ShardRecord]:
    """The records of several shards, in this order.

    Raises:
        ShardError: one is missing, damaged, or of another form.
    """
    files = [name + RECORD for name in names]
    found = store.read_many(files)
    for file in files:
        if file not in found:
            raise ShardError(f"{store.path(file)}: missing; run tap shards repair")
    return [decode_record(found[file], store.path(file)) for file in files]


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`, its checksum among them: readable JSON with exactly one line a shard.

    Raises:
        ShardError: the config holds what JSON cannot.
    """
    content = manifest.model_dump()
    head = {name: value for name, value in content.items() if name != "shards"} | {CHECKSUM: config_hash(content)}
    lines = [_one_line(entry.model_dump()) for entry in manifest.shards]
    shards = "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"
    fields = [f' "{name}": {_indented(value)}' for name, value in head.items()] + [f' "shards": {shards}']
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def decode_manifest(data: bytes, path: str) -> Manifest:
    """The manifest in these bytes; `path` is what messages call it.

    Raises:
        ShardError: it is damaged, or of another form.
    """
    return _decoded(data, path, Manifest)


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Writes `manifest.json`, durably.

    Raises:
        ShardError: the folder cannot be written, or the config holds what JSON cannot.
    """
    store.put(MANIFEST_NAME, encode_manifest(manifest))


def read_manifest(store: Store) -> Manifest:
    """The manifest of a set.

    Raises:
        ShardError: it is missing, damaged, or of another form.
    """
    return decode_manifest(store.read(MANIFEST_NAME), store.path(MANIFEST_NAME))


def _one_line(value: Any) -> str:
    return encode_json(value).decode().rstrip("\n")


def _indented(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    return text.replace("\n", "\n ")


def _decoded(data: bytes, path: str, model: type[ModelT]) -> ModelT:
    """A model from JSON, with every way this can go wrong as one line."""
    try:
        content = decode_json(data)
        checksum = content.pop(CHECKSUM, None)  # sets made before 1.2 have none
        if checksum not in (None, config_hash(content)):
            raise ShardError("damaged, its checksum does not fit; run tap shards repair")
        return model.model_validate(content)
    except ShardError as error:
        raise ShardError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ShardError(f"{path}: not a {model.__name__}: {where}: {first['msg']}") from error
