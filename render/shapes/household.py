"""Things around the house, drawn at random: lamps, mugs, bottles, guitars."""

import numpy as np

from render.mesh import Mesh
from render.shapes.legs import around
from render.shapes.placement import joined, mirrored, rotated, scaled, translated
from render.shapes.solids import Floats, box, cylinder, frustum, lathe, prism, rectangle, smoothed, sphere, torus, tube


def lamp(rng: np.random.Generator) -> Mesh:
    """A shade on a stem: floor, table or desk lamp."""
    style = rng.choice(["floor", "table", "table", "desk"])
    height = rng.uniform(1.2, 1.8) if style == "floor" else rng.uniform(0.35, 0.7)
    shade = height * (rng.uniform(0.1, 0.2) if style == "floor" else rng.uniform(0.22, 0.42))
    reach = shade * rng.uniform(0.55, 1.1)
    stem = height * rng.uniform(0.008, 0.02)
    if style == "desk":
        return _desk_lamp(rng, height, reach * 0.8, stem * 1.4)
    parts = [translated(_shade(rng, shade), (0, 0, height)), cylinder(stem, height, 8)]
    foot = rng.choice(["disc", "tripod", "vase"] if style == "table" else ["disc", "tripod"])
    if foot == "tripod":
        feet, knot = around(reach * 1.2, 3), height * rng.uniform(0.55, 0.9)
        parts[1] = translated(cylinder(stem, height - knot, 8), (0, 0, knot))
        parts += [tube([(x, y, 0), (0, 0, knot)], stem, 6) for x, y in feet]
    elif foot == "disc":
        parts.append(frustum(reach, reach * rng.uniform(0.3, 0.95), height * rng.uniform(0.02, 0.06), 20))
    else:
        radii = shade * rng.uniform(0.15, 0.65, 4)
        body = height * rng.uniform(0.4, 0.65)
        profile = [(0, 0), (radii[0], 0), (radii[1], body / 3), (radii[2], body * 0.66), (stem * 1.5, body), (0, body)]
        parts.append(lathe(smoothed(profile, 2), int(rng.choice([4, 6, 16, 16]))))
    return joined(*parts)


def _shade(rng: np.random.Generator, radius: float) -> Mesh:
    """A lamp shade hung around the origin: drum, cone, empire (curved), square, globe or bowl."""
    tall, wall = radius * rng.uniform(0.8, 1.7), radius * 0.03
    style = rng.choice(["drum", "cone", "empire", "square", "globe", "bowl"])
    if style == "globe":
        return scaled(sphere(radius * 0.8, 18, 10), (1, 1, rng.uniform(0.7, 1.1)))
    top = radius * {"drum": rng.uniform(0.85, 1), "bowl": 1.25}.get(str(style), rng.uniform(0.3, 0.65))
    waist = radius * 0.55 if style == "empire" else (radius + top) / 2
    if style == "bowl":  # opens upwards
        radius, waist = radius * 0.2, radius
    line = smoothed([(radius, -tall / 2), (waist, 0), (top, tall / 2)], 2 if style in ("empire", "bowl") else 0)
    shell = np.concatenate([line, line[::-1] - (wall, 0)])
    return lathe(shell, 4 if style == "square" else 20, closed=True)


def _desk_lamp(rng: np.random.Generator, height: float, reach: float, stem: float) -> Mesh:
    """Two arms with an elbow, and a conical head that looks down in front (-y)."""
    elbow, tip = (0, reach * rng.uniform(0.3, 1.2), height * 0.55), (0, -reach * rng.uniform(0.6, 1.6), height)
    arms = [tube([(0, 0, 0.02), elbow], stem, 8), tube([elbow, tip], stem, 8)]
    joint = translated(sphere(stem * 1.8, 10, 6), elbow)
    foot = cylinder(reach * rng.uniform(0.6, 1.0), 0.02, 20)
    size, wall = height * rng.uniform(0.1, 0.2), height * 0.004
    long = size * rng.uniform(0.8, 1.8)
    outer = smoothed([(size, -long), (size * rng.uniform(0.45, 1.05), -long / 2), (size * 0.3, 0)], 1)
    inner = outer[::-1] - (wall, 0)
    inner[0, 1] = -long * 0.05
    head = lathe(np.concatenate([[(0, -long * 0.05)], inner, outer, [(0, 0)]]), 18)
    head = rotated(head, "x", -rng.uniform(0, 50))
    return joined(*arms, joint, foot, translated(head, tip))


