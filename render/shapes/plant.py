"""Potted plants, drawn at random: the pot, and what grows in it (leaves, cactus, bush, conifer, flowers)."""

import numpy as np

from render.mesh import Mesh
from render.shapes.placement import joined, rotated, scaled, translated
from render.shapes.solids import frustum, lathe, loft, rounded_box, smoothed, sphere, torus, tube


def plant(rng: np.random.Generator) -> Mesh:
    """A plant in a pot; the pots look like mugs and vases."""
    radius, tall = rng.uniform(0.08, 0.18), rng.uniform(0.1, 0.32)
    height = tall * 0.5 + rng.uniform(0.2, 0.8)
    grow = {"leaves": _leaves, "cactus": _cactus, "bush": _bush, "conifer": _conifer, "flowers": _flowers}
    style = str(rng.choice(["leaves", "leaves", "cactus", "bush", "conifer", "flowers"]))
    return joined(_pot(rng, radius, tall), translated(grow[style](rng, height, radius), (0, 0, tall * 0.85)))


def _pot(rng: np.random.Generator, radius: float, tall: float) -> Mesh:
    """A pot filled to 85 % with earth: tapered with a rim, square, bowl-shaped, or round-bellied."""
    style = rng.choice(["classic", "square", "bowl", "belly"])
    if style == "square":
        return rounded_box((radius * 1.8, radius * 1.8, tall), 0.01, (0, 0, tall / 2))
    foot = radius * rng.uniform(0.5, 0.85)
    earth = [(radius * 0.88, tall), (radius * 0.86, tall * 0.85), (0, tall * 0.85)]
    if style == "classic":
        rim = [(radius * 0.9, tall * 0.78), (radius, tall * 0.78), (radius, tall)]
        return lathe([(0, 0), (foot, 0), *rim, *earth], 20)
    belly = radius * (1.35 if style == "belly" else 1.0)
    wall = smoothed([(foot, 0), (belly, tall * 0.25), (belly, tall * 0.7), (radius, tall)], 2)
    return lathe(np.concatenate([[(0, 0)], wall, earth]), 20)


def _leaf(length: float, width: float, lift: float, droop: float) -> Mesh:
    """One leaf blade from the origin along +x: `lift` is its slope at the root, `droop` the share it sinks again."""
    at = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    middle = length * np.column_stack([at, 0 * at, lift * at - droop * at**2])
    half = width / 2 * np.array([0.7, 1.0, 0.6])
    section = np.array([(0.0, 1.0, 0.0), (0.0, 0.0, 0.15), (0.0, -1.0, 0.0), (0.0, 0.0, -0.15)])
    rings = middle[1:-1, None] + half[:, None, None] * section
    return loft(rings, middle[0], middle[-1])


def _leaves(rng: np.random.Generator, height: float, radius: float) -> Mesh:
    """Long leaves in a spiral, from the earth or from the top of a stem (a palm)."""
    num_leaves, stem = int(rng.integers(7, 26)), height * rng.uniform(0.3, 0.7)
    is_palm = rng.random() < 0.4
    length, slim = height * rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.4)
    lift = rng.uniform(0.8, 2.2)
    droop = lift * rng.uniform(0.15, 0.8)  # less than the lift: a tip does not hang below its root, through the pot
    parts = []
    for number in range(num_leaves):
        size = length * rng.uniform(0.7, 1.1) / (1 + lift / 2)
        blade = _leaf(size, size * slim, lift * rng.uniform(0.9, 1.2), droop * rng.uniform(0.8, 1.1))
        parts.append(rotated(blade, "z", 137.5 * number + rng.uniform(-15, 15)))
    crown = joined(*parts)
    if not is_palm:
        return crown
    lean = rng.uniform(-0.1, 0.1, 2) * stem
    trunk = tube([(0, 0, -0.01), (*lean / 3, stem / 2), (*lean, stem)], radius * rng.uniform(0.08, 0.2), 8)
    return joined(trunk, translated(crown, (*lean, stem * 0.98)))


