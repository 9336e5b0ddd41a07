"""Flips one bit of a stored sample, for the tests of what becomes of it."""

from pathlib import Path

from shards.reader import ShardReader


def flip_bit(folder: Path, split: str, index: int, field: str = "points.npy") -> str:
    """Damages a member of a sample in place; returns the sample's key."""
    with ShardReader(folder, split) as reader:
        number = next(number for number, indices in enumerate(reader.ranges()) if index in indices)
        tar = folder / f"{reader.entries[number].name}.tar"
        content, data, key = reader.raw(index, field), bytearray(tar.read_bytes()), reader.key(index)
    data[data.index(content) + len(content) // 2] ^= 1
    tar.write_bytes(data)
    return key
