"""Triton kernels of the point operations, for CUDA; also run by Triton's interpreter. Needs triton to import.

Distances are float32 and add the squares in the order of the axes; the launches forbid fused multiply-adds, so indices are
those of `tap.ops.reference`. A whole cloud lies in the registers of one program, `block` points with those beyond its end.
"""

import triton
import triton.language as tl


@triton.jit
def sample_farthest(  # type: ignore[no-untyped-def]
    points, mask, indices, num_points, num_samples, has_mask: tl.constexpr, block: tl.constexpr
):
    """Indices (B, S) from points (B, N, 3), one program a cloud; the distances to the samples so far never leave the chip."""
    cloud = tl.program_id(0).to(tl.int64)
    points += cloud * num_points * 3
    place = tl.arange(0, block)
    x, y, z = _load_points(points, place, num_points)
    distance = tl.where(_load_mask(mask, cloud, place, num_points, has_mask), float("inf"), -1.0)
    distance = tl.where(place < num_points, distance, -2.0)  # behind the points outside the mask
    latest = tl.argmax(distance, 0, tie_break_left=True)
    for step in range(num_samples):
        tl.store(indices + cloud * num_samples + step, latest.to(tl.int64))
        dx = x - tl.load(points + latest * 3)
        dy = y - tl.load(points + latest * 3 + 1)
        dz = z - tl.load(points + latest * 3 + 2)
        distance = tl.minimum(distance, dx * dx + dy * dy + dz * dz)
        latest = tl.argmax(distance, 0, tie_break_left=True)


@triton.jit
def query_balls(  # type: ignore[no-untyped-def]
    points, centers, mask, indices, squared_radius, num_points, num_centers, num_neighbors,
    has_mask: tl.constexpr, block: tl.constexpr, slots: tl.constexpr,
):  # fmt: skip
    """Indices (B, G, K) of the first points (B, N, 3) in the ball of each center (B, G, 3), one program a center."""
    center, cloud = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    points += cloud * num_points * 3
    centers += (cloud * num_centers + center) * 3
    indices += (cloud * num_centers + center) * num_neighbors
    x, y, z = tl.load(centers), tl.load(centers + 1), tl.load(centers + 2)
    found, first, begin = 0, num_points, 0
    while (begin < num_points) & (found < num_neighbors):
        place = begin + tl.arange(0, block)
        inside = _load_mask(mask, cloud, place, num_points, has_mask)
        inside = inside & (_squares(points, place, num_points, x, y, z) < squared_radius)
        slot = found + tl.cumsum(inside.to(tl.int32), 0) - 1
        tl.store(indices + slot, place.to(tl.int64), mask=inside & (slot < num_neighbors))
        first = tl.minimum(first, tl.min(tl.where(inside, place, num_points), 0))
        found += tl.sum(inside.to(tl.int32), 0)
        begin += block
    slot = tl.arange(0, slots)
    first = tl.where(found > 0, first, 0)
    filling = tl.zeros([slots], tl.int64) + first
    tl.store(indices + slot, filling, mask=(slot >= found) & (slot < num_neighbors))


@triton.jit
def nearest_points(  # type: ignore[no-untyped-def]
    points, centers, mask, indices, num_points, num_centers, num_neighbors,
    has_mask: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Indices (B, G, K) of the points (B, N, 3) nearest to each center (B, G, 3), one program a center."""
    center, cloud = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    points += cloud * num_points * 3
    centers += (cloud * num_centers + center) * 3
    place = tl.arange(0, block)
    distance = _squares(points, place, num_points, tl.load(centers), tl.load(centers + 1), tl.load(centers + 2))
    real = _load_mask(mask, cloud, place, num_points, has_mask)
    _store_smallest(distance, real, indices + (cloud * num_centers + center) * num_neighbors, num_neighbors, block)


@triton.jit
def smallest_of_rows(  # type: ignore[no-untyped-def]
    rows, mask, indices, num_points, num_centers, num_neighbors, has_mask: tl.constexpr, block: tl.constexpr
):
    """Indices (B, G, K) of the smallest numbers of rows (B, G, N), one program a row."""
    center, cloud = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    place = tl.arange(0, block)
    row = cloud * num_centers + center
    values = tl.load(rows + row * num_points + place, mask=place < num_points, other=float("inf"))
    real = _load_mask(mask, cloud, place, num_points, has_mask)
    _store_smallest(values, real, indices + row * num_neighbors, num_neighbors, block)


@triton.jit
def _store_smallest(values, real, indices, num_neighbors, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """The places of the K smallest values, one after the other; beyond the real ones the smallest again, or 0."""
    place = tl.arange(0, block)
    count = tl.sum(real.to(tl.int32), 0)
    values = tl.where(real, values, float("inf"))
    first = tl.where(count > 0, tl.argmin(values, 0, tie_break_left=True), 0)
    for slot in range(num_neighbors):
        nearest = tl.argmin(values, 0, tie_break_left=True)
        tl.store(indices + slot, tl.where(slot < count, nearest, first).to(tl.int64))
        values = tl.where(place == nearest, float("inf"), values)


@triton.jit
def _squares(points, place, num_points, x, y, z):  # type: ignore[no-untyped-def]
    """Squared distances of the points at some places to one point."""
    px, py, pz = _load_points(points, place, num_points)
    dx, dy, dz = px - x, py - y, pz - z
    return dx * dx + dy * dy + dz * dz


@triton.jit
def _load_points(points, place, num_points):  # type: ignore[no-untyped-def]
    inside = place < num_points
    x = tl.load(points + place * 3, mask=inside, other=0.0)
    y = tl.load(points + place * 3 + 1, mask=inside, other=0.0)
    z = tl.load(points + place * 3 + 2, mask=inside, other=0.0)
    return x, y, z


@triton.jit
def _load_mask(mask, cloud, place, num_points, has_mask: tl.constexpr):  # type: ignore[no-untyped-def]
    """Which places hold real points."""
    inside = place < num_points
    if has_mask:
        inside = inside & (tl.load(mask + cloud * num_points + place, mask=inside, other=0) != 0)
    return inside