def _cactus(rng: np.random.Generator, height: float, radius: float) -> Mesh:
    """A column with bent arms, or a ribbed ball."""
    if rng.random() < 0.35:
        ball = radius * rng.uniform(0.7, 1.1)
        stretch = rng.uniform(0.8, 1.6)
        ridge = torus(ball * 0.86, ball * 0.2, 18, 6)
        ribs = [rotated(rotated(ridge, "x", 90), "z", angle) for angle in range(0, 180, 30)]
        return translated(scaled(joined(sphere(ball, 16, 8), *ribs), (1, 1, stretch)), (0, 0, ball * stretch * 0.85))
    thick = radius * rng.uniform(0.25, 0.5)
    parts = [tube([(0, 0, -0.01), (0, 0, height - thick / 2), (0, 0, height)], [thick, thick, thick * 0.5], 10)]
    for number in range(int(rng.integers(1, 4))):
        start, out, rise = height * rng.uniform(0.2, 0.55), thick * rng.uniform(2, 3.5), height * rng.uniform(0.2, 0.4)
        bend = smoothed([(0, 0, start), (out, 0, start), (out, 0, start + rise)], 2)
        sizes = np.full(len(bend), thick * 0.65)
        sizes[-1] *= 0.6
        parts.append(rotated(tube(bend, sizes, 8), "z", 137.5 * number + rng.uniform(-30, 30)))
    return joined(*parts)


def _bush(rng: np.random.Generator, height: float, radius: float) -> Mesh:
    """A ball or cloud of foliage on a short trunk."""
    trunk = height * rng.uniform(0.15, 0.6)
    parts = [tube([(0, 0, -0.01), (0, 0, height * 0.8)], radius * 0.12, 8)]
    crown = max(height - trunk, radius)
    num_balls = int(rng.integers(1, 9))
    spread = 0.0 if num_balls == 1 else crown * rng.uniform(0.15, 0.32)
    for _ in range(num_balls):
        size = crown * rng.uniform(0.28, 0.42)
        offset = rng.uniform(-1, 1, 3) * spread + np.array([0, 0, trunk + crown / 2])
        parts.append(translated(sphere(size, 12, 7), offset))
    return joined(*parts)


def _conifer(rng: np.random.Generator, height: float, radius: float) -> Mesh:
    """Stacked cones on a trunk."""
    num_tiers, reach = int(rng.integers(1, 5)), radius * rng.uniform(1.0, 2.0)
    base = height * rng.uniform(0.1, 0.3)
    parts = [tube([(0, 0, -0.01), (0, 0, height * 0.7)], radius * 0.15, 8)]
    step = (height - base) / (num_tiers + 0.6)
    for tier in range(num_tiers):
        cone = frustum(reach * (1 - 0.75 * tier / num_tiers), 0.0, step * 1.6, 16)
        parts.append(translated(cone, (0, 0, base + tier * step)))
    return joined(*parts)


def _flowers(rng: np.random.Generator, height: float, radius: float) -> Mesh:
    """Thin stems, each with a ring of petals around a bud."""
    num_petals, size = int(rng.integers(5, 9)), radius * rng.uniform(0.35, 0.6)
    petal = _leaf(size, size * 0.6, rng.uniform(0.1, 0.8), 0.2)
    bloom = joined(sphere(size * 0.3, 8, 5), *(rotated(petal, "z", 360 / num_petals * i) for i in range(num_petals)))
    parts = []
    for number in range(int(rng.integers(2, 8))):
        out, rise = radius * rng.uniform(0.3, 1.4), height * rng.uniform(0.5, 1.0)
        stem = tube(smoothed([(out * 0.2, 0, -0.01), (out * 0.4, 0, rise * 0.6), (out, 0, rise)], 1), 0.006, 5)
        leaf = translated(_leaf(size * 1.2, size * 0.5, 0.8, 0.6), (out * 0.3, 0, rise * 0.3))
        flower = joined(stem, leaf, translated(rotated(bloom, "y", rng.uniform(0, 40)), (out, 0, rise)))
        parts.append(rotated(flower, "z", 137.5 * number))
    return joined(*parts)