def mug(rng: np.random.Generator) -> Mesh:
    """A cup with a wall, an inside and a handle at +x; sometimes on a saucer, sometimes a tall stein."""
    radius, tall = rng.uniform(0.032, 0.05), rng.uniform(0.06, 0.14)
    wall, sides = radius * rng.uniform(0.06, 0.12), int(rng.choice([24, 24, 24, 8]))
    style = rng.choice(["straight", "taper", "barrel", "waist", "bowl"])
    shares = {
        "straight": (1.0, 1.0, 1.0),
        "taper": (rng.uniform(0.6, 0.85), 0.9, 1.0),
        "barrel": (0.85, 1.15, 0.9),
        "waist": (1.0, 0.75, 1.05),
        "bowl": (0.45, 1.1, 1.15),
    }[str(style)]
    outer = smoothed(np.column_stack([radius * np.array(shares), [0, tall / 2, tall]]), 2)
    inner = outer[::-1] - (wall, 0)
    inner[-1, 1] = tall * 0.05
    parts = [lathe(np.concatenate([[(0, 0)], outer, inner, [(0, tall * 0.05)]]), sides)]
    low, high = tall * rng.uniform(0.12, 0.3), tall * rng.uniform(0.7, 0.92)
    feet = [float(np.interp(z, outer[:, 1], outer[:, 0])) - wall for z in (low, high)]
    parts.append(_handle(rng, feet[0], low, feet[1], high))
    if rng.random() < 0.2:
        plate = radius * rng.uniform(1.5, 2.1)
        saucer = [(0, -0.006), (plate * 0.5, -0.006), (plate, 0.006), (plate * 0.98, 0.009), (plate * 0.5, 0), (0, 0)]
        parts.append(lathe(saucer, 24))
    return joined(*parts)


def _handle(rng: np.random.Generator, low_x: float, low: float, high_x: float, high: float) -> Mesh:
    """A handle in the xz plane from (low_x, low) to (high_x, high): round, square or ear-shaped."""
    out = max(low_x, high_x) + (high - low) * rng.uniform(0.35, 0.75)
    style = rng.choice(["round", "square", "ear"])
    middle = {
        "round": [(out, low), (out, high)],
        "square": [(out - 0.006, low), (out, low + 0.006), (out, high - 0.006), (out - 0.006, high)],
        "ear": [(out * 0.85, low), (out * 0.85, (low + high) / 2), (out * 1.1, high)],
    }[str(style)]
    line = smoothed([(low_x, low), *middle, (high_x, high)], 1 if style == "square" else 3)
    path = np.column_stack([line[:, 0], np.zeros(len(line)), line[:, 1]])
    return tube(path, rng.uniform(0.0035, 0.007), int(rng.choice([4, 8])))


def bottle(rng: np.random.Generator) -> Mesh:
    """Body, shoulder, neck and cap: wine, flask, jar, jug or a square one; a jug's handle makes it nearly a mug."""
    height = rng.uniform(0.16, 0.34)
    radius, sides = height * rng.uniform(0.11, 0.27), int(rng.choice([24, 24, 24, 6, 4]))
    neck, rise = radius * rng.uniform(0.22, 0.6), height * rng.uniform(0.35, 0.72)
    slope = height * rng.uniform(0.06, 0.25)
    waist, foot = radius * rng.choice([1.0, 1.0, rng.uniform(0.75, 1.2)]), radius * rng.uniform(0.85, 1.0)
    body = [(0, 0), (foot, 0), (radius, height * 0.04), (waist, rise / 2), (radius, rise), (neck, rise + slope)]
    mouth = [(neck, height), (0, height)]
    rounds = int(rng.integers(1, 3))
    parts = [lathe(np.concatenate([body[:2], smoothed(body[1:], rounds)[1:], mouth]), sides)]
    finish = rng.choice(["cap", "cork", "ring", "pump"])
    if finish == "cap":
        cap = cylinder(neck * rng.uniform(1.1, 1.4), height * rng.uniform(0.05, 0.12), 18)
        parts.append(translated(cap, (0, 0, height * 0.96)))
    elif finish == "cork":
        parts.append(translated(frustum(neck * 0.75, neck * 0.85, height * 0.07, 14), (0, 0, height)))
    elif finish == "ring":
        parts.append(translated(torus(neck, neck * 0.2, 18, 6), (0, 0, height * 0.97)))
    else:
        up, out = height * 0.12, -radius
        spout = smoothed([(0, 0, 0), (0, 0, up), (0, out, up), (0, out, up * 0.75)], 2)
        parts.append(translated(tube(spout, neck * 0.25, 8), (0, 0, height)))
        parts.append(translated(cylinder(neck * 1.15, height * 0.05, 18), (0, 0, height * 0.97)))
    if rng.random() < 0.18:
        parts.append(_handle(rng, radius * 0.9, rise * 0.4, neck * 0.9, min(rise + slope * 1.1, height * 0.9)))
    return joined(*parts)


