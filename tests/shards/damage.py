"""Flips single bits of stored sets, for the tests of what becomes of them; and a set to be damaged."""

from pathlib import Path

from shards.build import BuildOptions, build_shards
from shards.reader import ShardReader
from tests.shards.synthetic import SourceError, failing_sample, make_sources


def build_small(location: Path | str) -> Path:
    """Four shards of four sources at most, two of which have failed."""
    options = BuildOptions(samples_per_shard=4, num_workers=0)
    build_shards(make_sources(), failing_sample, location, {"rig": "a"}, options, failure_types=(SourceError,))
    return Path(location)


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flips one bit of the byte `at`."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def flip_bit(folder: Path, split: str, index: int, field: str = "points.npy") -> str:
    """Damages a member of a sample in place; returns the sample's key."""
    with ShardReader(folder, split) as reader:
        number = next(number for number, indices in enumerate(reader.ranges()) if index in indices)
        tar = folder / f"{reader.entries[number].name}.tar"
        content, key = reader.raw(index, field), reader.key(index)
    flip(tar, tar.read_bytes().index(content) + len(content) // 2)
    return key
