"""Cameras as `transforms.json`, the file that NeRF tools read, and back.

Such a file has poses from camera to world in OpenGL's axes (x right, y up, z backwards); the world is ours, +z up. Each frame
that we write also holds our own matrices, so that what is read again is equal to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shards.errors import ShardError

PARALLEL_MODEL = "ORTHOPHOTO"
_PERSPECTIVE_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "RADIAL", "SIMPLE_RADIAL", "PERSPECTIVE")
_OTHER_LENSES = ("is_fisheye", "latlong", "equirectangular", "ftheta_p0")
_DISTORTIONS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_RIGID_TOLERANCE = 1e-4
_NGP_SCALE = 0.33
"""By which instant-ngp shrinks a scene into its unit cube, unless the file tells another scale."""

Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Row3: TypeAlias = tuple[Number, Number, Number]
Row4: TypeAlias = tuple[Number, Number, Number, Number]


class ExactCamera(BaseModel):
    """Our own matrices of a frame: float32 values, which JSON holds without loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world_to_camera: tuple[Row4, Row4, Row4, Row4] = Field(description="camera frame +x right, +y down, +z forward")
    intrinsics: tuple[Row3, Row3, Row3] = Field(description="pixels")
    grey: bool = Field(False, description="the picture was grey and alpha, and is written as RGBA")


class Lens(BaseModel):
    """What stands in a frame, or before all frames for those that do not say it themselves; other keys are passed over."""

    model_config = ConfigDict(extra="allow", frozen=True)

    fl_x: Number | None = Field(None, gt=0, description="focal length in pixels; parallel: pixels per world unit")
    fl_y: Number | None = Field(None, gt=0, description="as fl_x, down the image; fl_x where it is missing")
    camera_angle_x: Number | None = Field(None, gt=0, lt=math.pi, description="radians across; for want of fl_x")
    camera_angle_y: Number | None = Field(None, gt=0, lt=math.pi, description="radians down; for want of fl_y")
    cx: Number | None = Field(None, description="principal point in pixels, centres at +0.5; the middle where missing")
    cy: Number | None = Field(None, description="as cx, down the image")
    w: Number | None = Field(None, gt=0, description="width of the picture in pixels")
    h: Number | None = Field(None, gt=0, description="height of the picture in pixels")


class Frame(Lens):
    """One picture and its camera."""

    file_path: str = Field(min_length=1, description="the picture, relative to the file's folder")
    transform_matrix: tuple[Row4, Row4, Row4, Row4] = Field(description="camera to world, OpenGL's axes")
    tap: ExactCamera | None = Field(None, description="our own matrices")


class Transforms(Lens):
    """The content of a `transforms.json`."""

    camera_model: str | None = Field(None, description="PINHOLE where it is missing")
    ply_file_path: str | None = Field(None, description="the points, relative to the file's folder")
    frames: tuple[Frame, ...] = Field(description="one for each picture")

    @property
    def is_parallel(self) -> bool:
        """Whether lines of sight are parallel."""
        return self.camera_model == PARALLEL_MODEL or "orthographic" in (self.model_extra or {})


def encode_transforms(
    world_to_camera: NDArray[np.float32],
    intrinsics: NDArray[np.float32],
    is_parallel: bool,
    pictures: Sequence[tuple[str, int, int, bool]],
    points_file: str,
    extent: float,
) -> dict[str, Any]:
    """The content of a `transforms.json`.

    Args:
        world_to_camera: (V, 4, 4).
        intrinsics: (V, 3, 3).
        is_parallel: parallel instead of perspective projection.
        pictures: file, width, height, and whether a grey picture was written as RGBA; V of them.
        points_file: the PLY.
        extent: largest coordinate of the object, without its sign.
    """
    lenses, frames = [], []
    for pose, matrix, (file, width, height, is_grey) in zip(world_to_camera, intrinsics, pictures, strict=True):
        lenses.append(
            {
                "fl_x": float(matrix[0, 0]),
                "fl_y": float(matrix[1, 1]),
                "cx": float(matrix[0, 2]),
                "cy": float(matrix[1, 2]),
            }
            | {"w": width, "h": height}
        )
        exact = {"world_to_camera": pose.tolist(), "intrinsics": matrix.tolist()} | ({"grey": True} if is_grey else {})
        camera_to_world = np.linalg.inv(pose.astype(np.float64)) @ _TO_OPENGL
        frames.append({"file_path": file, "transform_matrix": camera_to_world.tolist(), "tap": exact})
    # Readers take what stands before the frames for all of them, so it may stand there only if it is true of all.
    shared = lenses[0] if lenses and all(lens == lenses[0] for lens in lenses) else {}
    # instant-ngp shrinks poses but not the lines of a parallel camera, which are right with a scale of 1 alone.
    scale = 1.0 if is_parallel else _NGP_SCALE
    content: dict[str, Any] = {"camera_model": PARALLEL_MODEL if is_parallel else "PINHOLE", **shared}
    content |= {"orthographic": True, "scale": scale} if is_parallel else {}
    content |= {"aabb_scale": _aabb_scale(2.0 * scale * extent), "ply_file_path": points_file}
    return content | {
        "frames": frames if shared else [lens | frame for lens, frame in zip(lenses, frames, strict=True)]
    }


