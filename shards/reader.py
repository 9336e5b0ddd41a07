"""Random access to the samples of a set, decoding only what is asked for.

Open tars and their indexes are not shared: a worker process that is sent a reader, or forked with one, opens its own. One
reader is not meant for several threads.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from shards.codec import decode_member
from shards.errors import ShardError
from shards.index import SampleIndex, member_name
from shards.open_tar import OpenTar, size_line
from shards.order import epoch_order
from shards.record import INDEX, MANIFEST_NAME, TAR, Manifest, ShardEntry, read_manifest
from shards.schema import SCHEMA_VERSION, Sample, image_name, image_numbers, version_of
from shards.stores.cache import ShardCache
from shards.stores.store import Location, Store, is_url, open_store
from shards.tar import REPAIR

MAX_OPEN_TARS = 64
"""Tars that a reader keeps open; a group of `epoch_order` fits in with room to spare."""

FIRST_WITH_INDEX = (1, 2)
"""Schema version from which on each shard has its index."""

logger = logging.getLogger(__name__)

DEFAULT_ARRAYS = ("points", "world_to_camera", "intrinsics")


class ShardReader:
    """The samples of one split, or of all, by global index: shards in the order of the manifest, samples as in the tar.

    Attributes:
        store: where the set lies.
        split: the split that was asked for; None for all.
        entries: manifest lines of the shards in use.
        classes: class names in the order of their label indices.
        config: the config that the set was made with.
    """

    def __init__(self, location: Location, split: str | None = None, cache: ShardCache | None = None) -> None:
        """Reads the manifest and looks at each tar's size.

        Args:
            location: path or URL of the folder that holds manifest.json and the tars.
            split: only this split's shards; None for all.
            cache: keeps copies of a remote set's tars on this machine; a set in a local folder is read where it lies.

        Raises:
            ShardError: no manifest, an unfinished or foreign one, an unknown split, an index that is missing, or a tar
                that is missing or does not have the recorded size.
        """
        self.store = open_store(location)
        self.split = split
        manifest = _trusted_manifest(self.store)
        self.entries = _entries_of(manifest, split, self.store.location)
        self.classes: tuple[str, ...] = tuple(sorted(manifest.classes, key=lambda name: manifest.classes[name]))
        self.config = manifest.config
        self._starts = [0, *accumulate(entry.count for entry in self.entries)]
        self._open: OrderedDict[int, OpenTar] = OrderedDict()
        self._process_id = os.getpid()
        self._cache = cache if is_url(location) else None
        self._has_index = _check_files(self.store, self.entries, manifest)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def close(self) -> None:
        """Closes the open tars; the reader can still be used and opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def key(self, index: int) -> str:
        """The sample's key."""
        return self._locate(index)[1].key

    def meta(self, index: int) -> dict[str, Any]:
        """The sample's JSON."""
        return cast(dict[str, Any], _decoded(*self._locate(index), ["json"])["json"])

    def num_views(self, index: int) -> int:
        """How many view images the sample has; nothing is decoded."""
        return len(image_numbers(tuple(self._locate(index)[1].members)).get("view", ()))

    def fields(self, index: int) -> dict[str, int]:
        """The sample's members: field (`json`, `points.npy`, `view00.png`) to size in bytes; nothing is read."""
        return {name: span.num_bytes for name, span in self._locate(index)[1].members.items()}

    def images(self, index: int) -> dict[str, list[int]]:
        """Numbers of the sample's images, ascending, by kind (`view`, `depth`, `normal`, ...); nothing is read."""
        numbers = image_numbers(tuple(self._locate(index)[1].members))
        return {kind: list(found) for kind, found in numbers.items()}

    def raw(self, index: int, field: str) -> bytes:
        """The bytes of one member, as they stand in the tar.

        Raises:
            ShardError: the sample has no such member, or it is cut short.
            IndexError: `index` is out of range.
        """
        tar, sample = self._locate(index)
        return tar.fetch(sample, [field])[field]

    def ranges(self) -> list[range]:
        """Global indices of each shard, in the order of `entries`."""
        return [range(*pair) for pair in zip(self._starts, self._starts[1:], strict=False)]

    def read(
        self,
        index: int,
        arrays: Sequence[str] = DEFAULT_ARRAYS,
        views: Sequence[int] | None = None,
        kinds: Sequence[str] = ("view",),
    ) -> Sample:
        """One sample with the named arrays and the chosen views; other members are neither read nor decoded.

        Args:
            index: global index, 0 to len - 1.
            arrays: names of arrays; cameras come whole, (V, 4, 4) and (V, 3, 3), whatever `views` picks.
            views: numbers of the views; None for all, () for none.
            kinds: which images those numbers pick: view, depth, normal.

        Returns:
            Sample with the whole JSON and only those arrays and images.

        Raises:
            ShardError: the sample lacks one of them, or a member is damaged; tar and member are named.
            IndexError: `index` is out of range.
        """
        tar, sample = self._locate(index)
        names: list[str] = []
        for kind in kinds:
            numbers = image_numbers(tuple(sample.members)).get(kind, ()) if views is None else views
            names += [image_name(kind, number) for number in numbers]
        content = _decoded(
            tar, sample, ["json", *(f"{name}.npy" for name in arrays), *(f"{name}.png" for name in names)]
        )
        return Sample(
            key=sample.key,
            meta=cast(dict[str, Any], content["json"]),
            arrays={name: content[f"{name}.npy"] for name in arrays},
            images={name: content[f"{name}.png"] for name in names},
        )

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Has the cache fetch shards in the background, by their places in `entries`; returns at once.

        Without a cache, and for a local set, there is nothing to fetch. Until its copy has come, a shard is read where it
        lies, one request a sample.
        """
        if self._cache is not None:
            self._cache.request(self.store, [self.entries[number] for number in numbers], self._has_index)

    def order(self, seed: int, epoch: int, shards_in_group: int = 16) -> NDArray[np.int64]:
        """Global indices in the order of one epoch, see `epoch_order`: (len,) int64."""
        return epoch_order([entry.count for entry in self.entries], seed, epoch, shards_in_group)

    def _locate(self, index: int) -> tuple[OpenTar, SampleIndex]:
        """The open tar that holds a global index, and the sample's place in it."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} in {self.store.location}")
        if self._process_id != os.getpid():  # forked: what the parent has open stays its own
            self._open, self._process_id = OrderedDict(), os.getpid()
        number = bisect_right(self._starts, index) - 1
        tar = self._open.get(number)
        if tar is None:
            tar = OpenTar(self.store, self.entries[number], self._has_index, self._cache)
            self._open[number] = tar
            if len(self._open) > MAX_OPEN_TARS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return tar, tar.samples[index - self._starts[number]]


