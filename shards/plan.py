"""Which source goes to which shard. It follows the sorted sources alone, never workers, engines or luck."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from shards.codec import encode_json
from shards.errors import ShardError
from shards.key import KEY_PATTERN


@dataclass(frozen=True, slots=True)  # held by the million
class Source:
    """One thing that should become one sample.

    Attributes:
        path: what the callable opens; never stored in a shard.
        relative: posix path relative to SRC, which names the source everywhere.
        category: class name.
        split: train, val or test; it begins the names of its shards.
        key: the sample's key, see `unique_keys`.
        companion: a second file that the callable opens beside the first, such as part labels; never stored.
    """

    path: str
    relative: str
    category: str
    split: str
    key: str
    companion: str | None = None


@dataclass(frozen=True)
class ShardPlan:
    """One shard to be written: its name (`train-000000`), its split, its sources in order."""

    name: str
    split: str
    sources: tuple[Source, ...]

    @property
    def sources_hash(self) -> str:
        """First 16 hex digits of the SHA-256 over what is stored of the sources: it tells that a plan has changed."""
        content = [[source.relative, source.key, source.category] for source in self.sources]
        return hashlib.sha256(encode_json(content)).hexdigest()[:16]


def plan_shards(sources: Sequence[Source], samples_per_shard: int) -> list[ShardPlan]:
    """The shards of a set, sorted by name.

    Within a split the sources, sorted by their relative path, are dealt like cards: source i goes to shard i modulo the
    number of shards. So every shard holds a mix of the classes, and sizes differ by one at most.

    Args:
        sources: in any order.
        samples_per_shard: upper limit of sources in a shard.

    Returns:
        One plan a shard; splits in sorted order.

    Raises:
        ShardError: no sources, a repeated path or key, or a name that cannot be stored.
    """
    if not sources:
        raise ShardError("no sources: there is nothing to make shards of")
    if samples_per_shard < 1:
        raise ShardError(f"samples_per_shard is {samples_per_shard}, it must be at least 1")
    _check_sources(sources)
    decks: dict[str, list[Source]] = {}
    for source in sources:
        decks.setdefault(source.split, []).append(source)
    plans: list[ShardPlan] = []
    for split, deck in sorted(decks.items()):
        deck.sort(key=attrgetter("relative"))
        num_shards = -(-len(deck) // samples_per_shard)
        hands = (tuple(deck[number::num_shards]) for number in range(num_shards))
        plans += [ShardPlan(f"{split}-{number:06d}", split, hand) for number, hand in enumerate(hands)]
    return plans


def _check_sources(sources: Sequence[Source]) -> None:
    """Names that would overwrite one another, or that no JSON file could hold, are told before any work is done."""
    for attribute in ("relative", "key"):
        names = list(map(attrgetter(attribute), sources))
        if len(set(names)) < len(names):
            name, count = Counter(names).most_common(1)[0]
            raise ShardError(f"{name}: {count} sources have this {attribute}; each needs its own (see unique_keys)")
    for source in sources:
        if not KEY_PATTERN.fullmatch(source.split) or not KEY_PATTERN.fullmatch(source.key):
            raise ShardError(
                f"{source.relative!r}: split {source.split!r} and key {source.key!r} may hold only A-Z a-z 0-9 _ -"
            )
        try:
            f"{source.relative}{source.category}".encode()
        except UnicodeEncodeError as error:
            raise ShardError(f"{source.relative!r}: the file name is not valid UTF-8; rename the file") from error
