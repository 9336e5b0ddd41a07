"""Chairs and stools, drawn at random: proportions, legs, backs, arms. They face -y and share their seats and legs."""

import numpy as np

from render.mesh import Mesh
from render.shapes.legs import around, corners, foot_ring, panels, pedestal, posts, sled
from render.shapes.placement import joined, mirrored, rotated, translated
from render.shapes.solids import box, cylinder, rounded_box, smoothed, tube


def chair(rng: np.random.Generator) -> Mesh:
    """A seat with a back: dining, office, garden or upholstered."""
    width, height = rng.uniform(0.38, 0.62), rng.uniform(0.34, 0.52)
    depth = width * rng.uniform(0.85, 1.15)
    if rng.random() < 0.2:
        return _armchair(rng, width * rng.uniform(1.2, 1.9), depth * 1.25, height * 0.9)
    thickness = rng.uniform(0.02, 0.09)
    parts = [
        _seat(rng, width, depth, height, thickness),
        _chair_legs(rng, width, depth, height - thickness),
        _back(rng, width, depth, height),
    ]
    if rng.random() < 0.35:
        parts.append(_arms(rng, width, depth, height))
    return joined(*parts)


def stool(rng: np.random.Generator) -> Mesh:
    """A small seat without a back; a tall one sometimes has a low lumbar rest, which makes it nearly a chair."""
    width, height = rng.uniform(0.28, 0.46), rng.uniform(0.36, 0.82)
    thickness, radius = rng.uniform(0.02, 0.1), rng.uniform(0.012, 0.028)
    is_round = rng.random() < 0.6
    depth = width if is_round else width * rng.uniform(0.7, 1.1)
    if is_round:
        seat = translated(cylinder(width / 2, thickness, 24), (0, 0, height - thickness))
    else:
        seat = _seat(rng, width, depth, height, thickness)
    style = rng.choice(["posts", "posts", "pedestal", "panels"] if height < 0.55 else ["posts", "posts", "pedestal"])
    if style == "pedestal":
        parts = [seat, pedestal(rng, height - thickness, width * rng.uniform(0.45, 0.65))]
    elif style == "panels":
        parts = [seat, panels(rng, width * 0.7, depth * 0.7, height - thickness, 0.03)]
    else:
        tops = around(width * 0.38, int(rng.integers(3, 6))) if is_round else corners(width * 0.8, depth * 0.8)
        parts = [seat, posts(rng, tops, height - thickness, radius, most_splay=0.5)]
    if style != "panels" and is_round and rng.random() < 0.5:
        parts.append(foot_ring(width * 0.42, height * rng.uniform(0.25, 0.45), radius * 0.6))
    if height > 0.6 and rng.random() < 0.3:
        rest = rounded_box((width * 0.8, 0.03, 0.1), 0.02, (0, depth / 2, 0.1 + rng.uniform(0, 0.08)))
        stem = box((0.04, 0.02, 0.14), (0, depth / 2 - 0.01, 0.05))
        parts.append(translated(joined(rest, stem), (0, 0, height)))
    return joined(*parts)


def _seat(rng: np.random.Generator, width: float, depth: float, height: float, thickness: float) -> Mesh:
    """A slab whose upper side is at `height`: plain, rounded, or with a cushion on it."""
    middle = (0, 0, height - thickness / 2)
    style = rng.choice(["plain", "rounded", "cushion"])
    if style == "plain":
        return box((width, depth, thickness), middle)
    slab = rounded_box((width, depth, thickness), rng.uniform(0.01, 0.04), middle)
    if style == "rounded":
        return slab
    return joined(slab, rounded_box((width * 0.92, depth * 0.9, 0.06), 0.03, (0, 0, height + 0.02)))


