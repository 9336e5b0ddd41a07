"""Rigs from files: the views of a .toml or .json file, by angles or by matrices."""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from render.camera import Cameras
from render.errors import RenderError
from render.viewpoint import Viewpoint, cameras_around

RIG_SUFFIXES = (".toml", ".json")


@dataclasses.dataclass(frozen=True)
class FileRig:
    """A rig read from a file; picklable, so that worker processes can carry it.

    Attributes:
        path: the file, for messages.
        views: of each view ``azimuth``, ``elevation`` and maybe ``roll`` (degrees), or ``world_to_camera`` and ``intrinsics``.
        image_size: side in pixels that the intrinsics are for; None with angles.
    """

    path: Path
    views: tuple[dict[str, Any], ...]
    image_size: int | None

    @classmethod
    def read(cls, path: Path) -> "FileRig":
        """The rig in a file.

        Raises:
            RenderError: the file cannot be read, or a key is unknown or missing.
        """
        try:
            text = path.read_text(encoding="utf-8")
            content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        except (OSError, ValueError, RecursionError) as error:  # the last by brackets in thousands
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
        """The file's cameras; RenderError if a value is no number, or the matrices are for another image size."""
        try:
            if "azimuth" in self.views[0]:
                angles = np.array([[view["azimuth"], view["elevation"], view.get("roll", 0.0)] for view in self.views])
                if not np.isfinite(angles.astype(np.float64)).all():
                    raise ValueError("an angle is not a finite number of degrees")
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
        except (ValueError, TypeError, OverflowError) as error:
            raise RenderError(f"{self.path}: {error}") from error
