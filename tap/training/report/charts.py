"""Curves as SVG elements that stand in the page itself: no script, colours from the page's style."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from shards.pages.page import escaped

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 34
MAX_POINTS, MAX_DOTS, NUM_TICKS, NUM_COLOURS = 240, 40, 5, 7
LETTER, ROW = 6.6, 17


@dataclasses.dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        name: for the legend and the tooltips.
        x: ascending.
        y: as many; what is not finite leaves a gap.
        dashed: drawn as what others are measured against.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


def chart(title: str, x_label: str, series: Sequence[Series], log: bool = False) -> str:
    """Curves over one axis, as an SVG element.

    Args:
        title: above; a curve of the same name needs no legend.
        x_label: below.
        series: at least one with a finite value; long ones are drawn by the means of their pieces.
        log: a logarithmic axis where all values are above 0 and spread over more than a factor of 5.
    """
    thin = [_thinned(one) for one in series]
    values = np.concatenate([np.asarray(one.y, float) for one in thin])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    log = log and low > 0 and high > 5 * low
    y_ticks = _log_ticks(low, high) if log else _ticks(low, high)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    places = np.concatenate([np.asarray(one.x, float) for one in thin])
    first, last = float(places.min()), float(places.max())
    x_scale = _scale(first, last, LEFT, WIDTH - RIGHT, False)
    legend, rows = _legend(thin, title)
    y_scale = _scale(low, high, HEIGHT - BOTTOM, TOP + rows, log)
    parts = [f'<text class="title" x="{LEFT}" y="16">{escaped(title)}</text>', *legend]
    parts += [_y_tick(tick, y_scale.at(tick)) for tick in y_ticks]
    parts += [_x_tick(tick, x_scale.at(tick)) for tick in _ticks(first, last) if first <= tick <= last]
    parts.append(f'<text class="axis end" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}">{escaped(x_label)}</text>')
    for number, one in enumerate(thin):
        parts.append(_curve(one, _colour(one, number), x_scale, y_scale))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(title)}">{"".join(parts)}</svg>'


@dataclasses.dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        low, high, value = (math.log(one) if self.log else one for one in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def _scale(low: float, high: float, start: float, end: float, log: bool) -> _Scale:
    if high <= low:  # one value: in the middle
        low, high = (low / 2, high * 2) if log else (low - 1, high + 1)
    return _Scale(low, high, start, end, log)


def _thinned(series: Series) -> Series:
    if len(series.x) <= MAX_POINTS:
        return series
    pieces = np.array_split(np.arange(len(series.x)), MAX_POINTS)
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    return Series(
        series.name, [float(x[piece].mean()) for piece in pieces], [float(y[piece].mean()) for piece in pieces]
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``."""
    if high <= low:
        return [low]
    rough = (high - low) / NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone where that would be too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        first = max((number for number, tick in enumerate(ticks) if tick <= low), default=0)
        last = min((number for number, tick in enumerate(ticks) if tick >= high), default=len(ticks) - 1)
        if last - first <= NUM_TICKS + 2:
            break
    return ticks[first : last + 1]


def _y_tick(value: float, y: float) -> str:
    line = f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text class="axis end" x="{LEFT - 8}" y="{y + 3.5:.1f}">{_short(value)}</text>'


def _x_tick(value: float, x: float) -> str:
    return f'<text class="axis middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{_short(value)}</text>'


def _curve(series: Series, colour: str, x_scale: _Scale, y_scale: _Scale) -> str:
    points = [(x_scale.at(x), y_scale.at(y), x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(y)]
    path = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y, _, _) in enumerate(points))
    dots = points[-1:] if series.dashed or len(points) > MAX_DOTS else points
    told = "".join(
        f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escaped(series.name)} {value:.4g} at {_short(place)}'
        f"</title></circle>"
        for x, y, place, value in dots
    )
    return f'<path class="{colour}" d="{path}"/>{told}'


def _legend(series: Sequence[Series], after: str) -> tuple[list[str], int]:
    """The legend beside the title where there is room, else in rows below; and the height of these rows."""
    named = [(one.name, _colour(one, number), round(LETTER * len(one.name)) + 24) for number, one in enumerate(series)]
    if len(named) == 1 or (named := [one for one in named if one[0] != after]) == []:
        return [], 0
    room = WIDTH - RIGHT - LEFT
    beside = sum(width for _, _, width in named) < room - 1.3 * LETTER * len(after)
    x, y = (WIDTH - RIGHT - sum(width for _, _, width in named), 16) if beside else (LEFT, 16 + ROW)
    parts = []
    for name, colour, width in named:
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = LEFT, y + ROW
        parts.append(f'<circle class="{colour}" cx="{x + 6}" cy="{y - 3.5}" r="3.5"/>')
        parts.append(f'<text class="axis" x="{x + 14}" y="{y}">{escaped(name)}</text>')
        x += width
    return parts, y - 16


def _colour(series: Series, number: int) -> str:
    return "base" if series.dashed else f"s{number % NUM_COLOURS}"


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0):
            return f"{value / size:g}{unit}"
    if abs(value) >= 1e3:  # 1,500 rather than 1.5e+03
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"
