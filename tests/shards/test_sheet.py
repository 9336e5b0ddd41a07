from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.pages.choice import spread
from shards.pages.sheet import contact_sheet
from shards.reader import ShardReader
from tests.shards.showcase import build_showcase
from tests.shards.synthetic import make_sample, make_sources


def test_sheet(tmp_path: Path) -> None:
    build_shards(make_sources(), make_sample, tmp_path / "set", {}, BuildOptions(samples_per_shard=4, num_workers=0))
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


def test_without_named_views(tmp_path: Path) -> None:
    """Samples of 2 to 4 views, and clouds with none, whose points are drawn."""
    reader = ShardReader(build_showcase(tmp_path / "set"))
    with Image.open(contact_sheet(reader, tmp_path / "sheet.png", num_samples=4, num_columns=4)) as picture:
        pixels = np.asarray(picture.convert("L"))
    strips = np.split(pixels[58:170, 28 : 28 + 4 * 468], 4, axis=1)  # 4 views of 112 px and a gutter of 20
    filled = [
        [bool((strip[2:-2, start + 4 : start + 100] < 230).any()) for start in range(0, 448, 112)] for strip in strips
    ]
    views = [reader.num_views(index) for index in spread(reader, 4)]
    assert views[2] == 0
    assert filled == [[place < (number or 4) for place in range(4)] for number in views]
