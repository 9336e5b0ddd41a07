"""Rigs: which cameras look at an object. A rig is any callable from a `Viewpoint` to `Cameras`.

A rig comes by name (`RIGS`), by name and arguments (`RIG_FAMILIES`), from a TOML or JSON file, or from a user's own code as
``package.module:function``. This file is the way in, and knows no mesh and no rasterizer.
"""

from pathlib import Path

from render.camera import Cameras
from render.errors import RenderError
from render.plugin import called, imported
from render.rigs.named import RIG_FAMILIES, RIGS, mvcnn12
from render.rigs.rig_file import RIG_SUFFIXES, FileRig
from render.viewpoint import FIELD_OF_VIEW, PARALLEL_DISTANCE, SPHERE_FILL, Rig, Viewpoint, cameras_around

__all__ = [
    "FIELD_OF_VIEW", "PARALLEL_DISTANCE", "RIGS", "RIG_FAMILIES", "SPHERE_FILL", "Rig", "Viewpoint", "cameras_around",
    "checked_cameras", "load_rig", "mvcnn12", "rig_names",
]  # fmt: skip


_DUTY = "it must take a Viewpoint and return Cameras"


def checked_cameras(spec: str, rig: Rig, viewpoint: Viewpoint) -> Cameras:
    """The cameras of a rig for a viewpoint, with a user's mistakes told as such.

    Raises:
        RenderError: the rig fails or returns no Cameras.
    """
    return called("rig", spec, _DUTY, Cameras, rig, viewpoint)


def rig_names() -> list[str]:
    """What `load_rig` knows by name: fixed rigs, and families with the form of their arguments."""
    return [*RIGS, *(f"{name}:{family.form}" for name, family in RIG_FAMILIES.items())]


def load_rig(spec: str) -> Rig:
    """The rig that ``spec`` names.

    Args:
        spec: a name in `RIGS`; a family in `RIG_FAMILIES` with its arguments, as in ``orbit:12,30``; a ``.toml`` or ``.json``
            file; or ``package.module:function``. Our names win over a module of the same name.

    Returns:
        A rig. A file holds a list ``views``, each with ``azimuth`` and ``elevation`` and maybe ``roll`` (degrees); or with
        ``world_to_camera`` (4 x 4) and ``intrinsics`` (3 x 3, pixels of an image ``image_size`` wide, a key of the file).

    Raises:
        RenderError: no such rig, arguments that do not fit, an unreadable file, or a module without that function.
    """
    if spec in RIGS:
        return RIGS[spec]
    name, colon, rest = spec.partition(":")
    if name in RIG_FAMILIES:
        return RIG_FAMILIES[name].rig(spec)
    if name in RIGS:
        raise RenderError(f"rig {spec!r}: {name} takes no arguments; leave out {colon + rest!r}")
    if spec.endswith(RIG_SUFFIXES):
        return FileRig.read(Path(spec))
    if colon:
        rig: Rig = imported("rig", spec, _DUTY)
        return rig
    raise RenderError(
        f"rig {spec!r} is unknown; name one of {', '.join(rig_names())}, a .toml or .json file, or package.module:function"
    )
