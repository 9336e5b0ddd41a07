from pathlib import Path

import pytest

from shards.build import BuildOptions, build_shards
from shards.errors import ShardError
from shards.png import decode_png
from shards.raw import RawReader
from tests.shards.synthetic import make_sample, make_sources


def test_members_as_bytes(tmp_path: Path) -> None:
    build_shards(make_sources(5, 2), make_sample, tmp_path, {}, BuildOptions(samples_per_shard=3, num_workers=0))
    with RawReader(tmp_path) as reader:
        assert reader.ranges() == [range(2), range(2, 5), range(5, 7)]
        data = reader.raw(4, "view01.png")
        assert reader.fields(4)["view01.png"] == len(data)
        assert reader.images(4) == {"view": [0, 1, 2]}
        assert (decode_png(data) == reader.read(4, (), (1,)).images["view01"]).all()
        with pytest.raises(ShardError, match=r"has no depth00\.png; it has"):
            reader.raw(4, "depth00.png")
