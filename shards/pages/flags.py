"""What pages say about quality flags: a sentence on each, and which measured values tell how bad a sample is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One entry of the sample's `quality`.

    Attributes:
        name: its key.
        caption: words for a value, with `{}` in its place.
        is_share: whether the value is shown in percent.
        sign: 1 where a larger value is worse, -1 where a smaller one is.
    """

    name: str
    caption: str
    is_share: bool = False
    sign: int = 1

    def badness(self, quality: Mapping[str, Any]) -> float | None:
        """The larger the worse; None where it was not measured."""
        value = quality.get(self.name)
        return self.sign * float(value) if isinstance(value, int | float) and isfinite(value) else None

    def words(self, badness: float) -> str:
        """The measured value in words."""
        value = self.sign * badness
        return self.caption.format(percent(value) if self.is_share else f"{value:.3g}")


@dataclass(frozen=True)
class Flag:
    """A quality flag.

    Attributes:
        meaning: one sentence.
        measures: how bad it is, the most telling first; empty where nothing is measured.
        shown: which view shows it: the one that is `least` or `most` covered, or that `cut`s the object most.
    """

    meaning: str = ""
    measures: tuple[Measure, ...] = ()
    shown: str = "most"


FLAGS = {
    "blank_view": Flag("A view shows nothing.", (Measure("blank_views", "{} blank"),), "least"),
    "cut_by_frame": Flag("The object reaches the edge of a view.", (Measure("cut_views", "{} cut"),), "cut"),
    "small_silhouette": Flag(
        "The object covers very little of a view.",
        (Measure("smallest_silhouette", "covers {}", is_share=True, sign=-1),),
        "least",
    ),
    "points_off_surface": Flag(
        "Points and views do not belong together.",
        (
            Measure("points_off", "{} of points off", is_share=True),
            Measure("points_hidden", "{} hidden", is_share=True),
            Measure("points_short", "{} short", is_share=True),
        ),
    ),
    "missing_texture": Flag("A picture that a material names could not be read, so its plain colour stands in."),
}
"""Known flags, in the order of a page; any other is shown under its own name, after them."""


def known_flag(name: str) -> Flag:
    """What is known about a flag, which may be nothing."""
    return FLAGS.get(name, Flag())


def page_order(name: str) -> tuple[int, str]:
    """Key to sort flags with: the known ones as in FLAGS, then the others by name."""
    return (list(FLAGS).index(name) if name in FLAGS else len(FLAGS), name)


def flag_title(name: str) -> str:
    """`small_silhouette` as `Small silhouette`."""
    plain = name.replace("_", " ").strip() or name
    return plain[:1].upper() + plain[1:]


def percent(share: float) -> str:
    """A share in percent, with two digits that count where it is small."""
    return f"{100 * share:.1f} %" if abs(share) >= 0.0995 or share == 0 else f"{100 * share:.2g} %"
