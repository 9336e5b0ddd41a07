"""Tables, beds and bookshelves, drawn at random: proportions, legs, boards, counts. They face -y."""

import itertools

import numpy as np

from render.mesh import Mesh
from render.shapes.legs import around, corners, panels, pedestal, posts, sled
from render.shapes.placement import joined, translated
from render.shapes.solids import box, circle, frustum, prism, rounded_box, sphere, tube


def table(rng: np.random.Generator) -> Mesh:
    """A top on legs: dining, coffee, desk or side table; a small round one comes close to a stool."""
    size = rng.choice(["dining", "coffee", "side"], p=[0.5, 0.25, 0.25])
    width = rng.uniform(0.35, 0.7) if size == "side" else rng.uniform(0.8, 2.0)
    height = rng.uniform(0.32, 0.5) if size == "coffee" else rng.uniform(0.5, 0.95)
    shape = rng.choice(["rectangle", "rectangle", "round", "oval"])
    depth = width if shape == "round" else width * rng.uniform(0.45, 1.0)
    thickness, radius = rng.uniform(0.02, 0.08), rng.uniform(0.018, 0.045)
    if shape == "rectangle":
        top = rounded_box((width, depth, thickness), rng.uniform(0.002, 0.03))
    else:
        top = translated(prism(circle(0.5, 32) * (width, depth), thickness), (0, 0, -thickness / 2))
    inset = rng.uniform(0.58, 0.7) if shape != "rectangle" else rng.uniform(0.8, 0.93)
    under = height - thickness
    parts = [translated(top, (0, 0, height - thickness / 2))]
    style = rng.choice(["posts", "posts", "posts", "pedestal", "panels", "sled", "trestle"])
    if style == "pedestal":
        parts.append(pedestal(rng, under, min(width, depth) * rng.uniform(0.3, 0.45)))
    elif style == "panels":
        parts.append(panels(rng, width * inset, depth * inset, under, 0.035))
    elif style == "sled":
        parts.append(sled(rng, width * inset, depth * inset, under, radius * 0.8))
    elif style == "trestle":
        pair = pedestal(rng, under, depth * 0.28)
        parts += [translated(pair, (x, 0, 0)) for x in (-width * 0.28, width * 0.28)]
    else:
        parts.append(_table_legs(rng, width * inset, depth * inset, under, radius, shape == "round"))
    return joined(*parts)


def _table_legs(
    rng: np.random.Generator, width: float, depth: float, height: float, radius: float, is_round: bool
) -> Mesh:
    """Posts, with an apron below the top, a shelf, or a block of drawers."""
    tops = around(width / 2, int(rng.integers(3, 5))) if is_round else corners(width, depth)
    parts = [posts(rng, tops, height, radius, most_splay=0.25, rails=is_round)]
    if rng.random() < 0.4 and not is_round:
        parts.append(box((width, depth, 0.09), (0, 0, height - 0.045)))
    if rng.random() < 0.3:
        at = (0, 0, height * rng.uniform(0.2, 0.5))
        shelf = frustum(width * 0.45, width * 0.45, 0.025) if is_round else box((width, depth, 0.025))
        parts.append(translated(shelf, at))
    elif rng.random() < 0.25 and not is_round and height > 0.5:
        drawers = width * rng.uniform(0.22, 0.35)
        parts.append(box((drawers, depth, height * 0.7), (width / 2 - drawers / 2, 0, height * 0.65)))
        place = (width / 2 - drawers / 2, -depth / 2 - 0.01)
        parts += [translated(sphere(0.02, 8, 4), (*place, height * level)) for level in (0.42, 0.64, 0.86)]
    return joined(*parts)


def bed(rng: np.random.Generator) -> Mesh:
    """A mattress on a frame, head end at +y: single, double, four-poster or bunk."""
    width, length, height = rng.uniform(0.85, 2.0), rng.uniform(1.85, 2.25), rng.uniform(0.25, 0.55)
    style = rng.choice(["plain", "plain", "plain", "poster", "bunk"])
    if style == "bunk":
        width = min(width, 1.1)
    deck = _deck(rng, width, length, height)
    parts = [deck]
    if style == "plain":
        parts.append(_bed_feet(rng, width, length, height))
        parts.append(_bed_end(rng, width, height + rng.uniform(0.3, 0.9), length / 2 + 0.02))
        if rng.random() < 0.45:
            parts.append(_bed_end(rng, width, height + rng.uniform(0.1, 0.4), -length / 2 - 0.02))
        return joined(*parts)
    tall, post = rng.uniform(1.6, 2.1), rng.uniform(0.03, 0.05)
    parts += [tube([(x, y, 0), (x, y, tall)], post, int(rng.choice([4, 8]))) for x, y in corners(width, length)]
    if style == "poster":
        ring = np.column_stack([corners(width, length), np.full(4, tall - 0.03)])
        parts += [tube([ring[i - 1], ring[i]], post * 0.7, 4) for i in range(4)]
        parts.append(_bed_end(rng, width, height + rng.uniform(0.3, 0.8), length / 2))
    else:
        rise = tall * rng.uniform(0.5, 0.62)
        parts.append(translated(deck, (0, 0, rise)))
        x, ends = width / 2 + 0.04, (-length * 0.1, -length * 0.28)  # a ladder at the side
        parts += [tube([(x, y, 0), (x, y, tall)], 0.025, 6) for y in ends]
        rungs = np.linspace(0.2, height + rise, 7)
        parts += [tube([(x, ends[0], z), (x, ends[1], z)], 0.02, 6) for z in rungs]
    return joined(*parts)


