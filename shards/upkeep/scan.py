"""Reads a tar once from its first byte to its last, and tells whatever is not as its index says, member by member.

Memory is bounded by one piece and one sample's JSON. Pictures and arrays are not decoded: their CRC-32 proves them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from shards.codec import check_size, decode_json, split_member
from shards.errors import ShardError
from shards.index import IndexBuilder, SampleIndex, Span, member_name
from shards.stores.store import RandomFile
from shards.tar import BLOCK_BYTES, END, RECORD_BYTES, member_header, parse_header
from shards.upkeep.finding import Finding, What
from shards.upkeep.hashed_bytes import HashedBytes


@dataclass
class TarScan:
    """What a tar holds.

    Attributes:
        sha256: of the whole file, hex.
        num_bytes: of the whole file.
        samples: its members, with their CRC-32, without those that are malformed.
        metas: sample key to its JSON, where that is intact.
        malformed: members that no set may have, whatever an index says: doubled ones, links, other names.
        changes: what is not as the index, or the form of a tar, has it; nothing in a tar that is as it was written.
    """

    sha256: str = ""
    num_bytes: int = 0
    samples: list[SampleIndex] = field(default_factory=list)
    metas: dict[str, dict[str, Any]] = field(default_factory=dict)
    malformed: list[Finding] = field(default_factory=list)
    changes: list[Finding] = field(default_factory=list)


def scan_tar(tar: RandomFile, name: str, index: Sequence[SampleIndex] | None) -> TarScan:
    """Reads a whole tar and compares it with its index.

    A header that cannot be read is stepped over by the index's account of it; without an index, up to the next header
    that can be read. So damage in one member never hides another, nor throws suspicion on it.

    Args:
        tar: the open tar.
        name: file name for the findings.
        index: where its members should lie; None where nothing is known about that.

    Raises:
        ShardError: the tar cannot be read.
    """
    walk = _Walk(tar, name, index)
    walk.run()
    return walk.scan


class _Walk:
    """One way through a tar."""

    def __init__(self, tar: RandomFile, name: str, index: Sequence[SampleIndex] | None) -> None:
        self.scan = TarScan(num_bytes=tar.size)
        self._tar, self._name = tar, name
        self._bytes = HashedBytes(tar)
        self._builder = IndexBuilder(name)
        self._seen: set[str] = set()
        self._has_index = index is not None
        self._expected = {
            member_name(sample.key, suffix): span for sample in index or () for suffix, span in sample.members.items()
        }
        self._due = {span.offset: member for member, span in self._expected.items()}
        self._shift = 0  # bytes by which members lie further back than the index says, after something was put in

    def run(self) -> None:
        self._walk()
        self._bytes.drain()
        missing = [member for member in self._expected if member not in self._seen]
        for member in missing:
            self._tell(member, "missing", "named in the index, but not in the tar")
        self.scan.samples = self._builder.samples
        self.scan.sha256 = self._bytes.sha256

    def _walk(self) -> None:
        is_lost = False  # between a place that cannot be read and the next header that can
        while True:
            place = self._bytes.position
            header = self._bytes.take(BLOCK_BYTES)
            if len(header) < BLOCK_BYTES:
                if not is_lost:
                    self._tell(None, "truncated", f"ends at byte {self._tar.size:,}, without its end mark")
                return
            due = self._due.get(place + BLOCK_BYTES - self._shift)
            due = None if due in self._seen else due
            if not any(header) and (self._only_zeros(place) or (due is None and not is_lost)):
                if self._ends(place):
                    return
                is_lost = True
            elif self._enters(header, place, due):
                is_lost = False
            elif not is_lost:
                self._tell(None, "damaged", f"neither a member nor the end mark at byte {place:,}")
                is_lost = True

    def _enters(self, header: bytes, place: int, due: str | None) -> bool:
        """Reads the member whose header this is; False where it is nobody's."""
        try:
            member, size = parse_header(header, "")
        except ShardError as error:
            if "special" in str(error):
                name = header[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
                self._tell(name, "foreign", f"a link, folder or other special file at byte {place:,}", malformed=True)
                return True  # those have no content; where one has, the search for the next header begins in it
            if due is None:
                return False
            self._tell(due, "damaged", f"its header is {'damaged' if any(header) else 'zeros'}")
            self._read(due, self._expected[due].num_bytes, place)
            return True
        if member in self._seen:
            self._tell(member, "doubled", f"is there again at byte {place:,}", malformed=True)
            self._bytes.skip(size + -size % BLOCK_BYTES)
            return True
        if header != member_header(member, size):
            self._tell(member, "damaged", "its header is not as it was written")
        self._read(member, size, place)
        return True

    def _read(self, member: str, size: int, place: int) -> None:
        """Reads a member's content and the padding after it."""
        self._seen.add(member)
        content = _Content(member, size)
        num_bytes = content.take(self._bytes.pieces(size))
        padding = self._bytes.take(-size % BLOCK_BYTES)
        span = Span(place + BLOCK_BYTES, size, content.crc32)
        if num_bytes < size:
            self._tell(member, "truncated", f"{num_bytes:,} of its {size:,} bytes are there")
            return
        if len(padding) < -size % BLOCK_BYTES:
            self._tell(member, "truncated", "all of it is there, but not the padding after it")
        if any(padding):
            self._tell(member, "damaged", "the padding after it is not zeros")
        if self._is_as_indexed(member, span) and self._belongs(member, span):
            content.add_meta(self.scan, self._name)

    def _is_as_indexed(self, member: str, span: Span) -> bool:
        """Compares a member with the index, and tells how it differs; true where there is no index to differ from."""
        expected = self._expected.get(member)
        if expected is None:
            if self._has_index:
                self._tell(member, "foreign", "the index does not know it")
            return not self._has_index
        if span.num_bytes != expected.num_bytes:
            self._tell(member, "damaged", f"has {span.num_bytes:,} bytes, the index says {expected.num_bytes:,}")
            return False
        if span.offset - expected.offset != self._shift:
            self._shift = span.offset - expected.offset
            told = f"lies at byte {span.offset:,}, the index says {expected.offset:,}; so may those after it"
            self._tell(member, "displaced", told)
        if span.crc32 != expected.crc32:
            told = f"its content is not as it was written: CRC-32 {span.crc32:08x}, the index says {expected.crc32:08x}"
            self._tell(member, "damaged", told)
            return False
        return True

    def _belongs(self, member: str, span: Span) -> bool:
        """Adds a member to those of its sample."""
        try:
            self._builder.add(member, span)
        except ShardError as error:
            what: What = "displaced" if "apart" in str(error) else "foreign"
            self._tell(member, what, str(error).removeprefix(f"{self._name}: "), malformed=True)
            return False
        return True

    def _ends(self, place: int) -> bool:
        """Judges the end mark and all after it; False where so much follows that members may be among it."""
        num_bytes = -(-(place + len(END)) // RECORD_BYTES) * RECORD_BYTES - place
        rest = self._bytes.take(num_bytes - BLOCK_BYTES)
        if any(rest):
            self._tell(None, "damaged", "its end mark, or the padding after it, is not zeros")
        if len(rest) < num_bytes - BLOCK_BYTES:
            self._tell(None, "truncated", f"ends at byte {self._tar.size:,}, within its end mark")
        num_trailing = self._tar.size - place - num_bytes
        if num_trailing > 0:
            self._tell(None, "foreign", f"{num_trailing:,} bytes after its end, from byte {place + num_bytes:,} on")
        return num_trailing <= 0

    def _only_zeros(self, place: int) -> bool:
        """Whether nothing but an end mark can come from here on."""
        num_bytes = self._tar.size - place
        return num_bytes <= RECORD_BYTES + len(END) and not any(self._tar.pread(place, num_bytes))

    def _tell(self, member: str | None, what: What, detail: str, malformed: bool = False) -> None:
        (self.scan.malformed if malformed else self.scan.changes).append(Finding(self._name, member, what, detail))


class _Content:
    """A member's content on its way through: its CRC-32, and of a JSON the bytes."""

    def __init__(self, member: str, size: int) -> None:
        self._member = member
        self._kept: list[bytes] | None = None
        self.crc32 = 0
        if member.endswith(".json"):
            try:
                check_size(member, size)
                self._kept = []
            except ShardError:
                self._kept = None

    def take(self, pieces: Iterator[memoryview]) -> int:
        """Takes all pieces; returns how many bytes they were."""
        num_bytes = 0
        for piece in pieces:
            num_bytes += len(piece)
            self.crc32 = zlib.crc32(piece, self.crc32)
            if self._kept is not None:
                self._kept.append(bytes(piece))
        return num_bytes

    def add_meta(self, scan: TarScan, name: str) -> None:
        """Adds a sample's JSON to what was found."""
        if not self._member.endswith(".json") or split_member(self._member)[1] != "json":
            return
        try:
            if self._kept is None:
                raise ShardError("larger than the JSON of a sample may be")
            scan.metas[split_member(self._member)[0]] = decode_json(b"".join(self._kept))
        except ShardError as error:
            scan.malformed.append(Finding(name, self._member, "damaged", str(error)))
