"""Shards: samples in plain tars that never lose one. Writing, resuming and reading; knows no mesh and no model.

Names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from shards.errors import ShardError

if TYPE_CHECKING:
    from shards.build import BuildOptions, BuildReport, build_shards
    from shards.codec import PackedSample, decode_member, pack_sample
    from shards.engine import ENGINES, Engine
    from shards.gallery import gallery_page
    from shards.key import sanitize_key, unique_keys
    from shards.options import EngineOptions
    from shards.order import epoch_order
    from shards.plan import ShardPlan, Source, plan_shards
    from shards.progress import OnProgress, Progress, ignore_progress
    from shards.quality import quality_page
    from shards.reader import ShardReader
    from shards.record import Failure, Manifest, ShardEntry, ShardRecord, config_hash, read_manifest, read_record
    from shards.schema import SCHEMA_VERSION, Normalization, Sample, SampleMeta
    from shards.sheet import contact_sheet
    from shards.store import Store, open_store
    from shards.writer import MakeSample, ShardJob, write_shard

_HOMES = {
    "BuildOptions": "build",
    "BuildReport": "build",
    "build_shards": "build",
    "decode_member": "codec",
    "PackedSample": "codec",
    "pack_sample": "codec",
    "ENGINES": "engine",
    "Engine": "engine",
    "EngineOptions": "options",
    "gallery_page": "gallery",
    "quality_page": "quality",
    "sanitize_key": "key",
    "unique_keys": "key",
    "epoch_order": "order",
    "ShardPlan": "plan",
    "Source": "plan",
    "plan_shards": "plan",
    "OnProgress": "progress",
    "Progress": "progress",
    "ignore_progress": "progress",
    "ShardReader": "reader",
    "Failure": "record",
    "Manifest": "record",
    "ShardEntry": "record",
    "ShardRecord": "record",
    "config_hash": "record",
    "read_manifest": "record",
    "read_record": "record",
    "SCHEMA_VERSION": "schema",
    "Normalization": "schema",
    "Sample": "schema",
    "SampleMeta": "schema",
    "contact_sheet": "sheet",
    "Store": "store",
    "open_store": "store",
    "MakeSample": "writer",
    "ShardJob": "writer",
    "write_shard": "writer",
}
"""Public name to the module that defines it."""

__all__ = [
    "ENGINES",
    "SCHEMA_VERSION",
    "BuildOptions",
    "BuildReport",
    "Engine",
    "EngineOptions",
    "Failure",
    "MakeSample",
    "Manifest",
    "Normalization",
    "OnProgress",
    "PackedSample",
    "Progress",
    "Sample",
    "SampleMeta",
    "ShardEntry",
    "ShardError",
    "ShardJob",
    "ShardPlan",
    "ShardReader",
    "ShardRecord",
    "Source",
    "Store",
    "build_shards",
    "config_hash",
    "contact_sheet",
    "decode_member",
    "epoch_order",
    "gallery_page",
    "ignore_progress",
    "open_store",
    "pack_sample",
    "plan_shards",
    "quality_page",
    "read_manifest",
    "read_record",
    "sanitize_key",
    "unique_keys",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
