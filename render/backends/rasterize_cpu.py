"""The CPU rasterizer, which defines truth for every other one: a z-buffer over triangles, compiled with numba.

Coverage is exact. Projected corners are snapped to a grid of 1/16384 pixel, and where an edge crosses a row of pixel centres
is known in integers: the first column at or right of the crossing. A triangle owns the columns from its left crossing up to,
not including, its right one, and the rows likewise (the top-left rule), so two triangles that share an edge leave no crack
and draw no pixel twice. Depth and face lie in one 64-bit word, so that the depth test is one integer minimum: the nearest
face wins, of equal ones the lower index.
"""

import numpy as np
from numba import njit

from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh, check_finite

_BITS = 14
_UNIT = 1 << _BITS  # subpixel steps in a pixel
_HALF = _UNIT >> 1
# Corners farther out are clipped: with 2**29 steps at most, an edge's numerator stays below 2**62.
_GUARD = float(1 << 15)
_NEAR = 1e-5  # nearest drawn depth under perspective, as a share of the farthest vertex's depth
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
# A snapped corner is one word, row above column, so that sorting by row is comparing words.
_OUTSIDE = np.int64(-(1 << 63))
_BIAS, _COLUMN = 1 << 31, (1 << 32) - 1
MAX_IMAGE_SIZE = 1 << 14


def rasterize_cpu(mesh: Mesh, cameras: Cameras) -> Fragments:
    """Nearest face and its depth at each pixel centre of each view.

    Args:
        mesh: vertices in the world frame; faces are drawn from both sides.
        cameras: V views; nothing behind a camera is drawn.

    Returns:
        Fragments.

    Raises:
        RenderError: a vertex in use is not finite, or the image is larger than 16384 pixels.
    """
    size = cameras.image_size
    if not 1 <= size <= MAX_IMAGE_SIZE:
        raise RenderError(f"image size {size}: the cpu rasterizer draws 1 to {MAX_IMAGE_SIZE} pixels a side")
    vertices = np.ascontiguousarray(mesh.vertices, np.float64)
    faces = np.ascontiguousarray(mesh.faces, np.int32)
    check_finite(mesh, "rasterize")
    shape = (cameras.num_views, size, size)
    face, depth = np.empty(shape, np.int32), np.empty(shape, np.float32)
    pose = np.ascontiguousarray(cameras.world_to_camera[:, :3, :], np.float64)
    intrinsics = np.ascontiguousarray(cameras.intrinsics, np.float64)
    _rasterize(vertices, faces, pose, intrinsics, cameras.projection == "parallel", face, depth)
    return Fragments(face=face, depth=depth)


@njit(nogil=True, cache=True, error_model="numpy")
def _rasterize(vertices, faces, pose, intrinsics, parallel, face, depth):  # type: ignore[no-untyped-def]
    """Draw each view in turn, so that its z-buffer stays in the cache."""
    size = face.shape[1]
    corner = np.empty(len(vertices), np.int64)  # snapped, packed
    cell = np.empty(len(vertices), np.int32)  # row and column of the first pixel centre at or after it, packed
    exact = np.empty((len(vertices), 3), np.float64)  # pixel u and v, and z, or 1 / z under perspective: affine there
    packed = np.empty(size * size, np.uint64)
    for view in range(len(pose)):
        packed[:] = _EMPTY
        near, any_outside = _project(vertices, pose[view], intrinsics[view], parallel, size, corner, cell, exact)
        for index in range(len(faces)):
            a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
            # No pixel centre lies between the corners: most triangles of a fine mesh end here.
            differ = (cell[a] ^ cell[b]) | (cell[a] ^ cell[c])
            if (not any_outside) and ((differ & 0xFFFF) == 0 or (differ >> 16) == 0):
                continue
            k0, k1, k2 = corner[a], corner[b], corner[c]
            if any_outside and (k0 == _OUTSIDE or k1 == _OUTSIDE or k2 == _OUTSIDE):
                _draw_clipped(packed, size, index, vertices, a, b, c, pose[view], intrinsics[view], parallel, near)
            else:
                _draw(packed, size, index, parallel, k0, k1, k2, exact, a, b, c)
        _resolve(packed, parallel, face[view], depth[view])


