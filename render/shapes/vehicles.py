"""Airplanes and cars, drawn at random: proportions, wings, engines, cabins, wheels. They head towards -y."""

import dataclasses

import numpy as np
import numpy.typing as npt

from render.mesh import Mesh
from render.shapes.placement import joined, mirrored, rotated, scaled, translated
from render.shapes.solids import box, cylinder, lathe, loft, rectangle, rounded_box, smoothed, sphere, torus, tube

# Corners of the wing section, seen from the tip: (share of the chord from the leading edge, share of the thickness).
_SECTION = np.array([(0.25, 0.6), (0.65, 0.4), (1.0, 0.0), (0.65, -0.25), (0.25, -0.4), (0.0, 0.0)])
# Cabin of each car: its foot on the body (from, to) and its roof as shares of the length from the nose; its height.
_CABINS = {
    "sedan": ((0.26, 0.86), (0.42, 0.72), 0.62),
    "hatchback": ((0.24, 0.98), (0.4, 0.88), 0.72),
    "coupe": ((0.36, 0.92), (0.52, 0.7), 0.5),
    "pickup": ((0.26, 0.6), (0.36, 0.57), 0.75),
    "van": ((0.06, 0.99), (0.2, 0.98), 1.15),
    "bus": ((0.01, 0.99), (0.03, 0.98), 1.7),
    "open": ((0.34, 0.42), (0.39, 0.43), 0.3),
}


@dataclasses.dataclass(frozen=True)
class _Planform:
    """A main wing, in object units: chords, half span, and where its leading edge starts and ends."""

    root: float
    tip: float
    span: float
    sweep: float
    rise: float
    start: tuple[float, float, float]

    def leading_edge(self, share: float) -> npt.NDArray[np.float64]:
        """The point (3,) of the leading edge at a share of the half span."""
        return np.array(self.start) + share * np.array([self.sweep, self.span, self.rise])


def airplane(rng: np.random.Generator) -> Mesh:
    """Airliner, propeller plane, glider, biplane or fighter; built with the nose at -x, then turned."""
    style = str(rng.choice(["airliner", "airliner", "propeller", "glider", "biplane", "fighter"]))
    length = rng.uniform(7, 14)
    radius = length * (rng.uniform(0.03, 0.045) if style == "glider" else rng.uniform(0.045, 0.075))
    wing = _planform(rng, style, length, radius)
    parts = [_fuselage(rng, length, radius), *_wings(rng, style, wing), *_tail(rng, style, length, radius)]
    if style == "airliner":
        parts += _jets(rng, wing, length, radius)
    if style in ("propeller", "biplane"):
        parts.append(translated(_propeller(rng, length * rng.uniform(0.1, 0.16)), (-length * 0.5, 0, 0)))
        parts.append(translated(_landing_gear(radius), (-length * 0.2, 0, 0)))
    return rotated(joined(*parts), "z", 90)


def _fuselage(rng: np.random.Generator, length: float, radius: float) -> Mesh:
    nose, tail = rng.uniform(0.08, 0.3), rng.uniform(0.2, 0.5)
    profile = [(0, 0), (0.6, 0.01), (1, nose * 0.6), (1, nose), (1, 1 - tail), (0.55, 0.85), (0.15, 1), (0, 1)]
    hull = lathe(np.concatenate([smoothed(profile[:-1], 2), profile[-1:]]) * (radius, length), 16)
    hull = translated(rotated(hull, "y", 90), (-length / 2, 0, 0))
    if rng.random() < 0.5:
        return hull
    cockpit = scaled(sphere(radius, 12, 8), (rng.uniform(1.5, 3), 0.6, 0.7))
    return joined(hull, translated(cockpit, (-length * rng.uniform(0.12, 0.3), 0, radius * 0.75)))


def _wing(root: float, tip: float, span: float, sweep: float, rise: float) -> Mesh:
    """Half a wing from the origin (its leading edge) towards +y; its tip lies `sweep` behind and `rise` above."""
    section = np.column_stack([_SECTION[:, 0], np.zeros(6), _SECTION[:, 1] * 0.12])
    return loft([section * (root, 1, root), section * (tip, 1, tip) + (sweep, span, rise)])


