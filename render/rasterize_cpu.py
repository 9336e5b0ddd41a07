"""The CPU rasterizer, which defines truth for every other one: a z-buffer over triangles, compiled with numba.

Coverage is exact. Projected corners are snapped to a grid of 1/16384 pixel and the edge functions are integers, so with the
top-left rule two triangles that share an edge leave no crack and draw no pixel twice. Depth comes from the unsnapped
corners. Each row of a triangle is solved for its span of pixels instead of being tested pixel by pixel. Depth and face lie
in one 64-bit word, so that the depth test is one integer minimum: the nearest face wins, of equal ones the lower index.
"""

import numpy as np
from numba import njit

from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments
from render.mesh import Mesh

_BITS = 14
_UNIT = 1 << _BITS  # subpixel steps in a pixel
_HALF = _UNIT >> 1
# Corners farther out are clipped: with 2**29 steps at most, an edge function stays below 2**62.
_GUARD = float(1 << 15)
_NEAR = 1e-5  # nearest drawn depth under perspective, as a share of the farthest vertex's depth
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
MAX_IMAGE_SIZE = 1 << 14


def rasterize_cpu(mesh: Mesh, cameras: Cameras) -> Fragments:
    """Nearest face, its barycentrics and its depth at each pixel centre of each view.

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
    faces = np.ascontiguousarray(mesh.faces, np.int64)
    if not np.isfinite(vertices).all() and not np.isfinite(vertices[faces]).all():
        raise RenderError("rasterize: a vertex in use is not finite")
    shape = (cameras.num_views, size, size)
    face, depth = np.empty(shape, np.int32), np.empty(shape, np.float32)
    bary = np.empty((*shape, 3), np.float32)
    pose = np.ascontiguousarray(cameras.world_to_camera[:, :3, :], np.float64)
    intrinsics = np.ascontiguousarray(cameras.intrinsics, np.float64)
    _rasterize(vertices, faces, pose, intrinsics, cameras.projection == "parallel", face, depth, bary)
    return Fragments(face=face, bary=bary, depth=depth)


@njit(nogil=True, cache=True, error_model="numpy")
def _rasterize(vertices, faces, pose, intrinsics, parallel, face, depth, bary):  # type: ignore[no-untyped-def]
    """Draw each view in turn, so that its z-buffer stays in the cache."""
    size = face.shape[1]
    camera = np.empty((len(vertices), 3), np.float64)
    screen = np.empty((len(vertices), 3), np.float64)  # u, v, and z or 1 / z
    snapped = np.empty((len(vertices), 2), np.int64)
    outside = np.empty(len(vertices), np.bool_)
    packed = np.empty(size * size, np.uint64)
    for view in range(len(pose)):
        packed[:] = _EMPTY
        near = _project(vertices, pose[view], intrinsics[view], parallel, camera, screen, snapped, outside)
        for index in range(len(faces)):
            a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
            if outside[a] or outside[b] or outside[c]:
                _draw_clipped(packed, size, index, camera, a, b, c, intrinsics[view], parallel, near)
            else:
                _draw(
                    packed, size, index, parallel,
                    snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1], snapped[c, 0], snapped[c, 1],
                    screen[a, 0], screen[a, 1], screen[a, 2],
                    screen[b, 0], screen[b, 1], screen[b, 2],
                    screen[c, 0], screen[c, 1], screen[c, 2],
                )  # fmt: skip
        _resolve(packed, size, parallel, faces, camera, intrinsics[view], face[view], depth[view], bary[view])


@njit(nogil=True, cache=True, error_model="numpy")
def _project(vertices, pose, intrinsics, parallel, camera, screen, snapped, outside):  # type: ignore[no-untyped-def]
    """Fill camera points, pixels and snapped pixels; returns the near depth of this view."""
    farthest = 0.0
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for row in range(3):
            camera[i, row] = pose[row, 0] * x + pose[row, 1] * y + pose[row, 2] * z + pose[row, 3]
        if camera[i, 2] > farthest:  # false for NaN too: an unused vertex may be NaN
            farthest = camera[i, 2]
    near = 0.0 if parallel else _NEAR * farthest
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    for i in range(len(vertices)):
        z = camera[i, 2]
        inverse = 1.0 if parallel else 1.0 / z
        u, v = fx * camera[i, 0] * inverse + cx, fy * camera[i, 1] * inverse + cy
        outside[i] = not (z >= near and abs(u) <= _GUARD and abs(v) <= _GUARD and (parallel or z > 0))
        screen[i, 0], screen[i, 1], screen[i, 2] = u, v, z if parallel else inverse
        if not outside[i]:
            snapped[i, 0], snapped[i, 1] = int(np.floor(u * _UNIT + 0.5)), int(np.floor(v * _UNIT + 0.5))
    return near


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


@njit(nogil=True, cache=True, error_model="numpy")
def _draw(packed, size, index, parallel, x0, y0, x1, y1, x2, y2, u0, v0, d0, u1, v1, d1, u2, v2, d2):  # type: ignore[no-untyped-def]
    """One triangle: its bounding box, its edges as integers, its depth plane, then the span of each row."""
    top = max((min(y0, y1, y2) + _HALF - 1) >> _BITS, 0)
    bottom = min((max(y0, y1, y2) - _HALF) >> _BITS, size - 1)
    left = max((min(x0, x1, x2) + _HALF - 1) >> _BITS, 0)
    right = min((max(x0, x1, x2) - _HALF) >> _BITS, size - 1)
    if top > bottom or left > right:
        return
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0:
        return
    if area < 0:
        x1, y1, x2, y2 = x2, y2, x1, y1
        u1, v1, d1, u2, v2, d2 = u2, v2, d2, u1, v1, d1
    # Depth (or its inverse) is affine on the screen.
    determinant = (u1 - u0) * (v2 - v0) - (u2 - u0) * (v1 - v0)
    along_u, along_v = 0.0, 0.0
    if determinant != 0.0:
        along_u = ((d1 - d0) * (v2 - v0) - (d2 - d0) * (v1 - v0)) / determinant
        along_v = ((u1 - u0) * (d2 - d0) - (u2 - u0) * (d1 - d0)) / determinant
    # Snapping may put a pixel a hair outside the true triangle, where a steep plane runs away.
    lowest, highest = np.float32(min(d0, d1, d2)), np.float32(max(d0, d1, d2))
    # Edge function at pixel i of a row: e = offset - step i, inside where e >= 0; the rows add `rise`.
    centre = (top << _BITS) + _HALF
    step0, step1, step2 = (y1 - y0) << _BITS, (y2 - y1) << _BITS, (y0 - y2) << _BITS
    rise0, rise1, rise2 = (x1 - x0) << _BITS, (x2 - x1) << _BITS, (x0 - x2) << _BITS
    e0 = (x1 - x0) * (centre - y0) - (y1 - y0) * (_HALF - x0) - (0 if y1 < y0 or (y1 == y0 and x1 > x0) else 1)
    e1 = (x2 - x1) * (centre - y1) - (y2 - y1) * (_HALF - x1) - (0 if y2 < y1 or (y2 == y1 and x2 > x1) else 1)
    e2 = (x0 - x2) * (centre - y2) - (y0 - y2) * (_HALF - x2) - (0 if y0 < y2 or (y0 == y2 and x0 > x2) else 1)
    inverse0 = 1.0 / abs(step0) if step0 != 0 else 0.0
    inverse1 = 1.0 / abs(step1) if step1 != 0 else 0.0
    inverse2 = 1.0 / abs(step2) if step2 != 0 else 0.0
    slope = np.float32(along_u)
    low = np.uint64(index)
    for row in range(top, bottom + 1):
        first, last = _narrow(e0, step0, inverse0, left, right)
        first, last = _narrow(e1, step1, inverse1, first, last)
        first, last = _narrow(e2, step2, inverse2, first, last)
        if first <= last:
            begin = np.float32(d0 + along_u * (first + 0.5 - u0) + along_v * (row + 0.5 - v0))
            base = row * size + first
            if parallel:
                for i in range(last - first + 1):
                    d = min(max(begin + slope * np.float32(i), lowest), highest)
                    word = (np.uint64(np.float32(d).view(np.uint32)) << np.uint64(32)) | low
                    packed[base + i] = min(packed[base + i], word)
            else:  # the nearest has the largest inverse depth
                for i in range(last - first + 1):
                    d = min(max(begin + slope * np.float32(i), lowest), highest)
                    word = (np.uint64(~np.float32(d).view(np.uint32)) << np.uint64(32)) | low
                    packed[base + i] = min(packed[base + i], word)
        e0 += rise0
        e1 += rise1
        e2 += rise2


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _narrow(edge, step, inverse, first, last):  # type: ignore[no-untyped-def]
    """The part of the span [first, last] on the inner side of one edge: edge - step i >= 0."""
    if step > 0:
        last = min(last, _floor_divide(edge, step, inverse))
    elif step < 0:
        first = max(first, -_floor_divide(edge, -step, inverse))
    elif edge < 0:
        last = first - 1
    return first, last


@njit(nogil=True, cache=True, error_model="numpy")
def _draw_clipped(packed, size, index, camera, a, b, c, intrinsics, parallel, near):  # type: ignore[no-untyped-def]
    """A triangle that leaves the guard band or passes the camera: cut to a polygon, drawn as a fan."""
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    polygon, other = np.empty((12, 3), np.float64), np.empty((12, 3), np.float64)
    polygon[0], polygon[1], polygon[2] = camera[a], camera[b], camera[c]
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
    if not parallel and near <= 0.0:  # the whole view lies behind the camera
        return
    for i in range(count):
        inverse = 1.0 if parallel else 1.0 / polygon[i, 2]
        u, v = fx * polygon[i, 0] * inverse + cx, fy * polygon[i, 1] * inverse + cy
        other[i, 0], other[i, 1], other[i, 2] = u, v, polygon[i, 2] if parallel else inverse
    for i in range(1, count - 1):
        x0, y0 = int(np.floor(other[0, 0] * _UNIT + 0.5)), int(np.floor(other[0, 1] * _UNIT + 0.5))
        x1, y1 = int(np.floor(other[i, 0] * _UNIT + 0.5)), int(np.floor(other[i, 1] * _UNIT + 0.5))
        x2, y2 = int(np.floor(other[i + 1, 0] * _UNIT + 0.5)), int(np.floor(other[i + 1, 1] * _UNIT + 0.5))
        _draw(
            packed, size, index, parallel, x0, y0, x1, y1, x2, y2,
            other[0, 0], other[0, 1], other[0, 2],
            other[i, 0], other[i, 1], other[i, 2],
            other[i + 1, 0], other[i + 1, 1], other[i + 1, 2],
        )  # fmt: skip


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
def _resolve(packed, size, parallel, faces, camera, intrinsics, face, depth, bary):  # type: ignore[no-untyped-def]
    """Unpack one view. Barycentrics are those of the line of sight through the pixel centre with the face's plane."""
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    current = -1
    weights = np.empty((3, 3), np.float64)  # each corner's weight as an affine function of (x, y, 1) on the sensor
    for row in range(size):
        y = (row + 0.5 - cy) / fy
        for column in range(size):
            word = packed[row * size + column]
            if word == _EMPTY:
                face[row, column], depth[row, column] = -1, np.inf
                bary[row, column, 0] = bary[row, column, 1] = bary[row, column, 2] = 0.0
                continue
            index = int(word & _LOW)
            high = np.uint32(word >> np.uint64(32))
            face[row, column] = index
            depth[row, column] = (
                np.uint32(high).view(np.float32) if parallel else np.float32(1.0) / np.uint32(~high).view(np.float32)
            )
            if index != current:
                _corner_weights(camera, faces[index, 0], faces[index, 1], faces[index, 2], parallel, weights)
                current = index
            x = (column + 0.5 - cx) / fx
            w0 = weights[0, 0] * x + weights[0, 1] * y + weights[0, 2]
            w1 = weights[1, 0] * x + weights[1, 1] * y + weights[1, 2]
            w2 = weights[2, 0] * x + weights[2, 1] * y + weights[2, 2]
            if parallel and w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0:  # they sum to 1 by construction
                share = 1.0
            else:
                w0, w1, w2 = max(w0, 0.0), max(w1, 0.0), max(w2, 0.0)
                if not w0 + w1 + w2 > 0.0:  # seen exactly edge-on
                    w0, w1, w2 = 1.0, 1.0, 1.0
                share = 1.0 / (w0 + w1 + w2)
            bary[row, column, 0], bary[row, column, 1], bary[row, column, 2] = w0 * share, w1 * share, w2 * share


