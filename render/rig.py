"""Rigs: which cameras look at an object. A rig is any callable from a `Viewpoint` to `Cameras`.

Named rigs live in `RIGS`; a user's own comes from a TOML or JSON file, or as ``package.module:function``. This file knows no
mesh and no rasterizer.
"""

import dataclasses
import importlib
import json
import tomllib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from render.camera import Cameras, FloatArray, Projection, look_at
from render.errors import RenderError

FIELD_OF_VIEW = 40.0  # degrees across the whole image, perspective
SPHERE_FILL = (
    200 / 224
)  # share of the image side that the unit sphere spans; Take-A-Photo's object size of 200 px in 224
PARALLEL_DISTANCE = 2.0  # world units; parallel cameras only need to stand outside the unit sphere


@dataclasses.dataclass(frozen=True)
class Viewpoint:
    """What a rig may depend on.

    Attributes:
        image_size: side of the square image in pixels.
        projection: ``parallel`` or ``perspective``.
        seed: seed of the run.
        key: key of the sample; (seed, key) seeds whatever a rig draws at random.
    """

    image_size: int
    projection: Projection
    seed: int = 0
    key: str = ""


class Rig(Protocol):
    """From the wish for views to cameras around the unit sphere; equal input gives equal cameras."""

    def __call__(self, viewpoint: Viewpoint, /) -> Cameras:
        """Cameras (V, 4, 4) and (V, 3, 3) for the unit sphere at the world origin."""
        ...


def cameras_around(
    azimuths: FloatArray, elevations: FloatArray, viewpoint: Viewpoint, rolls: FloatArray | None = None
) -> Cameras:
    """Cameras that look at the origin from the given directions, the unit sphere spanning 200/224 of the frame.

    Args:
        azimuths: (V,) degrees from +x toward +y.
        elevations: (V,) degrees above the xy plane.
        viewpoint: image size and projection.
        rolls: (V,) degrees, or None for level cameras.

    Returns:
        Cameras. Parallel: the scale is 100 pixels a world unit at 224 px. Perspective: 40 degrees across the image, at the
        distance where the sphere's outline has the same size.
    """
    size = viewpoint.image_size
    radius = SPHERE_FILL * size / 2
    if viewpoint.projection == "parallel":
        focal, distance = radius, PARALLEL_DISTANCE
    else:
        focal = size / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
        distance = float(1 / np.sin(np.arctan(radius / focal)))  # a sphere's outline is seen under asin(1 / distance)
    azimuth, elevation = np.deg2rad(np.asarray(azimuths, np.float64)), np.deg2rad(np.asarray(elevations, np.float64))
    outward = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    rolls = np.zeros(len(outward)) if rolls is None else rolls
    poses = [look_at(distance * way, np.zeros(3), float(roll)) for way, roll in zip(outward, rolls, strict=True)]
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    return Cameras(
        world_to_camera=np.stack(poses).astype(np.float32),
        intrinsics=np.tile(intrinsics, (len(poses), 1, 1)),
        projection=viewpoint.projection,
        image_size=size,
    )


def mvcnn12(viewpoint: Viewpoint) -> Cameras:
    """Twelve views around the object: azimuth every 30 degrees, elevation 30 (MVCNN; Take-A-Photo, section 4.1)."""
    azimuths = np.arange(0.0, 360.0, 30.0)
    return cameras_around(azimuths, np.full(len(azimuths), 30.0), viewpoint)


RIGS: dict[str, Rig] = {"mvcnn12": mvcnn12}


def checked_cameras(spec: str, rig: Rig, viewpoint: Viewpoint) -> Cameras:
    """The cameras of a rig for a viewpoint, with a user's mistakes told as such.

    Raises:
        RenderError: the rig fails or returns no Cameras.
    """
    try:
        cameras = rig(viewpoint)
    except RenderError:
        raise
    except Exception as error:  # a user's code may fail in any way
        raise RenderError(f"rig {spec!r}: fails with {type(error).__name__}: {error}") from error
    if not isinstance(cameras, Cameras):
        raise RenderError(
            f"rig {spec!r}: returns {type(cameras).__name__}; it must take a Viewpoint and return Cameras"
        )
    return cameras


