"""Samples that an earlier tar holds intact, so that a shard is written again without making them again."""

from __future__ import annotations

from typing import Any

from shards.codec import PackedSample, check_size, decode_json
from shards.errors import ShardError
from shards.index import SampleIndex, check_payload, decode_index, member_name
from shards.plan import Source
from shards.record import INDEX, TAR
from shards.stores.store import RandomFile, Store


def origin(key: str, meta: dict[str, Any]) -> tuple[Any, ...]:
    """What tells whose sample it is, by its own account."""
    return key, meta.get("source"), meta.get("category"), meta.get("split")


def origin_of(source: Source) -> tuple[Any, ...]:
    """What a source's sample has to say of itself."""
    return source.key, source.relative, source.category, source.split


class Salvage:
    """The samples of an earlier tar whose every byte is as its index says.

    The tar stays open from the start, so that a new one may take its name meanwhile.

    Args:
        store: where the tar and its index lie.
        name: of the shard.
        wanted: look for them at all; without it, there are none.
    """

    def __init__(self, store: Store, name: str, wanted: bool = True) -> None:
        self._samples: dict[str, SampleIndex] = {}
        self._tar: RandomFile | None = None
        if wanted and store.size(name + TAR) is not None and store.size(name + INDEX) is not None:
            try:
                index = decode_index(store.read(name + INDEX), store.path(name + INDEX))
            except ShardError:
                return  # without an index nothing can be proved intact, so all is made anew
            self._tar = store.open(name + TAR)
            self._samples = {sample.key: sample for sample in index}

    def __enter__(self) -> Salvage:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tar is not None:
            self._tar.close()

    def sample(self, source: Source) -> PackedSample | None:
        """The sample of a source; None where there is none, or any byte of it is not as it was written."""
        sample = self._samples.get(source.key)
        if sample is None or self._tar is None:
            return None
        members: list[tuple[str, bytes]] = []
        for field, span in sample.members.items():
            name = member_name(sample.key, field)
            try:
                check_size(name, span.num_bytes)
                data = self._tar.pread(span.offset, span.num_bytes)
                check_payload(name, span, data)
            except ShardError:  # changed, a bad sector, or an index that somebody forged
                return None
            members.append((name, data))
        meta = decode_json(dict(members).get(f"{sample.key}.json", b"{}"))
        if origin(sample.key, meta) != origin_of(source):
            return None
        return PackedSample(sample.key, meta, tuple(members))
