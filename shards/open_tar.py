"""A tar that is read sample by sample: by as few reads as its store likes, each member compared with its CRC-32."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

from shards.codec import check_size
from shards.errors import ShardError
from shards.index import SampleIndex, Span, check_payload, decode_index, member_name
from shards.record import INDEX, TAR, ShardEntry
from shards.stores.cache import ShardCache
from shards.stores.store import RandomFile, Store
from shards.tar import REPAIR, read_index

logger = logging.getLogger(__name__)


class OpenTar:
    """An open tar, and where its samples lie, checked against the manifest.

    With a cache, the tar is read where it lies until the cache has a copy, and from that copy from then on. A copy that
    turns out damaged is thrown away, and the store is asked again.

    Args:
        store: where the set lies.
        entry: the tar's line in the manifest.
        has_index: read NAME.idx; without it, the headers of the tar.
        cache: keeps copies on this machine; None for none.

    Attributes:
        path: what messages call it.
        samples: in the order of the tar.

    Raises:
        ShardError: the tar is missing or has another size, or its index is damaged or does not fit.
    """

    def __init__(self, store: Store, entry: ShardEntry, has_index: bool, cache: ShardCache | None = None) -> None:
        self.path = store.path(entry.name + TAR)
        self.samples: list[SampleIndex]
        self._store, self._entry, self._has_index, self._cache = store, entry, has_index, cache
        self._file: RandomFile
        self._is_copy = False
        if not self._opened_copy():
            self._open_original()

    def fetch(self, sample: SampleIndex, fields: Iterable[str]) -> dict[str, bytes]:
        """The bytes of some members of a sample: field to payload, as they were written.

        Raises:
            ShardError: the sample has no such member, or one is cut short, too large or not as it was written.
        """
        if self._cache is not None and not self._is_copy and self._cache.has(self._entry):
            self._change_to_copy()
        spans = {field: self._span(sample, field) for field in fields}
        try:
            return dict(self._members(sample.key, spans))
        except ShardError as error:
            if not self._is_copy:
                raise
            self._discard_copy(error)
            copy = self._file
            self._open_original()  # where this fails, the next read comes here again
            copy.close()
            return dict(self._members(sample.key, spans))

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _open(self, store: Store, name: str) -> None:
        """Opens tar and index there, and compares them with the manifest."""
        entry = self._entry
        size = store.size(name + TAR)
        if size != entry.bytes:
            raise ShardError(size_line(self.path, size, entry))
        file = store.open(name + TAR)
        try:
            if self._has_index:
                samples = decode_index(store.read(name + INDEX), store.path(name + INDEX))
            else:
                samples = read_index(file, self.path)
            if len(samples) != entry.count:
                raise ShardError(
                    f"{self.path}: manifest says {entry.count} samples, tar holds {len(samples)}; {REPAIR}"
                )
        except BaseException:
            file.close()
            raise
        self._file, self.samples = file, samples

    def _open_original(self) -> None:
        """Opens the tar where it lies, and has the cache fetch it."""
        self._open(self._store, self._entry.name)
        self._is_copy = False
        if self._cache is not None:
            self._cache.request(self._store, [self._entry], self._has_index)

    def _opened_copy(self) -> bool:
        """Opens the cache's copy, if there is one that is good."""
        if self._cache is None or not self._cache.has(self._entry):
            return False
        try:
            self._cache.touch(self._entry)
            self._open(self._cache.store, self._entry.sha256)
        except ShardError as error:
            if self._cache.has(self._entry):  # else it was evicted a moment ago
                self._discard_copy(error)
            return False
        self._is_copy = True
        return True

    def _change_to_copy(self) -> None:
        """Reads on from the copy that has come meanwhile."""
        earlier = self._file
        if self._opened_copy():
            earlier.close()

    def _discard_copy(self, error: ShardError) -> None:
        logger.warning("%s: the copy in the cache is removed, it is damaged: %s", self.path, error)
        if self._cache is not None:
            self._cache.discard(self._entry)

    def _span(self, sample: SampleIndex, field: str) -> Span:
        span = sample.members.get(field)
        if span is None:
            raise ShardError(f"{self.path}: sample {sample.key} has no {field}; it has {', '.join(sample.members)}")
        check_size(member_name(sample.key, field), span.num_bytes)
        return span

    def _members(self, key: str, spans: Mapping[str, Span]) -> Iterator[tuple[str, bytes]]:
        """The payloads; where a read costs a wait, one read covers all members that are not far apart."""
        gap = self._file.gap_bytes
        if gap == 0:
            for field, span in spans.items():
                data = self._file.pread(span.offset, span.num_bytes)
                yield field, self._checked(member_name(key, field), span, data)
            return
        for run in _runs(spans, gap):
            begin, last = run[0][1].offset, run[-1][1]
            data = self._file.pread(begin, last.offset + last.num_bytes - begin)
            for field, span in run:
                piece = data[span.offset - begin : span.offset - begin + span.num_bytes]
                yield field, self._checked(member_name(key, field), span, piece)

    def _checked(self, name: str, span: Span, data: bytes) -> bytes:
        try:
            check_payload(name, span, data)
        except ShardError as error:
            raise ShardError(f"{self.path}: {error}; {REPAIR}") from error
        return data


def size_line(path: str, size: int | None, entry: ShardEntry) -> str:
    """One line for a tar that does not have the size that the manifest says; None where it is missing."""
    if size is None:
        return f"{path}: named in the manifest, but missing; {REPAIR}"
    return f"{path}: manifest says {entry.bytes} bytes, tar has {size}; {REPAIR}"


def _runs(spans: Mapping[str, Span], gap: int) -> list[list[tuple[str, Span]]]:
    """Members in the order of the tar, in runs whose neighbours have at most `gap` bytes between them."""
    runs: list[list[tuple[str, Span]]] = []
    for field, span in sorted(spans.items(), key=lambda item: item[1].offset):
        if runs and span.offset - (runs[-1][-1][1].offset + runs[-1][-1][1].num_bytes) <= gap:
            runs[-1].append((field, span))
        else:
            runs.append([(field, span)])
    return runs
