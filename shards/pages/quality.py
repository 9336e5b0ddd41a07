"""A page about what went wrong in a set: sources that failed with their reasons, and the worst samples of each flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.pages.choice import count_flags, evenly, flagged_shards
from shards.pages.flags import Flag, flag_title, known_flag, page_order, percent
from shards.pages.page import data_url, escaped, fill_page
from shards.pages.preview import drawn_points, small_picture
from shards.reader import ShardReader
from shards.record import ShardRecord, read_records
from shards.schema import image_name
from shards.stores.store import Location, LocationT, write_file

MAX_FAILURES = 1000
"""Failed sources on the page; the records list all."""

MAX_THUMBNAILS = 24
"""Samples shown of each flag."""

MAX_VIEWS = 24
"""Views of a sample, evenly spaced, among which the worst is looked for."""


@dataclass(frozen=True)
class FlaggedSample:
    """A sample that carries a flag.

    Attributes:
        index: its place in the reader.
        key: its key.
        badness: of each of the flag's measures; None where a value is missing, as in sets made before it was measured.
    """

    index: int
    key: str
    badness: tuple[float | None, ...]

    @property
    def rank(self) -> tuple[object, ...]:
        """Key to sort with, the worst first."""
        return (*((value is None, -(value or 0.0)) for value in self.badness), self.key)


def quality_page(
    location: Location, path: LocationT, split: str | None = None, max_thumbnails: int = MAX_THUMBNAILS
) -> LocationT:
    """Writes a page with counts of failures and flags, the reasons of the failures, and the worst samples of each flag.

    Only shards with flagged samples are opened, at most MAX_SHARDS_OPENED; the page says where that left some out.

    Args:
        location: a finished set.
        path: where the page goes; its folder exists.
        split: only this split; None for all.
        max_thumbnails: at most so many samples of each flag.

    Returns:
        `path`.

    Raises:
        ShardError: the set is not finished, a record or shard is missing or damaged, or the file cannot be written.
    """
    with ShardReader(location, split) as reader:
        records = read_records(reader.store, [entry.name for entry in reader.entries])
        flags = count_flags(records)
        opened = flagged_shards(reader)
        found = _flagged(reader, opened)
        names = sorted(flags, key=page_order)
        num_flagged = sum(bool(record.flags) for record in records)
        sections = [_flag_section(reader, name, flags[name], found.get(name, []), max_thumbnails) for name in names]
        limited = f"Looked into {len(opened)} of {num_flagged:,} shards with flagged samples, evenly spaced."
        parts = {
            "name": "Quality"
            + (f" of the split {escaped(split)}" if split else ""),  # no folder: equal sets, equal bytes
            "summary": _summary(records, flags, names),
            "note": f'<p class="soft">{limited}</p>' if num_flagged > len(opened) else "",
            "flags": "".join(sections),
            "failures": _failure_section(records),
        }
    return write_file(path, fill_page("quality.html", ["page.css", "quality.css"], [], parts))


def _flagged(reader: ShardReader, places: Sequence[int]) -> dict[str, list[FlaggedSample]]:
    """Flag to its samples in these shards, the worst first."""
    found: dict[str, list[FlaggedSample]] = {}
    ranges = reader.ranges()
    for place in places:
        for index in ranges[place]:
            meta = reader.meta(index)
            quality = meta.get("quality")
            quality = quality if isinstance(quality, dict) else {}
            for flag in sorted(set(map(str, meta["flags"]))):
                badness = tuple(measure.badness(quality) for measure in known_flag(flag).measures)
                found.setdefault(flag, []).append(FlaggedSample(index, reader.key(index), badness))
    return {flag: sorted(samples, key=lambda sample: sample.rank) for flag, samples in found.items()}


def _summary(records: Sequence[ShardRecord], flags: dict[str, int], names: Sequence[str]) -> str:
    """The numbers at the top, and a bar for each flag."""
    num_samples = sum(record.count for record in records)
    num_failures = sum(len(record.failures) for record in records)
    text = f'<div class="tile"><b>{num_samples:,}</b><span>Samples</span></div>'
    if num_failures:
        text += f'<a class="tile bad" href="#failures"><b>{num_failures:,}</b><span>Failed</span></a>'
    else:
        text += '<div class="tile"><b>0</b><span>Failed</span></div>'
    if not flags and not num_failures:
        text += '<p class="well">All is well: every source became a sample, and no sample is flagged.</p>'
    elif not flags:
        text += '<p class="well">No sample is flagged.</p>'
    bars = "".join(_bar(name, flags[name], num_samples) for name in names)
    return f'<div class="tiles">{text}</div>' + (f'<table class="bars">{bars}</table>' if bars else "")


def _bar(flag: str, count: int, num_samples: int) -> str:
    share = count / max(num_samples, 1)
    width = max(0.5, 100 * share)
    return (
        f'<tr><th scope="row"><a href="#{_anchor(flag)}">{escaped(flag_title(flag))}</a></th>'
        f'<td class="bar"><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="100" height="4"/><rect width="{width:.2f}" height="4"/></svg></td>'
        f'<td class="number">{count:,}</td><td class="number soft">{percent(share)}</td></tr>'
    )


def _flag_section(reader: ShardReader, flag: str, count: int, samples: Sequence[FlaggedSample], limit: int) -> str:
    """Title, meaning and the worst samples of one flag."""
    known = known_flag(flag)
    shown = samples[:limit]
    figures = "".join(_figure(reader, sample, known) for sample in shown)
    some = f"{len(shown):,} of {count:,} samples" if len(shown) < count else f"{count:,} sample" + "s" * (count > 1)
    if len(shown) > 1:
        measured = any(value is not None for sample in shown for value in sample.badness)
        some += ", the worst first" if measured else ", in the order of their names"
    return (
        f'<section id="{_anchor(flag)}"><h2>{escaped(flag_title(flag))}</h2>'
        f'<p class="soft">{escaped(known.meaning)} {some}.</p><ul class="wall">{figures}</ul></section>'
    )


def _figure(reader: ShardReader, sample: FlaggedSample, flag: Flag) -> str:
    """A thumbnail: the view that shows the flag best, and what is known about the sample."""
    meta = reader.meta(sample.index)
    pictures, where = _telling_views(reader, sample.index, flag.shown)
    facts = [where] if where else []
    values = zip(flag.measures, sample.badness, strict=True)
    facts += [measure.words(value) for measure, value in values if value is not None]
    images = "".join(
        f'<img class="{name}" src="{data_url("image/webp", small_picture(picture))}" alt="" loading="lazy">'
        for name, picture in zip(("telling", "whole"), pictures, strict=False)
    )
    return (
        f'<li title="{escaped(meta["source"])}"><div class="picture">{images}</div><p><b>'
        f"{escaped(meta['category'])}</b><small>{escaped(sample.key)}</small>"
        f"<small>{escaped(' · '.join(facts))}</small></p></li>"
    )


def _telling_views(reader: ShardReader, index: int, shown: str) -> tuple[list[NDArray[np.uint8]], str]:
    """The view that shows the flag best, and which it is in words; where it shows next to nothing, the fullest as well.

    Without views it is a drawing of the points.
    """
    numbers = reader.images(index).get("view", [])
    if not numbers:
        return [drawn_points(reader.read(index, arrays=("points",), views=()).arrays["points"], 0.6, 160)], ""
    chosen = evenly(numbers, MAX_VIEWS)
    views = [reader.read(index, (), (number,)).images[image_name("view", number)] for number in chosen]
    best = int(np.argmax([_score(view[..., -1] > 0, shown) for view in views]))
    fullest = int(np.argmax([_score(view[..., -1] > 0, "most") for view in views]))
    where = f"view {chosen[best] + 1} of {len(numbers)}"
    return ([views[best], views[fullest]] if shown == "least" else [views[best]]), where


def _score(inside: NDArray[np.bool_], shown: str) -> float:
    """How well a silhouette shows a flag."""
    if shown == "cut":
        return float(inside[[0, -1], :].sum() + inside[:, [0, -1]].sum())
    return float(inside.mean()) * (1 if shown == "most" else -1)


def _failure_section(records: Sequence[ShardRecord]) -> str:
    """The table of failed sources."""
    failures = [(failure, record.split) for record in records for failure in record.failures]
    if not failures:
        return ""
    rows = "".join(
        f"<tr><td>{escaped(failure.source)}</td><td>{escaped(split)}</td><td>{escaped(failure.reason)}</td></tr>"
        for failure, split in sorted(failures, key=lambda pair: pair[0].source)[:MAX_FAILURES]
    )
    more = len(failures) - MAX_FAILURES
    rest = f'<p class="soft">And {more:,} more; the shards\' records list all.</p>' if more > 0 else ""
    return (
        '<section id="failures"><h2>Failed sources</h2><div class="scroll"><table class="failures"><thead><tr>'
        f"<th>File</th><th>Split</th><th>Reason</th></tr></thead><tbody>{rows}</tbody></table></div>{rest}</section>"
    )


def _anchor(flag: str) -> str:
    return "flag-" + flag.encode("utf-8", "replace").hex()