def _planform(rng: np.random.Generator, style: str, length: float, radius: float) -> _Planform:
    chord, tip, span, sweep = {  # as shares of the length, the tip's chord of the root's
        "airliner": (rng.uniform(0.16, 0.24), rng.uniform(0.2, 0.4), rng.uniform(0.38, 0.55), rng.uniform(0.14, 0.28)),
        "propeller": (rng.uniform(0.16, 0.24), rng.uniform(0.6, 1.0), rng.uniform(0.45, 0.7), rng.uniform(-0.02, 0.05)),
        "glider": (rng.uniform(0.1, 0.14), rng.uniform(0.3, 0.7), rng.uniform(0.8, 1.2), rng.uniform(0.0, 0.05)),
        "biplane": (rng.uniform(0.17, 0.24), rng.uniform(0.8, 1.0), rng.uniform(0.45, 0.6), rng.uniform(0.0, 0.05)),
        "fighter": (rng.uniform(0.35, 0.5), rng.uniform(0.08, 0.35), rng.uniform(0.24, 0.4), rng.uniform(0.2, 0.38)),
    }[style]
    level = radius * float(rng.choice([-0.6, 0.0, 0.85]))
    rise, back = rng.uniform(-0.02, 0.07), rng.uniform(0.08, 0.2)
    root, start = length * chord, (-length * back, 0.0, level)
    return _Planform(root, root * tip, length * span, length * sweep, length * rise, start)


def _wings(rng: np.random.Generator, style: str, wing: _Planform) -> list[Mesh]:
    """Both main wings (a biplane's four, with struts)."""
    half = _wing(wing.root, wing.tip, wing.span, wing.sweep, wing.rise)
    pair = translated(mirrored(half, "y"), wing.start)
    if style != "biplane":
        return [pair]
    gap = np.array([0, 0, wing.root * rng.uniform(0.6, 0.9)])
    feet = [wing.leading_edge(0.7) + np.array([wing.root * share, 0, 0]) for share in (0.25, 0.65)]
    struts = [mirrored(tube([foot, foot + gap], wing.root * 0.03, 6), "y") for foot in feet]
    return [pair, translated(pair, gap), *struts]


def _tail(rng: np.random.Generator, style: str, length: float, radius: float) -> list[Mesh]:
    """Fin and stabilisers: low, high on the fin (T), or two fins."""
    chord, tall, span = length * rng.uniform((0.1, 0.1, 0.12), (0.17, 0.18, 0.2))
    at = length * 0.5 - chord * 1.05
    fin = rotated(_wing(chord, chord * 0.5, tall, chord * rng.uniform(0.3, 0.9), 0), "x", 90)
    flat = mirrored(_wing(chord * 0.8, chord * 0.45, span, chord * rng.uniform(0.1, 0.6), 0), "y")
    if style == "fighter" and rng.random() < 0.6:
        fins = mirrored(translated(rotated(fin, "x", -rng.uniform(0, 25)), (0, radius * 0.9, 0)), "y")
        return [translated(fins, (at, 0, 0)), translated(flat, (at, 0, 0))]
    is_high = rng.random() < (0.7 if style == "glider" else 0.25)
    lift = (chord * 0.55, 0, tall * 0.95) if is_high else (0, 0, radius * 0.15)
    return [translated(fin, (at, 0, 0)), translated(translated(flat, lift), (at, 0, 0))]


def _jets(rng: np.random.Generator, wing: _Planform, length: float, radius: float) -> list[Mesh]:
    """One or two pairs of engines hung below the wings, or one pair at the tail."""
    size, long = radius * rng.uniform(0.4, 0.6), length * rng.uniform(0.08, 0.13)
    profile = [(0, 0.2), (0.6, 0.15), (0.95, 0), (1.05, 0.3), (0.6, 1), (0.0, 0.9)]
    engine = rotated(lathe(np.array(profile) * (size, long), 14), "y", 90)
    if rng.random() < 0.3:
        stub = box((long * 0.4, size * 2, size * 0.3), (long * 0.4, -size, 0))
        at = (length * 0.2, radius + size * 0.9, radius * 0.3)
        return [mirrored(translated(joined(engine, stub), at), "y")]
    pylon = box((long * 0.5, size * 0.2, size * 1.2), (long * 0.45, 0, size * 0.9))
    hung = translated(joined(engine, pylon), (-long * 0.4, 0, -size * 1.4))
    shares = [0.35] if rng.random() < 0.6 else [0.3, 0.6]
    return [mirrored(translated(hung, wing.leading_edge(share)), "y") for share in shares]


def _landing_gear(radius: float) -> Mesh:
    """Two fixed wheels on struts below a hull of that radius, whose axis is x."""
    wheel = rotated(cylinder(radius * 0.45, radius * 0.25, 12), "x", 90)
    strut = tube([(0, 0, 0), (0, -radius * 0.8, radius * 1.2)], radius * 0.1, 6)
    return mirrored(translated(joined(wheel, strut), (0, radius * 1.6, -radius * 1.8)), "y")


