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
    from shards.engines.engine import ENGINES, Engine
    from shards.engines.options import EngineOptions
    from shards.exchange.export import ExportOptions, export_set
    from shards.exchange.importing import find_loose, import_set
    from shards.exchange.merge import merge_sets
    from shards.exchange.split import SplitRule, split_set
    from shards.key import sanitize_key, unique_keys
    from shards.order import epoch_order
    from shards.pages.gallery import gallery_page
    from shards.pages.quality import quality_page
    from shards.pages.sheet import contact_sheet
    from shards.plan import ShardPlan, Source, plan_shards
    from shards.progress import OnProgress, Progress, ignore_progress
    from shards.reader import ShardReader
    from shards.record import Failure, Manifest, ShardEntry, ShardRecord, config_hash, read_manifest, read_record
    from shards.schema import SCHEMA_VERSION, Normalization, Sample, SampleMeta
    from shards.stores.cache import ShardCache
    from shards.stores.store import Store, open_store
    from shards.stream import Address, BatchPlan, Reading, read_batch
    from shards.upkeep.finding import Finding
    from shards.upkeep.info import SetInfo, set_info
    from shards.upkeep.remake import Remake
    from shards.upkeep.repair import RepairReport, repair_set
    from shards.upkeep.verify import Verification, verify_set
    from shards.writer import MakeSample, ShardJob, write_shard

_HOMES = {
    "BuildOptions": "build",
    "BuildReport": "build",
    "build_shards": "build",
    "PackedSample": "codec",
    "decode_member": "codec",
    "pack_sample": "codec",
    "ENGINES": "engines.engine",
    "Engine": "engines.engine",
    "EngineOptions": "engines.options",
    "ExportOptions": "exchange.export",
    "export_set": "exchange.export",
    "find_loose": "exchange.importing",
    "import_set": "exchange.importing",
    "merge_sets": "exchange.merge",
    "SplitRule": "exchange.split",
    "split_set": "exchange.split",
    "sanitize_key": "key",
    "unique_keys": "key",
    "epoch_order": "order",
    "gallery_page": "pages.gallery",
    "quality_page": "pages.quality",
    "contact_sheet": "pages.sheet",
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
    "ShardCache": "stores.cache",
    "Store": "stores.store",
    "open_store": "stores.store",
    "Address": "stream",
    "BatchPlan": "stream",
    "Reading": "stream",
    "read_batch": "stream",
    "Finding": "upkeep.finding",
    "SetInfo": "upkeep.info",
    "set_info": "upkeep.info",
    "Remake": "upkeep.remake",
    "RepairReport": "upkeep.repair",
    "repair_set": "upkeep.repair",
    "Verification": "upkeep.verify",
    "verify_set": "upkeep.verify",
    "MakeSample": "writer",
    "ShardJob": "writer",
    "write_shard": "writer",
}
"""Public name to the module that defines it."""

__all__ = [
    "ENGINES",
    "SCHEMA_VERSION",
    "Address",
    "BatchPlan",
    "BuildOptions",
    "BuildReport",
    "Engine",
    "EngineOptions",
    "ExportOptions",
    "Failure",
    "Finding",
    "MakeSample",
    "Manifest",
    "Normalization",
    "OnProgress",
    "PackedSample",
    "Progress",
    "Reading",
    "Remake",
    "RepairReport",
    "Sample",
    "SampleMeta",
    "SetInfo",
    "ShardCache",
    "ShardEntry",
    "ShardError",
    "ShardJob",
    "ShardPlan",
    "ShardReader",
    "ShardRecord",
    "Source",
    "SplitRule",
    "Store",
    "Verification",
    "build_shards",
    "config_hash",
    "contact_sheet",
    "decode_member",
    "epoch_order",
    "export_set",
    "find_loose",
    "gallery_page",
    "ignore_progress",
    "import_set",
    "merge_sets",
    "open_store",
    "pack_sample",
    "plan_shards",
    "quality_page",
    "read_batch",
    "read_manifest",
    "read_record",
    "repair_set",
    "sanitize_key",
    "set_info",
    "split_set",
    "unique_keys",
    "verify_set",
    "write_shard",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
