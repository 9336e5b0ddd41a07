"""Which samples stand for a set: spread over its classes, and those that carry quality flags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from shards.reader import ShardReader
from shards.record import RECORD, ShardRecord, decode_record

MAX_LOOKED_AT = 4096
"""About so many samples, evenly spaced, are asked for their class, so that a page about a huge set takes no hour."""

MAX_SHARDS_OPENED = 200
"""At most so many shards are searched for flagged samples."""

ItemT = TypeVar("ItemT")


def evenly(items: Sequence[ItemT], count: int) -> list[ItemT]:
    """At most `count` of the items, evenly spaced, in their order."""
    count = min(len(items), count)
    return [items[place * len(items) // count] for place in range(count)]


def take_turns(groups: Mapping[str, Sequence[ItemT]], count: int) -> list[ItemT]:
    """At most `count` items: groups take turns until it is reached, and within a group the picks are evenly spaced.

    Args:
        groups: name to items, each in one group.
        count: at most so many items in all.

    Returns:
        The picks, sorted by the name of their group and then as they stand in it.
    """
    names = sorted(groups)
    shares = dict.fromkeys(names, 0)
    left = min(count, sum(map(len, groups.values())))
    while left:
        for name in names:
            if left and shares[name] < len(groups[name]):
                shares[name] += 1
                left -= 1
    return [item for name in names for item in evenly(groups[name], shares[name])]


def spread(reader: ShardReader, num_samples: int, leave_out: Collection[int] = ()) -> list[int]:
    """Global indices that show every class about equally often, sorted by class and then by index.

    Args:
        reader: the samples to choose from.
        num_samples: at most so many.
        leave_out: indices that are not to be chosen.
    """
    members: dict[str, list[int]] = {}
    for index in range(0, len(reader), max(1, len(reader) // MAX_LOOKED_AT)):
        if index not in leave_out:
            members.setdefault(str(reader.meta(index)["category"]), []).append(index)
    return take_turns(members, num_samples)


def flagged_first(reader: ShardReader, num_samples: int) -> list[int]:
    """Global indices of flagged samples, up to half of the places, and then of samples spread over the classes.

    Flags take turns where not all flagged samples find a place.
    """
    flagged = {index: flags for index, flags in read_flags(reader, flagged_shards(reader)).items() if flags}
    chosen = take_turns(by_rarest(flagged), num_samples // 2)
    return chosen + spread(reader, num_samples - len(chosen), frozenset(chosen))


def flagged_shards(reader: ShardReader) -> list[int]:
    """Places in `reader.entries` of shards with flagged samples, at most MAX_SHARDS_OPENED of them.

    Each flag gets its turn, so that a rare one is found. A shard whose record was not copied along with it may hold
    anything, so it counts as flagged.
    """
    flags: dict[int, list[str]] = {}
    records = reader.store.read_many([entry.name + RECORD for entry in reader.entries])
    for place, entry in enumerate(reader.entries):
        record = records.get(entry.name + RECORD)
        found = [""] if record is None else sorted(decode_record(record, entry.name).flags)
        if found:
            flags[place] = found
    return sorted(take_turns(by_rarest(flags), MAX_SHARDS_OPENED))


def read_flags(reader: ShardReader, places: Sequence[int]) -> dict[int, list[str]]:
    """Global index to flags, for every sample of the shards at these places of `reader.entries`."""
    ranges = reader.ranges()
    return {index: list(map(str, reader.meta(index)["flags"])) for place in places for index in ranges[place]}


def count_flags(records: Sequence[ShardRecord]) -> dict[str, int]:
    """Flag to the number of samples that carry it, sorted by flag."""
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.flags)
    return dict(sorted(total.items()))


def by_rarest(flags: Mapping[int, Sequence[str]]) -> dict[str, list[int]]:
    """Items grouped by the rarest of their flags, so that no flag is crowded out by another."""
    counts = Counter(flag for found in flags.values() for flag in found)
    groups: dict[str, list[int]] = {}
    for item in sorted(flags):
        groups.setdefault(min(flags[item], key=lambda flag: (counts[flag], flag)), []).append(item)
    return groups