@njit(nogil=True, cache=True, error_model="numpy")
def _corner_weights(camera, a, b, c, parallel, weights):  # type: ignore[no-untyped-def]
    """Barycentrics as linear functions of the sensor position (x, y, 1), positive inside; under perspective not normalised.

    Parallel rays meet the plane at (x, y): signed areas. Perspective rays (x, y, 1) t: volumes spanned with two corners.
    """
    corners = (a, b, c)
    for k in range(3):
        p, q = camera[corners[(k + 1) % 3]], camera[corners[(k + 2) % 3]]
        if parallel:
            weights[k, 0], weights[k, 1] = p[1] - q[1], q[0] - p[0]
            weights[k, 2] = p[0] * q[1] - q[0] * p[1]
        else:
            weights[k, 0] = p[1] * q[2] - p[2] * q[1]
            weights[k, 1] = p[2] * q[0] - p[0] * q[2]
            weights[k, 2] = p[0] * q[1] - p[1] * q[0]
    first = camera[a]
    z = 1.0 if parallel else first[2]
    scale = weights[0, 0] * first[0] + weights[0, 1] * first[1] + weights[0, 2] * z  # at a corner: its own full weight
    if scale != 0.0:
        scale = 1.0 / scale if parallel else np.sign(scale)
        for k in range(3):
            for axis in range(3):
                weights[k, axis] *= scale
