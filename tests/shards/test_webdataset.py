"""The contract with other readers: plain webdataset sees what our reader sees."""

from pathlib import Path

import numpy as np
import webdataset

from shards.build import BuildOptions, build_shards
from shards.reader import ShardReader
from tests.shards.synthetic import make_sample, make_sources


def test_plain_webdataset_reads_equal_contents(tmp_path: Path) -> None:
    build_shards(make_sources(), make_sample, tmp_path, {}, BuildOptions(samples_per_shard=4))
    reader = ShardReader(tmp_path)
    paths = [str(tmp_path / f"{entry.name}.tar") for entry in reader.entries]
    dataset = webdataset.WebDataset(paths, shardshuffle=False).decode("pilrgba")
    samples = list(dataset)
    assert len(samples) == len(reader)
    for index, theirs in enumerate(samples):
        ours = reader.read(index)
        assert theirs["__key__"] == ours.key
        assert theirs["json"] == ours.meta
        for name, array in ours.arrays.items():
            np.testing.assert_array_equal(theirs[f"{name}.npy"], array)
        for name, image in ours.images.items():
            rgba = np.asarray(theirs[f"{name}.png"])
            np.testing.assert_array_equal(rgba[..., [0, 3]], image)
            np.testing.assert_array_equal(rgba[..., 1], rgba[..., 0])