def load_rig(spec: str) -> Rig:
    """The rig that ``spec`` names.

    Args:
        spec: a name in `RIGS`; a ``.toml`` or ``.json`` file; or ``package.module:function``.

    Returns:
        A rig. A file holds a list ``views``, each with ``azimuth`` and ``elevation`` and maybe ``roll`` (degrees); or with
        ``world_to_camera`` (4 x 4) and ``intrinsics`` (3 x 3, pixels of an image ``image_size`` wide, a key of the file).

    Raises:
        RenderError: no such rig, an unreadable file, or a module without that function.
    """
    if spec in RIGS:
        return RIGS[spec]
    if spec.endswith((".toml", ".json")):
        return _FileRig.read(Path(spec))
    if ":" in spec:
        module_name, _, name = spec.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), name)
        except Exception as error:  # importing runs a user's code, which may fail in any way
            raise RenderError(
                f"rig {spec!r}: {type(error).__name__}: {error}; it must be importable as package.module:function"
            ) from error
        if not callable(found):
            raise RenderError(f"rig {spec!r}: not callable; it must take a Viewpoint and return Cameras")
        rig: Rig = found
        return rig
    raise RenderError(
        f"rig {spec!r} is unknown; name one of {', '.join(sorted(RIGS))}, a .toml or .json file, or package.module:function"
    )


@dataclasses.dataclass(frozen=True)
class _FileRig:
    """A rig read from a file; picklable, so that worker processes can carry it."""

    path: Path
    views: tuple[dict[str, Any], ...]
    image_size: int | None

    @classmethod
    def read(cls, path: Path) -> "_FileRig":
        try:
            text = path.read_text(encoding="utf-8")
            content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        except (OSError, ValueError) as error:
            raise RenderError(f"{path}: cannot read the rig: {error}") from error
        views = content.get("views") if isinstance(content, dict) else None
        unknown = set(content) - {"views", "image_size"} if isinstance(content, dict) else set()
        if unknown:
            raise RenderError(
                f"{path}: unknown key {sorted(unknown)[0]!r}; a rig file has 'views' and maybe 'image_size'"
            )
        if not isinstance(views, list) or not views or not all(isinstance(view, dict) for view in views):
            raise RenderError(f"{path}: a rig file needs a list 'views', each with azimuth and elevation, or matrices")
        for index, view in enumerate(views):
            keys = set(view)
            if not ({"azimuth", "elevation"} <= keys <= {"azimuth", "elevation", "roll"}) and keys != {
                "world_to_camera",
                "intrinsics",
            }:
                raise RenderError(
                    f"{path}: view {index} has {sorted(keys)}; a view has azimuth, elevation and maybe roll, "
                    "or world_to_camera and intrinsics"
                )
            if set(view) & {"azimuth"} != set(views[0]) & {"azimuth"}:
                raise RenderError(f"{path}: view {index} mixes angles with matrices; use one kind in a file")
        return cls(path, tuple(views), content.get("image_size"))

    def __call__(self, viewpoint: Viewpoint) -> Cameras:
        try:
            if "azimuth" in self.views[0]:
                angles = np.array([[view["azimuth"], view["elevation"], view.get("roll", 0.0)] for view in self.views])
                return cameras_around(angles[:, 0], angles[:, 1], viewpoint, rolls=angles[:, 2])
            if self.image_size != viewpoint.image_size:
                raise RenderError(
                    f"{self.path}: its intrinsics are for image_size {self.image_size}, the render asks for "
                    f"{viewpoint.image_size}; give both the same, with image_size in the file and --set image_size="
                )
            return Cameras(
                world_to_camera=np.array([view["world_to_camera"] for view in self.views], np.float32),
                intrinsics=np.array([view["intrinsics"] for view in self.views], np.float32),
                projection=viewpoint.projection,
                image_size=viewpoint.image_size,
            )
        except (ValueError, TypeError) as error:
            raise RenderError(f"{self.path}: {error}") from error