def decode_transforms(content: dict[str, Any]) -> Transforms:
    """The content of a `transforms.json`, checked.

    Raises:
        ShardError: a field is missing or wrong, or the lens is not one that a sample can have.
    """
    try:
        transforms = Transforms.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ShardError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if transforms.camera_model not in (None, PARALLEL_MODEL, *_PERSPECTIVE_MODELS):
        raise ShardError(
            f"camera_model is {transforms.camera_model}; samples are {', '.join(_PERSPECTIVE_MODELS)} or {PARALLEL_MODEL}"
        )
    for part in (transforms, *transforms.frames):
        _check_undistorted(part)
    return transforms


def camera_of(
    transforms: Transforms, frame: Frame, width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """World to camera (4, 4) and intrinsics (3, 3) of a frame.

    Args:
        transforms: the whole file.
        frame: one of its frames.
        width: of the frame's picture in pixels.
        height: of the frame's picture in pixels.

    Raises:
        ShardError: the picture has another size than the file says, the focal length is missing, the pose is not rigid, or
            our own matrices say another camera.
    """
    _check_size(transforms, frame, width, height)
    pose = np.array(frame.transform_matrix, np.float64)
    turn = pose[:3, :3]
    is_rigid = np.allclose(turn @ turn.T, np.eye(3), atol=_RIGID_TOLERANCE) and np.array_equal(pose[3], [0, 0, 0, 1])
    if not is_rigid or np.linalg.det(turn) < 0:
        raise ShardError(
            f"{frame.file_path}: transform_matrix is not a rotation and a shift; scales and mirrors are refused"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which no sample may hold
        world_to_camera = np.linalg.inv(pose @ _TO_OPENGL).astype(np.float32)
    fl_x = _focal(transforms, frame, "x", width)
    fl_y = _focal(transforms, frame, "y", height) or fl_x
    if fl_x is None or fl_y is None:
        raise ShardError(
            f"{frame.file_path}: {'no fl_x' if transforms.is_parallel else 'neither fl_x nor camera_angle_x'} is given"
        )
    cx, cy = (_first(frame.cx, transforms.cx, width / 2), _first(frame.cy, transforms.cy, height / 2))
    intrinsics = np.array([[fl_x, 0, cx], [0, fl_y, cy], [0, 0, 1]], np.float32)
    if frame.tap is None:
        return world_to_camera, intrinsics
    exact = np.array(frame.tap.world_to_camera, np.float32), np.array(frame.tap.intrinsics, np.float32)
    if not np.allclose(exact[0], world_to_camera, 1e-4, 1e-4) or not np.allclose(
        exact[1][:2], intrinsics[:2], 1e-4, 1e-4
    ):
        raise ShardError(
            f"{frame.file_path}: its matrices under tap say another camera; remove them if the pose was changed"
        )
    return exact


def _check_undistorted(part: Lens) -> None:
    extra = part.model_extra or {}
    lens = [name for name in _OTHER_LENSES if name in extra and extra[name] is not False]
    bent = [name for name in _DISTORTIONS if extra.get(name)]
    if isinstance(extra.get("distortion_params"), list) and any(extra["distortion_params"]):
        bent.append("distortion_params")
    if lens or bent:
        raise ShardError(f"{(lens + bent)[0]} is given: distorted pictures are refused; undistort them first")


def _check_size(transforms: Transforms, frame: Frame, width: int, height: int) -> None:
    told = (_first(frame.w, transforms.w, float(width)), _first(frame.h, transforms.h, float(height)))
    if told != (width, height):
        raise ShardError(f"{frame.file_path}: is {width} x {height} pixels, the file says {told[0]:g} x {told[1]:g}")


def _focal(transforms: Transforms, frame: Frame, axis: str, side: int) -> float | None:
    """Focal length along an axis; a frame's own word first."""
    for part in (frame, transforms):
        focal: float | None = getattr(part, f"fl_{axis}")
        angle: float | None = getattr(part, f"camera_angle_{axis}")
        if focal is not None:
            return focal
        if angle is not None and not transforms.is_parallel:  # which has no angle of view
            return side / 2 / math.tan(angle / 2)
    return None


def _first(own: float | None, shared: float | None, fallback: float) -> float:
    return own if own is not None else shared if shared is not None else fallback


def _aabb_scale(side: float) -> int:
    """The smallest power of two, at most 128, that is no less than the side of instant-ngp's box."""
    return next((1 << power for power in range(7) if side <= 1 << power), 128)
