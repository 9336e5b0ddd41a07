"""Plain USTAR tars of samples: deterministic writing, and the index of a tar without reading its payloads.

The reading side is strict on purpose. General tar readers treat a cut at a header, or a header hit by a flipped bit, as
the end of the archive; here it is an error, and so is every member that is not a plain file.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from typing import Protocol

from shards.codec import PackedSample
from shards.errors import ShardError
from shards.index import IndexBuilder, SampleIndex, Span
from shards.stores.store import RandomFile

BLOCK_BYTES = 512
RECORD_BYTES = 20 * BLOCK_BYTES
"""Tars are padded with zeros to a multiple of this, as `tar` does by default."""

REPAIR = "run tap shards repair"
"""What to do about a damaged tar."""

END = bytes(2 * BLOCK_BYTES)


class ByteSink(Protocol):
    """What a tar is written to: an open binary file, or anything with its `write`."""

    def write(self, data: bytes, /) -> object:
        """Takes all of the bytes or raises."""


class TarWriter:
    """Writes samples as an uncompressed tar; equal samples give equal bytes.

    Attributes:
        num_samples: samples written so far.
        num_bytes: bytes written so far; the file's size after `finish`.
    """

    def __init__(self, stream: ByteSink) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._index = IndexBuilder("this tar")
        self._keys: set[str] = set()
        self.num_samples = 0
        self.num_bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, hex."""
        return self._digest.hexdigest()

    @property
    def index(self) -> list[SampleIndex]:
        """Where the members written so far lie."""
        return self._index.samples

    def add(self, sample: PackedSample) -> None:
        """Appends one sample.

        Raises:
            ShardError: its key was written before, or a member has another key.
        """
        if sample.key in self._keys:
            raise ShardError(f"sample {sample.key}: this key is in the tar already")
        self._keys.add(sample.key)
        for name, data in sample.members:
            span = Span(self.num_bytes + BLOCK_BYTES, len(data), zlib.crc32(data))
            self._index.add(name, span)
            if self._index.samples[-1].key != sample.key:
                raise ShardError(f"sample {sample.key}: member {name} has another key")
            self._write(b"".join((member_header(name, len(data)), data, bytes(-len(data) % BLOCK_BYTES))))
        self.num_samples += 1

    def finish(self) -> None:
        """Writes the end mark. Nothing may be added after it."""
        self._write(END)
        self._write(bytes(-self.num_bytes % RECORD_BYTES))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._digest.update(data)
        self.num_bytes += len(data)


def member_header(name: str, num_bytes: int) -> bytes:
    """The one header block that a member of this name and size has: nothing of the machine, user or hour is in it.

    Raises:
        ShardError: the name is not ASCII or too long, or the size beyond what USTAR can say.
    """
    label, size = name.encode("ascii", "replace"), b"%011o" % num_bytes
    if len(label) > 100 or label != name.encode() or len(size) > 11:
        raise ShardError(f"member {name!r} of {num_bytes:,} bytes does not fit the header of a plain tar")
    checksum = _BLANK_SUM + sum(label) + sum(size)
    return b"".join((label, _BLANK[len(label) : 124], size, _BLANK[135:148], b"%06o" % checksum, _BLANK[154:]))


def _blank() -> bytes:
    """A header without name and size; tarfile spends 16 us on each that it makes, as much as on the bytes of a view."""
    info = tarfile.TarInfo("")
    info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname = 0o644, 0, 0, 0, "", ""
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


_BLANK = _blank()
_BLANK_SUM = sum(_BLANK[:124]) + sum(_BLANK[135:148]) + 8 * ord(" ") + sum(_BLANK[156:])


def read_index(tar: RandomFile, name: str) -> list[SampleIndex]:
    """The samples of an open tar in order, from its headers alone; for tars without an index file.

    Args:
        tar: the open tar.
        name: what messages call it.

    Returns:
        One SampleIndex a sample; the spans have no CRC-32.

    Raises:
        ShardError: the tar is cut or damaged, or holds a foreign or repeated member, or a key's members are not
            adjacent; the message names tar and member.
    """
    builder = IndexBuilder(name)
    offset = 0
    while (header := tar.pread(offset, BLOCK_BYTES)) != END[:BLOCK_BYTES]:
        if len(header) < BLOCK_BYTES:
            raise ShardError(f"{name}: cut short at byte {offset}, the end mark is missing; {REPAIR}")
        member, size = parse_header(header, f"{name} at byte {offset}")
        span = Span(offset + BLOCK_BYTES, size)
        offset = span.offset + size + -size % BLOCK_BYTES
        if offset > tar.size:
            raise ShardError(f"{name}: member {member} is cut short; {REPAIR}")
        builder.add(member, span)
    return builder.samples


def parse_header(header: bytes, place: str) -> tuple[str, int]:
    """Member name and payload size of one header block.

    Raises:
        ShardError: the header is damaged, or of anything but a plain file.

    Source: POSIX.1-2017, pax, "ustar Interchange Format": name 0-99, size 124-135, checksum 148-155 (taken with itself
    as spaces), type 156, magic 257-261, prefix 345-499. The GNU flavour of short names has the same fields.
    """
    try:
        checksum = int(header[148:156].rstrip(b"\0 "), 8)
        size = int(header[124:136].rstrip(b"\0 "), 8)
        member = header[:100].rstrip(b"\0").decode("ascii")
    except ValueError as error:
        raise ShardError(f"{place}: damaged member header; {REPAIR}") from error
    if checksum != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) or header[257:262] != b"ustar":
        raise ShardError(f"{place}: damaged member header; {REPAIR}")
    if header[156:157] not in (b"0", b"\0") or header[345:346] != b"\0" or size < 0:
        raise ShardError(f"{place}: {member} is a link, folder or other special member, not a plain file")
    return member, size
