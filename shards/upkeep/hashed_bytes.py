"""The bytes of a file in order and once, in large pieces, with their SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from shards.stores.store import RandomFile

PIECE_BYTES = 1 << 23
"""A file is read in pieces of this size, each of which is one request where it is remote."""


class HashedBytes:
    """The bytes of a file, in order and once, hashed on the way."""

    def __init__(self, file: RandomFile) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._piece = memoryview(b"")
        self._fetched = 0

    @property
    def position(self) -> int:
        """Of the next byte."""
        return self._fetched - len(self._piece)

    @property
    def sha256(self) -> str:
        """Of all that was fetched, hex."""
        return self._digest.hexdigest()

    def pieces(self, num_bytes: int) -> Iterator[memoryview]:
        """The next bytes; fewer only at the end."""
        while num_bytes > 0:
            if not self._piece:
                data = self._file.pread(self._fetched, PIECE_BYTES)
                if not data:
                    return
                self._digest.update(data)
                self._fetched += len(data)
                self._piece = memoryview(data)
            piece, self._piece = self._piece[:num_bytes], self._piece[num_bytes:]
            num_bytes -= len(piece)
            yield piece

    def take(self, num_bytes: int) -> bytes:
        """The next bytes as one; fewer only at the end."""
        return b"".join(self.pieces(num_bytes))

    def skip(self, num_bytes: int) -> None:
        """Steps over the next bytes."""
        for _ in self.pieces(num_bytes):
            pass

    def drain(self) -> None:
        """Steps over all that is left."""
        self.skip(self._file.size - self.position)
