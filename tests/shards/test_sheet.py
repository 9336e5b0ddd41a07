from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.reader import ShardReader
from shards.sheet import contact_sheet
from tests.shards.synthetic import make_sample, make_sources


def test_sheet(tmp_path: Path) -> None:
    build_shards(make_sources(), make_sample, tmp_path / "set", {}, BuildOptions(samples_per_shard=4))
    reader = ShardReader(tmp_path / "set")
    path = contact_sheet(reader, tmp_path / "sheet.png", num_samples=6, views=(0, 2, 9), num_columns=2)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels[0].min() == 255  # white margin
    assert pixels.min() < 100
    first = path.read_bytes()
    assert contact_sheet(reader, path, num_samples=6, views=(0, 2, 9), num_columns=2).read_bytes() == first
    with pytest.raises(ShardError, match="no sample with one of the views 9"):
        contact_sheet(reader, path, views=(9,))


def test_classes_take_turns(tmp_path: Path) -> None:
    build_shards(make_sources(30, 0), make_sample, tmp_path, {})
    from shards.sheet import _spread

    reader = ShardReader(tmp_path)
    picks = _spread(reader, 5)
    assert [reader.meta(index)["category"] for index in picks] == ["chair", "chair", "lamp", "lamp", "mug"]
    assert len(set(_spread(reader, 100))) == 30