@njit(nogil=True, cache=True, error_model="numpy")
def _project(vertices, pose, intrinsics, parallel, size, corner, cell, exact):  # type: ignore[no-untyped-def]
    """Fill corners, cells and depths; returns the near depth of this view, and whether any corner must be clipped."""
    p00, p01, p02, p03 = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    p10, p11, p12, p13 = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    p20, p21, p22, p23 = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    near = 0.0
    if not parallel:
        farthest = 0.0
        for i in range(len(vertices)):
            z = p20 * vertices[i, 0] + p21 * vertices[i, 1] + p22 * vertices[i, 2] + p23
            if z > farthest:  # false for NaN too: an unused vertex may be NaN
                farthest = z
        near = _NEAR * farthest
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    any_outside = False
    for i in range(len(vertices)):
        x, y, w = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        z = p20 * x + p21 * y + p22 * w + p23
        inverse = 1.0 if parallel else 1.0 / z
        u = fx * (p00 * x + p01 * y + p02 * w + p03) * inverse + cx
        v = fy * (p10 * x + p11 * y + p12 * w + p13) * inverse + cy
        if z >= near and abs(u) <= _GUARD and abs(v) <= _GUARD and (parallel or z > 0):
            step_u, step_v = _snap(u), _snap(v)
            corner[i] = _pack(step_u, step_v)
            column, row = min(max(_centre(step_u), 0), size), min(max(_centre(step_v), 0), size)
            cell[i] = np.int32((row << 16) | column)
            exact[i, 0], exact[i, 1], exact[i, 2] = u, v, z if parallel else inverse
        else:
            corner[i] = _OUTSIDE
            any_outside = True
    return near, any_outside


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _snap(pixel):  # type: ignore[no-untyped-def]
    return int(np.floor(pixel * _UNIT + 0.5))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _centre(step):  # type: ignore[no-untyped-def]
    """The first pixel whose centre lies at or after a subpixel position."""
    return (step + _HALF - 1) >> _BITS


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _pack(step_u, step_v):  # type: ignore[no-untyped-def]
    return (step_v << 32) + (step_u + _BIAS)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _floor_divide(value, divisor, inverse):  # type: ignore[no-untyped-def]
    """Exact floor(value / divisor) for divisor > 0: a guess in floating point, mended in integers."""
    quotient = int(np.floor(value * inverse))
    rest = value - quotient * divisor
    if rest < 0:
        quotient -= 1
    elif rest >= divisor:
        quotient += 1
    return quotient


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _start_edge(x0, y0, x1, y1, row):  # type: ignore[no-untyped-def]
    """Where a falling edge (y0 < y1) crosses a row, and how that moves from row to row.

    Returns:
        column: the first pixel whose centre lies at or right of the crossing; rest: what is left of the division, below
        divisor. A row further down, column grows by whole and rest by part; where rest reaches divisor, it carries.
    """
    rise, run = y1 - y0, x1 - x0
    divisor = rise << _BITS
    inverse = 1.0 / divisor
    value = (x0 - _HALF) * rise + ((row << _BITS) + _HALF - y0) * run + divisor - 1
    column = _floor_divide(value, divisor, inverse)
    whole = _floor_divide(run, rise, inverse * _UNIT)
    return column, value - column * divisor, whole, (run - whole * rise) << _BITS, divisor


@njit(nogil=True, cache=True, error_model="numpy")
def _draw(packed, size, index, parallel, k0, k1, k2, exact, a, b, c):  # type: ignore[no-untyped-def]
    """One triangle: its depth plane, then row by row the span between its long edge and one of the two others."""
    first_key, last_key = min(min(k0, k1), k2), max(max(k0, k1), k2)
    middle_key = k0 ^ k1 ^ k2 ^ first_key ^ last_key
    y0, y1, y2 = first_key >> 32, middle_key >> 32, last_key >> 32
    top, bottom = max(_centre(y0), 0), min(_centre(y2), size)
    ux, uy = (k1 & _COLUMN) - (k0 & _COLUMN), (k1 >> 32) - (k0 >> 32)
    vx, vy = (k2 & _COLUMN) - (k0 & _COLUMN), (k2 >> 32) - (k0 >> 32)
    area = ux * vy - vx * uy
    if top >= bottom or area == 0:
        return
    # Depth (or its inverse) is affine on the screen: begin + along_u column + along_v row at pixel centres. Its plane is
    # that of the unsnapped corners: on a face seen nearly edge-on a small step aside is a large one in depth.
    u0, v0, d0, d1, d2 = exact[a, 0], exact[a, 1], exact[a, 2], exact[b, 2], exact[c, 2]
    eu, ev, fu, fv = exact[b, 0] - u0, exact[b, 1] - v0, exact[c, 0] - u0, exact[c, 1] - v0
    determinant = eu * fv - fu * ev
    scale = 1.0 / determinant if determinant != 0.0 else 0.0
    along_u, along_v = ((d1 - d0) * fv - (d2 - d0) * ev) * scale, ((d2 - d0) * eu - (d1 - d0) * fu) * scale
    begin = d0 + along_u * (0.5 - u0) + along_v * (0.5 - v0)
    # A pixel centre may lie a hair outside the true triangle, where a steep plane runs away.
    lowest, highest = np.float32(min(d0, d1, d2)), np.float32(max(d0, d1, d2))
    slope, low = np.float32(along_u), np.uint64(index)
    x0, x1, x2 = (first_key & _COLUMN) - _BIAS, (middle_key & _COLUMN) - _BIAS, (last_key & _COLUMN) - _BIAS
    middle = _centre(y1)
    column, rest, whole, part, divisor = _start_edge(x0, y0, x2, y2, top)
    if middle > top:
        other, other_rest, other_whole, other_part, other_divisor = _start_edge(x0, y0, x1, y1, top)
    else:
        other, other_rest, other_whole, other_part, other_divisor = _start_edge(x1, y1, x2, y2, top)
    for row in range(top, bottom):
        if row == middle:
            other, other_rest, other_whole, other_part, other_divisor = _start_edge(x1, y1, x2, y2, row)
        first, last = max(min(column, other), 0), min(max(column, other), size)
        z = np.float32(begin + along_u * first + along_v * row)
        base = row * size + first
        if parallel:
            for i in range(last - first):
                d = min(max(z + slope * np.float32(i), lowest), highest)
                word = (np.uint64(np.float32(d).view(np.uint32)) << np.uint64(32)) | low
                packed[base + i] = min(packed[base + i], word)
        else:  # the nearest has the largest inverse depth
            for i in range(last - first):
                d = min(max(z + slope * np.float32(i), lowest), highest)
                word = (np.uint64(~np.float32(d).view(np.uint32)) << np.uint64(32)) | low
                packed[base + i] = min(packed[base + i], word)
        # The carries are -1 or 0, without a branch: which it is cannot be foreseen.
        rest += part
        carry = (divisor - 1 - rest) >> 63
        column, rest = column + whole - carry, rest - (divisor & carry)
        other_rest += other_part
        carry = (other_divisor - 1 - other_rest) >> 63
        other, other_rest = other + other_whole - carry, other_rest - (other_divisor & carry)