def _chair_legs(rng: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    style = rng.choice(["posts", "posts", "posts", "pedestal", "sled", "panels"])
    if style == "pedestal":
        return pedestal(rng, height, width * rng.uniform(0.4, 0.6))
    if style == "sled":
        return sled(rng, width * 0.9, depth * 0.9, height, rng.uniform(0.01, 0.018))
    if style == "panels":
        return panels(rng, width * 0.92, depth, height, 0.03)
    return posts(rng, corners(width * 0.88, depth * 0.88), height, rng.uniform(0.015, 0.035))


def _back(rng: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    """A back that rises from the rear edge of the seat and leans out: panel, slats, ladder or arch."""
    tall, post = rng.uniform(0.28, 0.75), rng.uniform(0.012, 0.025)
    side = width / 2 - post
    style = rng.choice(["panel", "floating", "slats", "ladder", "arch"])
    uprights = mirrored(tube([(side, 0, -0.04), (side, 0, tall)], post, int(rng.choice([4, 8]))), "x")
    if style == "panel":
        back = rounded_box((width, rng.uniform(0.02, 0.08), tall), 0.02, (0, 0, tall / 2 - 0.01))
    elif style == "floating":  # a pad held above a gap
        share = rng.uniform(0.3, 0.6)
        back = joined(uprights, rounded_box((width, 0.04, tall * share), 0.02, (0, 0, tall * (1 - share / 2))))
    elif style == "slats":
        rail = box((width, post * 2, tall * 0.15), (0, 0, tall * 0.92))
        places = np.linspace(-side, side, int(rng.integers(3, 8)) + 2)[1:-1]
        back = joined(uprights, rail, *(tube([(x, 0, -0.02), (x, 0, tall * 0.9)], post * 0.7, 4) for x in places))
    elif style == "ladder":
        levels = np.linspace(tall * 0.3, tall * 0.95, int(rng.integers(2, 6)))
        back = joined(uprights, *(box((width, post, tall * 0.08), (0, 0, z)) for z in levels))
    else:
        hoop = smoothed([(-side, 0, -0.02), (-side, 0, tall), (side, 0, tall), (side, 0, -0.02)], 3)
        places = np.linspace(-side, side, int(rng.integers(3, 7)) + 2)[1:-1]
        tops = tall * (0.93 - 0.45 * (places / side) ** 2)
        rods = [tube([(x, 0, -0.02), (x, 0, z)], post * 0.5, 5) for x, z in zip(places, tops, strict=True)]
        back = joined(tube(hoop, post, 8), *rods)
    return translated(rotated(back, "x", -rng.uniform(0, 18)), (0, depth / 2 - 0.02, height))


def _arms(rng: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    """A pair of arm rests on posts."""
    above, post = rng.uniform(0.16, 0.26), rng.uniform(0.012, 0.02)
    x, front = width / 2 + 0.01, -depth * rng.uniform(0.1, 0.4)
    rest = rounded_box((0.05, depth / 2 - front, 0.03), 0.01, (x, (front + depth / 2) / 2, height + above))
    support = tube([(x, front + 0.03, height - 0.03), (x, front + 0.03, height + above)], post)
    return mirrored(joined(rest, support), "x")


def _armchair(rng: np.random.Generator, width: float, depth: float, height: float) -> Mesh:
    """A block of upholstery: base, back and arms, with short feet or none."""
    arm, back, soft = rng.uniform(0.08, 0.18), rng.uniform(0.1, 0.22), rng.uniform(0.02, 0.07)
    lift = rng.uniform(0.05, 0.15) if rng.random() < 0.6 else 0.0
    tall, arm_height = height + rng.uniform(0.25, 0.55), height + rng.uniform(0.1, 0.22)
    parts = [
        rounded_box((width, depth, height - lift), soft, (0, 0, (height + lift) / 2)),
        rounded_box((width, back, tall - lift), soft, (0, depth / 2 - back / 2, (tall + lift) / 2)),
        rounded_box((width - 2 * arm, depth - back, 0.12), 0.05, (0, -back / 2, height + 0.03)),
    ]
    side = rounded_box((arm, depth, arm_height - lift), soft, (width / 2 - arm / 2, 0, (arm_height + lift) / 2))
    parts.append(mirrored(side, "x"))
    if lift:
        parts.append(posts(rng, corners(width * 0.85, depth * 0.85), lift, 0.025, most_splay=0.11, rails=False))
    return joined(*parts)
