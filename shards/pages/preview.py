"""Pictures and points made ready for looking at on a page; what a page shows small need not be exact."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_POINTS = 2048
"""Points of a cloud on a page."""

MAX_SIDE = 256
"""Longest side in pixels of a picture that is made smaller for a page."""

PALETTE = np.array(
    [
        (78, 121, 167), (242, 142, 43), (89, 161, 79), (225, 87, 89), (176, 122, 161), (118, 183, 178), (237, 201, 72),
        (255, 157, 167), (156, 117, 95), (44, 160, 175), (140, 109, 197), (181, 189, 97), (214, 97, 148), (60, 110, 90),
    ],
    np.uint8,
)  # fmt: skip
"""Colours of labels 0, 1, 2 ...; they start over after the last."""

UNLABELLED = (150, 154, 162)

_LABELS = {"part": "Parts", "semantic": "Classes", "instance": "Objects"}


def label_colors(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of integer labels, grey for negative ones: (...) to (..., 3) uint8."""
    colors: NDArray[np.uint8] = PALETTE[labels % len(PALETTE)]
    colors[labels < 0] = UNLABELLED
    return colors


def small_picture(image: NDArray[Any]) -> bytes:
    """A WebP of a picture, at most MAX_SIDE on its longer side.

    Args:
        image: (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
    """
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB" if image.shape[2] == 3 else "RGBA")
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=82, method=2)
    return stream.getvalue()


def visible_channel(kind: str, image: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.uint8]:
    """A depth, normal or label image as a picture: depth from light (near) to dark (far), labels in colours.

    Args:
        kind: `depth`, `normal`, or `part`, whose pixels are labels + 1.
        image: (H, W) uint16 or (H, W, 3) uint8.
        view: (H, W, 2 or 4) uint8, the view of the same number; its alpha tells the object from the background.

    Returns:
        (H, W, 4) uint8 RGBA; the background is transparent.
    """
    inside = _inside(image, view)
    if image.ndim == 3:
        color = image[..., :3]
    elif kind == "depth":
        color = np.repeat(_stretched(image, inside)[..., None], 3, axis=2)
    else:
        color = label_colors(image.astype(np.int64) - 1)
    return np.dstack([color, np.where(inside, 255, 0).astype(np.uint8)])


def _inside(image: NDArray[Any], view: NDArray[Any] | None) -> NDArray[np.bool_]:
    """(H, W) True on the object."""
    if view is not None and view.shape[:2] == image.shape[:2]:
        return np.asarray(view[..., -1] > 0)
    if image.ndim == 3:
        return np.ones(image.shape[:2], bool)
    return np.asarray((image > 0) & (image < np.iinfo(np.uint16).max))


def _stretched(depth: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Grey of depths, the whole range used: 235 where nearest, 45 where farthest."""
    if not inside.any():
        return np.zeros(depth.shape, np.uint8)
    near, far = float(depth[inside].min()), float(depth[inside].max())
    share = (depth.astype(np.float64) - near) / max(far - near, 1.0)
    return np.rint(235 - 190 * np.clip(share, 0, 1)).astype(np.uint8)


def packed_cloud(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """A cloud for a page: at most MAX_POINTS of its points, evenly spaced, in whole numbers as base64.

    Args:
        arrays: `points` (P, 6) float32, xyz and normal; where given, `colors` (P, 3) uint8 and labels (P,) int32.

    Returns:
        count and total; xyz int16, 32767 at the farthest point from the middle of the box; normal int8, 127 for 1;
        layers, a list of [name, RGB uint8], the most telling first.
    """
    points = arrays["points"]
    total = len(points)
    chosen = np.arange(min(total, MAX_POINTS)) * total // max(1, min(total, MAX_POINTS))
    xyz = points[chosen, :3].astype(np.float64)
    if total:
        xyz -= (points[:, :3].min(axis=0) + points[:, :3].max(axis=0)) / 2.0
    radius = float(np.linalg.norm(xyz, axis=1).max(initial=0.0)) or 1.0
    layers = [["Colours", _base64(arrays["colors"][chosen])]] if "colors" in arrays else []
    layers += [
        [title, _base64(label_colors(arrays[name][chosen]))] for name, title in _LABELS.items() if name in arrays
    ]
    return {
        "count": len(chosen),
        "total": total,
        "xyz": _base64(np.rint(xyz / radius * 32767).astype("<i2")),
        "normal": _base64(np.rint(np.clip(points[chosen, 3:6], -1, 1) * 127).astype(np.int8)),
        "layers": layers,
    }


def camera_angles(world_to_camera: NDArray[Any]) -> list[list[float]]:
    """Where each camera stands, seen from the object: [azimuth, elevation, roll] in radians.

    Args:
        world_to_camera: (V, 4, 4) float32; camera frame +x right, +y down, +z forward.
    """
    angles = []
    for pose in world_to_camera.astype(np.float64):
        right, toward = pose[0, :3], -pose[2, :3]
        azimuth = np.arctan2(toward[1], toward[0])
        elevation = np.arcsin(np.clip(toward[2], -1, 1))
        level = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        roll = np.arctan2(right @ np.cross(toward, level), right @ level)
        angles.append([round(float(angle), 4) for angle in (azimuth, elevation, roll)])
    return angles


def drawn_points(points: NDArray[Any], azimuth: float, side: int) -> NDArray[np.uint8]:
    """A plain drawing of a cloud from an elevation of 30 degrees, for samples that have no views.

    Args:
        points: (P, 6) float32, xyz and normal.
        azimuth: where the viewer stands, radians.
        side: of the picture, pixels.

    Returns:
        (side, side, 2) uint8 grey and alpha.
    """
    elevation = np.pi / 6
    toward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    frame = np.stack([right, -np.cross(toward, right), toward])  # right, down, toward the viewer
    image = np.full((side, side, 2), (255, 0), np.uint8)
    if not len(points):
        return image
    xyz = points[:, :3] - (points[:, :3].min(axis=0) + points[:, :3].max(axis=0)) / 2.0
    radius = float(np.linalg.norm(xyz, axis=1).max()) or 1.0
    seen = xyz / radius @ frame.T
    grey = np.rint(60 + 150 * np.abs(points[:, 3:6] @ toward)).astype(np.uint8)
    order = np.argsort(seen[:, 2], kind="stable")  # nearest last, so that it stays on top
    pixels = np.clip(((seen[order, :2] * 0.45 + 0.5) * side).astype(int), 0, side - 2)
    for across, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        image[pixels[:, 1] + down, pixels[:, 0] + across] = np.column_stack([grey[order], np.full(len(order), 255)])
    return image


def _base64(array: NDArray[Any]) -> str:
    return b64encode(np.ascontiguousarray(array).tobytes()).decode()