def _decoded(tar: OpenTar, sample: SampleIndex, fields: Sequence[str]) -> dict[str, Any]:
    """Content of some members: field to what it holds."""
    content: dict[str, Any] = {}
    for field, data in tar.fetch(sample, fields).items():
        try:
            content[field] = decode_member(member_name(sample.key, field), data)
        except ShardError as error:
            raise ShardError(f"{tar.path}: {error}") from error
    return content


def _trusted_manifest(store: Store) -> Manifest:
    """The manifest, if it is there, finished, and of a schema that this reader knows."""
    if store.size(MANIFEST_NAME) is None:
        raise ShardError(f"{store.location}: no {MANIFEST_NAME} here; expected what `tap render --out` writes")
    manifest = read_manifest(store)
    if manifest.schema_version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise ShardError(
            f"{store.location}: samples of schema {manifest.schema_version}, this version reads {SCHEMA_VERSION}"
        )
    if not manifest.shards:
        raise ShardError(f"{store.location}: the run that writes this set has not finished; finish it with --resume")
    return manifest


def _entries_of(manifest: Manifest, split: str | None, location: str) -> tuple[ShardEntry, ...]:
    """The manifest's lines of one split, or all."""
    known = sorted({entry.split for entry in manifest.shards})
    if split is not None and split not in known:
        raise ShardError(f"{location}: no split {split!r}; it has {', '.join(known)}")
    return tuple(entry for entry in manifest.shards if split in (None, entry.split))


def _check_files(store: Store, entries: Sequence[ShardEntry], manifest: Manifest) -> bool:
    """Looks at the sizes of all tars, and whether indexes are there; tells whether they are.

    A tar of another size was cut, exchanged or is still being copied.
    """
    sizes = store.sizes()
    for entry in entries:
        size = sizes.get(entry.name + TAR)
        if size != entry.bytes:
            raise ShardError(size_line(store.path(entry.name + TAR), size, entry))
    missing = [entry.name for entry in entries if entry.name + INDEX not in sizes]
    if not missing:
        return True
    if version_of(manifest.schema_version) >= FIRST_WITH_INDEX:
        raise ShardError(f"{store.path(missing[0] + INDEX)}: missing; {REPAIR}")
    logger.warning(
        "%s: made before version 1.2, without indexes: a flipped bit may go unnoticed; tap shards repair adds them",
        store.location,
    )
    return False