@njit(nogil=True, cache=True, error_model="numpy")
def _draw_clipped(packed, size, index, vertices, a, b, c, pose, intrinsics, parallel, near):  # type: ignore[no-untyped-def]
    """A triangle that leaves the guard band or passes the camera: cut to a polygon, drawn as a fan."""
    if not parallel and near <= 0.0:  # the whole view lies behind the camera
        return
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    polygon, other = np.empty((12, 3), np.float64), np.empty((12, 3), np.float64)
    for axis in range(3):
        row = pose[axis]
        for k, vertex in enumerate((vertices[a], vertices[b], vertices[c])):
            polygon[k, axis] = row[0] * vertex[0] + row[1] * vertex[1] + row[2] * vertex[2] + row[3]
    # Planes n.p + k >= 0: in front of the camera, then |u| and |v| within the guard band.
    flat, deep = (1.0, 0.0) if parallel else (0.0, 1.0)
    planes = np.array([
        [0.0, 0.0, 1.0, -near],
        [fx, 0.0, (cx + _GUARD) * deep, (cx + _GUARD) * flat],
        [-fx, 0.0, (_GUARD - cx) * deep, (_GUARD - cx) * flat],
        [0.0, fy, (cy + _GUARD) * deep, (cy + _GUARD) * flat],
        [0.0, -fy, (_GUARD - cy) * deep, (_GUARD - cy) * flat],
    ])  # fmt: skip
    count = 3
    for plane in range(len(planes)):
        count = _clip(polygon, count, planes[plane], other)
        polygon, other = other, polygon
        if count < 3:
            return
    key, exact = np.empty(count, np.int64), np.empty((count, 3), np.float64)
    for i in range(count):
        inverse = 1.0 if parallel else 1.0 / polygon[i, 2]
        exact[i, 0], exact[i, 1] = fx * polygon[i, 0] * inverse + cx, fy * polygon[i, 1] * inverse + cy
        exact[i, 2] = polygon[i, 2] if parallel else inverse
        key[i] = _pack(_snap(exact[i, 0]), _snap(exact[i, 1]))
    for i in range(1, count - 1):
        _draw(packed, size, index, parallel, key[0], key[i], key[i + 1], exact, 0, i, i + 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _clip(polygon, count, plane, out):  # type: ignore[no-untyped-def]
    """Sutherland-Hodgman against one plane; a cut edge gives the same point from both of its triangles."""
    written = 0
    for i in range(count):
        p, q = polygon[i], polygon[(i + 1) % count]
        side_p = plane[0] * p[0] + plane[1] * p[1] + plane[2] * p[2] + plane[3]
        side_q = plane[0] * q[0] + plane[1] * q[1] + plane[2] * q[2] + plane[3]
        if side_p >= 0:
            out[written] = p
            written += 1
        if (side_p >= 0) != (side_q >= 0):
            if side_p >= 0:  # always from the inner end to the outer one
                share = side_p / (side_p - side_q)
                for axis in range(3):
                    out[written, axis] = p[axis] + share * (q[axis] - p[axis])
            else:
                share = side_q / (side_q - side_p)
                for axis in range(3):
                    out[written, axis] = q[axis] + share * (p[axis] - q[axis])
            written += 1
    return written


@njit(nogil=True, cache=True, error_model="numpy")
def _resolve(packed, parallel, face, depth):  # type: ignore[no-untyped-def]
    """Unpack one view into face and depth."""
    face, depth = face.reshape(-1), depth.reshape(-1)
    for i in range(len(packed)):
        word = packed[i]
        if word == _EMPTY:
            face[i], depth[i] = -1, np.inf
            continue
        high = np.uint32(word >> np.uint64(32))
        face[i] = np.int32(word & _LOW)
        depth[i] = high.view(np.float32) if parallel else np.float32(1.0) / np.uint32(~high).view(np.float32)