def _deck(rng: np.random.Generator, width: float, length: float, height: float) -> Mesh:
    """Slatted frame, mattress with its upper side at `height`, pillows and perhaps a folded blanket."""
    thickness = rng.uniform(0.12, 0.24)
    frame = box((width, length, 0.1), (0, 0, height - thickness - 0.05 + 0.03))
    mattress = rounded_box((width * 0.97, length * 0.97, thickness), 0.05, (0, 0, height - thickness / 2))
    parts = [frame, mattress]
    num_pillows = 2 if width > 1.3 else 1
    pillow = (width * 0.8 / num_pillows, rng.uniform(0.3, 0.5), rng.uniform(0.08, 0.15))
    y, z = length / 2 - pillow[1] / 2 - 0.08, height + pillow[2] * 0.4
    places = (np.arange(num_pillows) - (num_pillows - 1) / 2) * (width * 0.45)
    parts += [rounded_box(pillow, 0.06, (x, y, z)) for x in places]
    if rng.random() < 0.5:
        share = rng.uniform(0.25, 0.65)
        size = (width * 1.03, length * share, thickness + 0.02)
        parts.append(rounded_box(size, 0.04, (0, -length / 2 * (1 - share), height - thickness / 2 + 0.03)))
    return joined(*parts)


def _bed_feet(rng: np.random.Generator, width: float, length: float, height: float) -> Mesh:
    if rng.random() < 0.4:  # a box bed
        return box((width * 0.98, length * 0.98, height - 0.15), (0, 0, (height - 0.15) / 2))
    return posts(rng, corners(width * 0.93, length * 0.95), height - 0.1, rng.uniform(0.03, 0.06), most_splay=0.11)


def _bed_end(rng: np.random.Generator, width: float, tall: float, y: float) -> Mesh:
    """A head or foot board from the floor up: panel, arched panel, or bars."""
    style = rng.choice(["panel", "cushion", "arch", "bars"])
    if style == "panel":
        return box((width, 0.05, tall), (0, y, tall / 2))
    if style == "cushion":
        return rounded_box((width * 1.05, 0.12, tall), 0.05, (0, y, tall / 2))
    if style == "arch":
        x = np.linspace(-1, 1, 13)
        outline = np.column_stack([x * width / 2, tall * (1 - 0.3 * x**2)])
        hoop = tube(np.column_stack([outline[:, 0], np.full(13, y), outline[:, 1]]), 0.035, 6)
        legs = [tube([(s * width / 2, y, 0), (s * width / 2, y, tall * 0.71)], 0.035, 6) for s in (-1, 1)]
        bars = [tube([(a, y, 0.2), (a, y, b)], 0.015, 5) for a, b in outline[2:-2:2]]
        return joined(hoop, *legs, *bars)
    rails = [box((width, 0.04, 0.06), (0, y, z)) for z in (tall - 0.03, tall * 0.4)]
    places = np.linspace(-width / 2, width / 2, int(rng.integers(5, 11)))
    return joined(*rails, *(box((0.03, 0.03, tall), (x, y, tall / 2)) for x in places))


def bookshelf(rng: np.random.Generator) -> Mesh:
    """Boards between two sides, with books, dividers and perhaps a back."""
    width, height, depth = rng.uniform(0.5, 1.7), rng.uniform(0.8, 2.2), rng.uniform(0.22, 0.42)
    board, num_levels = rng.uniform(0.018, 0.04), int(rng.integers(2, 7))
    lift = rng.uniform(0.05, 0.16) if rng.random() < 0.4 else 0.0
    levels = np.linspace(lift + board / 2, height - board / 2, num_levels + 1)
    parts = [box((width, depth, board), (0, 0, z)) for z in levels]
    side = (board, depth, height - lift)
    if rng.random() < 0.75:
        parts += [box(side, (x, 0, (height + lift) / 2)) for x in (-width / 2, width / 2)]
    else:  # an open rack on posts
        tops = corners(width, depth * 0.9)
        parts += [tube([(x, y, 0), (x, y, height)], board * 0.7, 6) for x, y in tops]
    if rng.random() < 0.6:
        parts.append(box((width, 0.012, height - lift), (0, depth / 2, (height + lift) / 2)))
    if width > 1.0 and rng.random() < 0.7:
        parts += [box(side, (x, 0, (height + lift) / 2)) for x in _dividers(rng, width)]
    if lift:
        parts.append(posts(rng, corners(width * 0.92, depth * 0.85), lift, 0.025, most_splay=0.11, rails=False))
    fill = rng.uniform(0.2, 0.9) if rng.random() < 0.8 else 0.0
    for low, high in itertools.pairwise(levels):
        if rng.random() < fill:
            parts.append(_books(rng, width - 2 * board, depth, low + board / 2, high - low - board))
    return joined(*parts)


def _dividers(rng: np.random.Generator, width: float) -> list[float]:
    num_columns = int(rng.integers(2, 4))
    return [float(x) for x in np.linspace(-width / 2, width / 2, num_columns + 1)[1:-1]]


def _books(rng: np.random.Generator, width: float, depth: float, bottom: float, room: float) -> Mesh:
    """A row of upright books of random size from one end of a shelf."""
    x, end = -width / 2 + 0.01, width / 2 * rng.uniform(-0.2, 1.0)
    books: list[Mesh] = []
    while x < end - 0.1 or not books:
        thick, tall, deep = rng.uniform(0.04, 0.1), room * rng.uniform(0.5, 0.92), depth * rng.uniform(0.6, 0.9)
        books.append(box((thick * 0.94, deep, tall), (x + thick / 2, (depth - deep) / 2 - 0.02, bottom + tall / 2)))
        x += thick
    return joined(*books)
