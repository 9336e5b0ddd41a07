"""Closed parametric solids as triangle meshes: box, cylinder, sphere, torus, lathe, tube. No placing, no whole objects.

Everything is one idea, `loft`: rings of points, skinned in order and capped. Frame: +z up. Winding: counterclockwise
seen from outside, so a closed solid has a positive signed volume.
"""

import numpy as np
import numpy.typing as npt

from render.mesh import Mesh

Floats = npt.NDArray[np.float64]


def circle(radius: float, sides: int) -> Floats:
    """Regular polygon, counterclockwise: (sides, 2), a flat side (not a corner) towards +x, corners at `radius`."""
    angle = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def rectangle(width: float, depth: float, corner_radius: float = 0.0, corner_steps: int = 2) -> Floats:
    """Rectangle outline around the origin, counterclockwise: (K, 2), K = 4, or 4 (corner_steps + 1) with round corners.

    Args:
        width: extent along x.
        depth: extent along y.
        corner_radius: 0 for sharp corners; cut to a quarter of the shorter side.
        corner_steps: segments of each round corner.
    """
    corners = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]) * (width / 2, depth / 2)
    if corner_radius <= 0:
        return corners
    radius = min(corner_radius, width / 4, depth / 4)
    inner = corners - np.sign(corners) * radius
    angle = np.linspace(0, np.pi / 2, corner_steps + 1) + np.arange(4)[:, None] * np.pi / 2  # (4, corner_steps + 1)
    rounded = inner[:, None] + radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.asarray(rounded.reshape(-1, 2), np.float64)


def smoothed(points: npt.ArrayLike, rounds: int = 2) -> Floats:
    """A polyline with its corners cut (Chaikin): the ends stay, and nothing leaves the hull of the points.

    Args:
        points: (P, D), P >= 2.
        rounds: cuts; each about doubles the number of points.

    Returns:
        (Q, D) float64.
    """
    line = np.asarray(points, np.float64)
    for _ in range(rounds):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        cut = np.stack([near, far], axis=1).reshape(-1, line.shape[1])
        line = np.concatenate([line[:1], cut[1:-1], line[-1:]])
    return line


def loft(
    rings: npt.ArrayLike, start: npt.ArrayLike | None = None, end: npt.ArrayLike | None = None, *, closed: bool = False
) -> Mesh:
    """Skin over consecutive rings, capped by a fan at both ends.

    Args:
        rings: (S, K, 3), each counterclockwise seen against the direction of travel (from the last ring).
        start: (3,) where the first cap's fan meets, the ring being star-shaped from it; None for the mean of the ring.
        end: likewise for the last cap.
        closed: the last ring is joined to the first, and there are no caps.

    Returns:
        Mesh of 2 S K faces.
    """
    stack = np.asarray(rings, np.float64)
    num_rings, num_sides = stack.shape[:2]
    index = np.arange(num_rings * num_sides, dtype=np.int64).reshape(num_rings, num_sides)
    low, high = (index, np.roll(index, -1, axis=0)) if closed else (index[:-1], index[1:])
    low_next, high_next = np.roll(low, -1, axis=1), np.roll(high, -1, axis=1)
    faces = [np.stack([low, low_next, high_next], axis=-1), np.stack([low, high_next, high], axis=-1)]
    vertices = [stack.reshape(-1, 3)]
    if not closed:
        first, last = index[0], index[-1]
        tips = [stack[0].mean(axis=0) if start is None else start, stack[-1].mean(axis=0) if end is None else end]
        vertices.append(np.asarray(tips, np.float64))
        faces.append(np.stack([np.full_like(first, index.size), np.roll(first, -1), first], axis=-1))
        faces.append(np.stack([np.full_like(last, index.size + 1), last, np.roll(last, -1)], axis=-1))
    return Mesh(np.concatenate(vertices), np.concatenate([part.reshape(-1, 3) for part in faces]))


def prism(outline: npt.ArrayLike, height: float, top_scale: float = 1.0) -> Mesh:
    """An outline raised from z = 0 to `height`.

    Args:
        outline: (K, 2) xy, counterclockwise, star-shaped from the mean of its points.
        height: object units.
        top_scale: size of the upper outline over the lower one.
    """
    flat = np.asarray(outline, np.float64)
    bottom = np.column_stack([flat, np.zeros(len(flat))])
    top = np.column_stack([flat * top_scale, np.full(len(flat), height)])
    return loft([bottom, top])


def box(size: npt.ArrayLike, center: npt.ArrayLike = (0.0, 0.0, 0.0)) -> Mesh:
    """Axis-aligned box of extents `size` (3,) around `center` (3,)."""
    width, depth, height = (float(extent) for extent in np.asarray(size, np.float64))
    solid = prism(rectangle(width, depth), height)
    return Mesh(solid.vertices + (np.asarray(center, np.float64) - (0, 0, height / 2)), solid.faces)


