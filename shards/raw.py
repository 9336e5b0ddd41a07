"""A reader that also hands out members as the bytes they are, for pages that embed pictures without decoding them."""

from __future__ import annotations

import os

from shards.errors import ShardError
from shards.reader import ShardReader
from shards.schema import split_image_name
from shards.tar import REWRITE


class RawReader(ShardReader):
    """ShardReader with the names and the undecoded bytes of a sample's members."""

    def __enter__(self) -> RawReader:
        return self

    def fields(self, index: int) -> dict[str, int]:
        """The sample's members: field (`json`, `points.npy`, `view00.png`) to size in bytes; nothing is read."""
        return {name: span.num_bytes for name, span in self._locate(index)[1].members.items()}

    def images(self, index: int) -> dict[str, list[int]]:
        """Numbers of the sample's images, ascending, by kind (`view`, `depth`, `normal`, ...)."""
        numbers: dict[str, list[int]] = {}
        for name in self.fields(index):
            found = split_image_name(name.removesuffix(".png")) if name.endswith(".png") else None
            if found:
                numbers.setdefault(found[0], []).append(found[1])
        return {kind: sorted(found) for kind, found in sorted(numbers.items())}

    def raw(self, index: int, field: str) -> bytes:
        """The bytes of one member, as they stand in the tar.

        Raises:
            ShardError: the sample has no such member, or it is cut short.
            IndexError: `index` is out of range.
        """
        tar, sample = self._locate(index)
        span = sample.members.get(field)
        if span is None:
            raise ShardError(f"{tar.path}: sample {sample.key} has no {field}; it has {', '.join(sample.members)}")
        data = os.pread(tar.descriptor, span.num_bytes, span.offset)
        if len(data) != span.num_bytes:
            raise ShardError(f"{tar.path}: {sample.key}.{field} is cut short; {REWRITE}")
        return data

    def ranges(self) -> list[range]:
        """Global indices of each shard, in the order of `entries`."""
        return [range(*pair) for pair in zip(self._starts, self._starts[1:], strict=False)]