def _propeller(rng: np.random.Generator, reach: float) -> Mesh:
    """Blades in the yz plane around a spinner on x."""
    num_blades = int(rng.integers(2, 5))
    blade = box((reach * 0.05, reach * 0.2, reach), (0, 0, reach * 0.5))
    spinner = rotated(sphere(reach * 0.18, 10, 6), "y", 90)
    return joined(spinner, *(rotated(blade, "x", 360 / num_blades * i + 30) for i in range(num_blades)))


def car(rng: np.random.Generator) -> Mesh:
    """Sedan, hatchback, coupe, pickup, van, bus or open car; built with the nose at -x, then turned."""
    style = str(rng.choice(list(_CABINS)))
    length = rng.uniform(7, 11) if style == "bus" else rng.uniform(3.2, 5.2)
    width, wheel = rng.uniform(1.6, 2.0), rng.uniform(0.28, 0.4)
    clearance, body = wheel * rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.75)
    belt = clearance + body
    hull = rounded_box((length, width, body), rng.uniform(0.05, 0.25), (0, 0, clearance + body / 2))
    parts = [hull, _cabin(rng, style, length, width, belt), *_car_wheels(rng, length, width, wheel)]
    if style == "open":
        seats = [rounded_box((0.2, 0.5, 0.5), 0.08, (length * 0.08, y, belt + 0.15)) for y in (-0.4, 0.4)]
        parts += [*seats, rounded_box((length * 0.2, width * 0.7, 0.15), 0.05, (length * 0.35, 0, belt))]
    if style == "pickup":
        rail = box((length * 0.38, 0.06, 0.2), (length * 0.3, width / 2 - 0.06, belt + 0.08))
        parts += [mirrored(rail, "y"), box((0.06, width * 0.9, 0.2), (length * 0.49, 0, belt + 0.08))]
    if style not in ("open", "bus", "van") and rng.random() < 0.2:  # a spoiler
        parts.append(box((0.25, width * 0.8, 0.04), (length * 0.46, 0, belt + 0.25)))
        parts.append(mirrored(box((0.08, 0.05, 0.25), (length * 0.46, width * 0.3, belt + 0.12)), "y"))
    mirror = rounded_box((0.1, 0.18, 0.12), 0.03, (-length * 0.15, width / 2 + 0.06, belt + 0.08))
    return rotated(joined(*parts, mirrored(mirror, "y")), "z", 90)


def _cabin(rng: np.random.Generator, style: str, length: float, width: float, belt: float) -> Mesh:
    """The glass house on the body, its roof smaller than its foot."""
    foot, roof, tall = _CABINS[style]
    tall *= rng.uniform(0.85, 1.15)
    slim = rng.uniform(0.86, 0.96) if style in ("bus", "van") else rng.uniform(0.7, 0.88)
    ends = np.clip(np.array([foot, roof]) + rng.uniform(-0.02, 0.02, (2, 2)), 0.01, 0.99)
    rings = []
    for level, inset in ((0.0, 0.97), (0.85, slim + 0.04), (1.0, slim)):
        front, rear = (1 - level) * ends[0] + level * ends[1] + (0.03 * (level == 1)) * np.array([1, -1])
        outline = rectangle(length * (rear - front), width * inset) + np.array([length * ((front + rear) / 2 - 0.5), 0])
        rings.append(np.column_stack([outline, np.full(4, belt - 0.03 + tall * level)]))
    return loft(np.stack(rings))


def _car_wheels(rng: np.random.Generator, length: float, width: float, radius: float) -> list[Mesh]:
    """Two axles (a long car may have three), each with a pair of tyres."""
    thick = radius * rng.uniform(0.45, 0.7)
    hub = translated(cylinder(radius * 0.75, thick * 0.6, 14), (0, 0, -thick * 0.3))
    tyre = rotated(joined(torus(radius - thick / 2, thick / 2, 18, 8), hub), "x", 90)
    axles = [-0.5 + rng.uniform(0.15, 0.22), 0.5 - rng.uniform(0.15, 0.25)]
    if length > 7 and rng.random() < 0.5:
        axles.append(axles[1] - 2.3 * radius / length)
    return [mirrored(translated(tyre, (length * x, width / 2 - thick * 0.2, radius)), "y") for x in axles]