def rounded_box(size: npt.ArrayLike, radius: float, center: npt.ArrayLike = (0.0, 0.0, 0.0)) -> Mesh:
    """Box of extents `size` (3,) around `center` (3,), edges rounded by at most `radius`: a cushion, a mattress."""
    width, depth, height = (float(extent) for extent in np.asarray(size, np.float64))
    radius = min(radius, width / 4, depth / 4, height / 2.2)
    outline = rectangle(width, depth, radius)
    angle = np.radians([0, 45, 90])
    inset = np.concatenate([radius * (1 - np.sin(angle)), radius * (1 - np.sin(angle))[::-1]])
    drop = radius * (1 - np.cos(angle))
    heights = np.concatenate([drop - height / 2, height / 2 - drop[::-1]])
    shrink = 1 - 2 * inset[:, None] / (width, depth)  # (6, 2)
    rings = [np.column_stack([outline * xy, np.full(len(outline), z)]) for xy, z in zip(shrink, heights, strict=True)]
    return loft(np.stack(rings) + np.asarray(center, np.float64))


def lathe(profile: npt.ArrayLike, sides: int = 24, *, closed: bool = False) -> Mesh:
    """Surface of revolution about z.

    Args:
        profile: (P, 2) radius and z. Upwards is the outside: go up the outer wall, then down the inner one. A first or
            last radius of 0 makes a pole, any other a flat cap.
        sides: corners of each ring.
        closed: the last point is joined to the first (a shell or a ring, counterclockwise in the (radius, z) plane).
    """
    points = np.asarray(profile, np.float64)
    start = end = None
    if not closed and points[0, 0] == 0:
        start, points = np.array([0.0, 0.0, points[0, 1]]), points[1:]
    if not closed and points[-1, 0] == 0:
        end, points = np.array([0.0, 0.0, points[-1, 1]]), points[:-1]
    ring = circle(1.0, sides)
    flat = points[:, None, :1] * ring  # (P, sides, 2)
    height = np.broadcast_to(points[:, None, 1:], (len(points), sides, 1))
    return loft(np.concatenate([flat, height], axis=-1), start, end, closed=closed)


def cylinder(radius: float, height: float, sides: int = 24) -> Mesh:
    """Cylinder with caps, from z = 0 to `height`; the corners of its `sides`-gon lie on the radius."""
    return frustum(radius, radius, height, sides)


def frustum(bottom_radius: float, top_radius: float, height: float, sides: int = 24) -> Mesh:
    """Cut cone with caps, from z = 0 to `height`; a radius of 0 makes the tip of a cone."""
    profile = [(bottom_radius, 0.0), (top_radius, height)]
    return lathe(profile, sides)


def sphere(radius: float, sides: int = 20, stacks: int = 10) -> Mesh:
    """Sphere around the origin, poles on z, `sides` meridians and `stacks` bands."""
    angle = np.linspace(0, np.pi, stacks + 1)
    profile = radius * np.stack([np.sin(angle), -np.cos(angle)], axis=1)
    profile[[0, -1], 0] = 0  # sin(pi) is not exactly 0, and a pole must be
    return lathe(profile, sides)


def torus(radius: float, tube_radius: float, sides: int = 24, tube_sides: int = 8, degrees: float = 360.0) -> Mesh:
    """Ring about z around the origin, or an arc of it from +x towards +y with capped ends (a handle).

    Args:
        radius: from the axis to the middle of the tube.
        tube_radius: of the tube.
        sides: segments along the ring.
        tube_sides: corners of the tube's section.
        degrees: length of the arc.
    """
    if degrees >= 360:
        return lathe(circle(tube_radius, tube_sides) + np.array([radius, 0]), sides, closed=True)
    angle = np.radians(np.linspace(0, degrees, sides + 1))
    return tube(radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1), tube_radius, tube_sides)


def tube(path: npt.ArrayLike, radius: npt.ArrayLike, sides: int = 8) -> Mesh:
    """Tube along a path, capped; with 4 sides a bar (its half side is radius / sqrt(2), upright bars are axis-aligned).

    Args:
        path: (S, 3), S >= 2, no two consecutive points equal.
        radius: one for all or (S,), one for each point; positive.
        sides: corners of the section.
    """
    points = np.asarray(path, np.float64)
    steps = np.diff(points, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    tangents = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normal = np.eye(3)[np.abs(tangents[0]).argmin()]
    section = circle(1.0, sides)
    rings = []
    for point, tangent, size in zip(points, tangents, np.broadcast_to(radius, len(points)), strict=True):
        normal = normal - tangent * (normal @ tangent)  # carried along the path, so that the tube does not twist
        normal /= np.linalg.norm(normal)
        rings.append(point + size * section @ np.stack([normal, np.cross(tangent, normal)]))
    return loft(rings)
