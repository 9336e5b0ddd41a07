"""Where each member of a tar lies, and its CRC-32: the `NAME.idx` beside `NAME.tar`, so that no byte is taken on trust.

A text file. Its first line is `tap-index 1 SAMPLES MEMBERS CRC32`, the last the CRC-32 of all bytes after that line; then each
member has a line `OFFSET BYTES CRC32 NAME`, in the order of the tar. CRC-32 as in PNG and zip, 8 hex digits.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from shards.codec import split_member
from shards.errors import ShardError

_MAGIC = "tap-index 1"
_LINE = re.compile(rb"(\d{1,18}) (\d{1,18}) ([0-9a-f]{8}) ([!-~]+)")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a member's payload lies in its tar, in bytes, and its CRC-32; None in sets made before 1.2."""

    offset: int
    num_bytes: int
    crc32: int | None = None


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """One sample's members: field (`json`, `points.npy`, `view00.png`) to place."""

    key: str
    members: dict[str, Span] = field(default_factory=dict)


def member_name(key: str, field: str) -> str:
    """Name of a member in the tar."""
    return f"{key}.{field}"


def check_payload(name: str, span: Span, data: bytes) -> None:
    """Compares a member's bytes with what the index says of them.

    Raises:
        ShardError: they are cut short, or their CRC-32 differs; the message begins with the member's name.
    """
    if len(data) != span.num_bytes:
        raise ShardError(f"{name} is cut short")
    if span.crc32 is not None and zlib.crc32(data) != span.crc32:
        raise ShardError(f"{name} is not as it was written, its CRC-32 differs")


class IndexBuilder:
    """Members one by one, in the order of the tar, to samples; strict about what may stand in one.

    Args:
        name: what messages call the tar.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: set[str] = set()
        self.samples: list[SampleIndex] = []

    def add(self, member: str, span: Span) -> None:
        """Takes the next member.

        Raises:
            ShardError: it is no member of a sample, it occurs twice, or it is apart from the others of its key.
        """
        try:
            key, suffix = split_member(member)
        except ShardError as error:
            raise ShardError(f"{self._name}: {error}") from error
        if not self.samples or self.samples[-1].key != key:
            if key in self._seen:
                raise ShardError(f"{self._name}: member {member} is apart from the other members of its key")
            self._seen.add(key)
            self.samples.append(SampleIndex(key))
        if suffix in self.samples[-1].members:
            raise ShardError(f"{self._name}: member {member} occurs twice")
        self.samples[-1].members[suffix] = span


def encode_index(samples: Iterable[SampleIndex]) -> bytes:
    """The bytes of an index file; every span has its CRC-32."""
    lines: list[str] = []
    num_samples = 0
    for sample in samples:
        num_samples += 1
        for name, span in sample.members.items():
            lines.append(f"{span.offset} {span.num_bytes} {span.crc32:08x} {member_name(sample.key, name)}\n")
    body = "".join(lines).encode("ascii")
    return f"{_MAGIC} {num_samples} {len(lines)} {zlib.crc32(body):08x}\n".encode("ascii") + body


def decode_index(data: bytes, name: str) -> list[SampleIndex]:
    """The samples in an index file.

    Args:
        data: its bytes.
        name: what messages call it.

    Raises:
        ShardError: it is damaged, or of another form.
    """
    head, _, body = data.partition(b"\n")
    words = head.decode("ascii", "replace").split()
    if " ".join(words[:2]) != _MAGIC or len(words) != 5:
        raise ShardError(f"{name}: not an index of a shard; make it again with tap shards repair")
    if words[4] != f"{zlib.crc32(body):08x}":
        raise ShardError(f"{name}: damaged, its checksum does not fit; make it again with tap shards repair")
    builder = IndexBuilder(name)
    for line in body.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:  # its checksum fits, so somebody meant it to be so
            raise ShardError(f"{name}: {line[:80]!r} is no line of an index; make it again with tap shards repair")
        offset, num_bytes, crc32, member = match.groups()
        builder.add(member.decode("ascii"), Span(int(offset), int(num_bytes), int(crc32, 16)))
    counts = [str(len(builder.samples)), str(sum(len(sample.members) for sample in builder.samples))]
    if words[2:4] != counts:
        raise ShardError(f"{name}: damaged, its first line does not fit; make it again with tap shards repair")
    return builder.samples
