"""What furniture stands on: posts, pedestals, sleds and panels, shared by chairs, stools, tables and beds."""

import numpy as np

from render.mesh import Mesh
from render.shapes.placement import joined, rotated, translated
from render.shapes.solids import Floats, box, cylinder, frustum, lathe, smoothed, torus, tube


def corners(width: float, depth: float) -> Floats:
    """Where four legs go: (4, 2) xy, counterclockwise from (+, +)."""
    return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width / 2, depth / 2)


def around(radius: float, num_legs: int) -> Floats:
    """Where legs under a round seat go: (num_legs, 2) xy."""
    angle = np.arange(num_legs) * (2 * np.pi / num_legs) + np.pi / 4
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def posts(
    rng: np.random.Generator,
    tops: Floats,
    height: float,
    radius: float,
    *,
    most_splay: float = 0.35,
    rails: bool = True,
) -> Mesh:
    """Straight, tapered or splayed legs, sometimes tied by rails.

    Args:
        rng: draws section, taper, splay and rails.
        tops: (L, 2) xy of the upper ends.
        height: of the upper ends.
        radius: of a leg.
        most_splay: the feet stand at most this share farther out than the tops.
        rails: whether rails between neighbours are allowed.
    """
    sides = int(rng.choice([4, 4, 10]))
    taper = rng.uniform(0.4, 1.0) if rng.random() < 0.6 else 1.0
    splay = rng.uniform(0.1, most_splay) if rng.random() < 0.5 else 0.0
    feet = tops * (1 + splay)
    low, high = np.column_stack([feet, np.zeros(len(tops))]), np.column_stack([tops, np.full(len(tops), height)])
    parts = [tube([foot, top], [radius * taper, radius], sides) for foot, top in zip(low, high, strict=True)]
    if rails and rng.random() < 0.4:
        at = rng.uniform(0.2, 0.6)
        ties = low + (high - low) * at
        parts += [tube([ties[i - 1], ties[i]], radius * 0.55, 6) for i in range(len(ties))]
    return joined(*parts)


def pedestal(rng: np.random.Generator, height: float, reach: float) -> Mesh:
    """One column on a disc, a turned foot or a star of feet.

    Args:
        rng: draws the style and proportions.
        height: of the column's top.
        reach: radius of the foot.
    """
    radius = reach * rng.uniform(0.1, 0.22)
    style = rng.choice(["disc", "turned", "star"])
    if style == "disc":
        foot = frustum(reach, reach * rng.uniform(0.5, 0.95), height * rng.uniform(0.03, 0.08))
        return joined(foot, cylinder(radius, height, 12))
    if style == "turned":
        waist = radius * rng.uniform(0.8, 1.6)
        profile = [(0, 0), (reach, 0), (reach * 0.9, height * 0.1), (waist, height * 0.2), (radius * 2.2, height * 0.5)]
        return lathe(smoothed([*profile, (radius, height * 0.75), (radius * 2, height), (0, height)]), 14)
    drop, num_feet = height * rng.uniform(0.12, 0.25), int(rng.integers(3, 6))
    foot = tube([(0, 0, drop), (reach, 0, radius * 0.6)], [radius, radius * 0.6], 6)
    feet = [rotated(foot, "z", 360 / num_feet * i + 45) for i in range(num_feet)]
    return joined(translated(cylinder(radius, height - drop * 0.7, 12), (0, 0, drop * 0.7)), *feet)


def sled(rng: np.random.Generator, width: float, depth: float, height: float, radius: float) -> Mesh:
    """Two bent-tube runners along y, closed at the bottom, or open at the back (a cantilever)."""
    back = depth / 2
    path = [(0, back, height), (0, back, radius), (0, -back, radius), (0, -back, height)]
    if rng.random() < 0.5:  # a cantilever hangs from its front legs
        path = path[1:]
    sides = int(rng.choice([4, 8]))
    runner = tube(_with_round_bends(np.array(path, np.float64), min(depth, height) * 0.15), radius, sides)
    parts = [translated(runner, (x, 0, 0)) for x in (-width / 2, width / 2)]
    parts.append(tube([(-width / 2, back, radius), (width / 2, back, radius)], radius, sides))
    return joined(*parts)


def panels(rng: np.random.Generator, width: float, depth: float, height: float, thickness: float) -> Mesh:
    """Two upright boards across x, sometimes tied by a stretcher."""
    share = rng.uniform(0.6, 1.0)
    parts = [box((thickness, depth * share, height), (x, 0, height / 2)) for x in (-width / 2, width / 2)]
    if rng.random() < 0.6:
        parts.append(box((width, thickness, height * 0.15), (0, 0, height * rng.uniform(0.25, 0.8))))
    return joined(*parts)


def foot_ring(radius: float, height: float, thickness: float) -> Mesh:
    """A ring to rest feet on, around a stool's legs."""
    return translated(torus(radius, thickness, 20, 6), (0, 0, height))


def _with_round_bends(path: Floats, radius: float) -> Floats:
    """The path (S, 3) with each of its S - 2 inner corners replaced by a short bend that starts `radius` before it."""
    bent = [path[:1]]
    for before, corner, after in zip(path[:-2], path[1:-1], path[2:], strict=True):
        arrive, leave = before - corner, after - corner
        arrive, leave = arrive / np.linalg.norm(arrive) * radius, leave / np.linalg.norm(leave) * radius
        bent.append(smoothed([corner + arrive, corner, corner + leave], 2))
    return np.concatenate([*bent, path[-1:]])