def guitar(rng: np.random.Generator) -> Mesh:
    """A guitar on end, neck up, strings towards -y: acoustic, electric or ukulele."""
    style = rng.choice(["acoustic", "acoustic", "electric", "ukulele"])
    scale = 0.55 if style == "ukulele" else 1.0
    body, width = rng.uniform(0.4, 0.52) * scale, rng.uniform(0.3, 0.42) * scale
    thick = 0.04 if style == "electric" else rng.uniform(0.07, 0.12) * scale
    neck, neck_width = body * rng.uniform(0.85, 1.25), 0.05 * scale
    outline = _guitar_outline(rng, body, width, style == "electric")
    lay = rotated(prism(outline, thick), "x", 90)  # the outline's y becomes up, its front looks to -y
    front = -thick
    head = 0.17 * scale
    top = body * 0.55 + neck
    board = box((neck_width, 0.02 * scale, neck + body * 0.3), (0, front, top - (neck + body * 0.3) / 2))
    width_at_head = rng.uniform(1.2, 1.8)
    sheet = prism(rectangle(neck_width * width_at_head, head, 0.01), 0.015 * scale)
    headstock = translated(rotated(sheet, "x", 90 - rng.uniform(0, 15)), (0, front + 0.01, top + head / 2))
    parts = [lay, board, headstock, box((width * 0.35, 0.02, 0.02), (0, front - 0.005, -body * 0.3))]
    num_pegs = 2 if style == "ukulele" else 3
    for z in top + head * np.linspace(0.25, 0.85, num_pegs):
        peg = tube([(0, front + 0.01, z), (neck_width * width_at_head * 0.5 + 0.025, front + 0.01, z)], 0.008, 6)
        parts.append(mirrored(peg, "x"))
    if style == "electric":
        parts += [box((width * 0.25, 0.015, 0.03), (0, front, z * body)) for z in (-0.15, 0.05)]
    else:
        hole = rotated(torus(width * 0.14, 0.008, 20, 6), "x", 90)
        parts.append(translated(hole, (0, front, body * 0.1)))
    return rotated(joined(*parts), "y", rng.uniform(-12, 12))


def _guitar_outline(rng: np.random.Generator, body: float, width: float, has_horns: bool) -> Floats:
    """The body around the origin, y along the neck: (K, 2), counterclockwise from the bottom."""
    upper, waist = rng.uniform(0.65, 0.95), rng.uniform(0.48, 0.75)
    form = "horns" if has_horns else rng.choice(["bouts", "bouts", "pear", "round"])
    if form == "pear":
        side = [(0, -0.5), (0.8, -0.5), (1.1, -0.2), (0.7, 0.15), (0.25, 0.5), (0, 0.5)]
    elif form == "round":
        side = [(0, -0.5), (0.6, -0.5), (1.15, -0.25), (1.15, 0.25), (0.6, 0.5), (0, 0.5)]
    else:  # two bouts and a waist
        side = [(0, -0.5), (0.55, -0.5), (1.05, -0.42), (1.05, -0.12), (waist, 0.08), (upper, 0.2), (upper, 0.45)]
        side += [(0.62, 0.62), (0.3, 0.48), (0, 0.36)] if has_horns else [(0.5, 0.5), (0, 0.5)]
    right = smoothed(side, 2)
    left = right[-2:0:-1] * (-1, 1)
    if form in ("horns", "bouts") and rng.random() < 0.5:  # a cutaway: one shoulder lower than the other
        high = left[:, 1] > 0.25
        left[high, 1] = 0.25 + (left[high, 1] - 0.25) * rng.uniform(0.3, 0.8)
    return np.concatenate([right, left]) * (width / 2, body)
