"""Sets as version 1.1 wrote them: no indexes, no checksums, no counts of classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from tests.shards.synthetic import SourceError, failing_sample, make_sources


def build_older(folder: Path) -> Path:
    """A set of 11 samples in 4 shards as version 1.1 wrote it; returns the folder."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("shards.schema", "shards.build", "tests.shards.synthetic"):
            patch.setattr(f"{module}.SCHEMA_VERSION", "1.1")
        options = BuildOptions(samples_per_shard=4, num_workers=0)
        build_shards(make_sources(), failing_sample, folder, {"rig": "a"}, options, failure_types=(SourceError,))
    for path in folder.glob("*.idx"):
        path.unlink()
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({name: content[name] for name in content if name not in ("checksum", "categories")}))
    return folder
