"""`tap rigs`: the rigs there are, where the cameras of one stand, and a picture of them."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from render import Mesh, RenderConfig, RenderError, normalize, read_mesh
from render.camera import Cameras
from render.rig import RIG_FAMILIES, RIGS, Viewpoint, checked_cameras, load_rig
from render.rigs.framing import fit_cameras
from render.rigs.perturbation import perturbed
from render.rigs.rig_picture import rig_picture
from render.shapes.families import make_shape
from render.viewpoint import camera_angles
from tap.config import validated

_SHOWN_CAMERAS = 12
_CHAIR_SEED = 1  # a plain chair with arms, whose front, back and sides differ


def list_rigs() -> None:
    """Print the rigs that have a name, what they are, and how else a rig can be given."""
    table = Table("rig", "views", "what it is", "example", box=None, pad_edge=False)
    for name, rig in RIGS.items():
        num_views = checked_cameras(name, rig, Viewpoint(64, "parallel")).num_views
        table.add_row(name, str(num_views), _about(rig))
    for name, family in RIG_FAMILIES.items():
        about = f"{_about(family.build)} ({family.bounds})"
        table.add_row(f"{name}:{family.form}", "N", about, f"{name}:{family.example}")
    table.add_row("FILE.toml, FILE.json", "", "Views by azimuth, elevation and roll, or by matrices", "my_rig.toml")
    table.add_row("package.module:function", "", "A function from Viewpoint to Cameras", "my_rigs:tilted")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "\nEach in both projections, with --jitter, --roll and --fit. To draw one: tap rigs mvcnn80 --out rig.png"
    )


def draw_rig(given: dict[str, Any], out: Path | None = None, mesh_path: Path | None = None, key: str = "") -> Cameras:
    """Print where a rig's cameras stand, and draw them around an object.

    Args:
        given: settings of `RenderConfig` by name: ``rig``, and maybe ``projection``, ``fit``, ``jitter``, ``roll``,
            ``image_size``, ``seed``, and ``up`` of the mesh file.
        out: a .png file for the picture; None to draw none.
        mesh_path: the object; None for a chair.
        key: key of the sample that random rigs, jitter and roll are drawn for.

    Returns:
        The cameras.

    Raises:
        RenderError, TapError: a setting is wrong, the rig or the mesh cannot be used, or ``out`` cannot be written.
    """
    config = RenderConfig(up="z" if mesh_path is None else "y")
    for name, value in given.items():  # one by one, so that an error names the option that was typed
        config = validated(RenderConfig, config.model_dump() | {name: value}, f"--{name.replace('_', '-')}")
    if out is not None and out.suffix.lower() != ".png":
        raise RenderError(f"--out {out}: the picture is a PNG; give a name that ends in .png")
    mesh = make_shape("chair", np.random.default_rng(_CHAIR_SEED)) if mesh_path is None else read_mesh(mesh_path)
    cameras = _cameras(config, mesh, str(mesh_path or "chair"), key)
    console = Console(highlight=False)
    _print_cameras(console, config, cameras)
    if out is not None:
        picture = rig_picture(cameras, mesh, config.up, title=_title(config))
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(picture)
        except OSError as error:
            raise RenderError(f"{out}: cannot be written: {error.strerror or error}") from error
        console.print(f"picture: {escape(str(out))}", soft_wrap=True)
    return cameras


def _about(rig: object) -> str:
    return (inspect.getdoc(rig) or "").partition("\n")[0].rstrip(".")


def _cameras(config: RenderConfig, mesh: Mesh, where: str, key: str) -> Cameras:
    rig = perturbed(load_rig(config.rig), config.jitter, config.roll)
    viewpoint = Viewpoint(config.image_size, config.projection, config.seed, key)
    cameras = checked_cameras(config.rig, rig, viewpoint)
    if config.fit == "object":
        cameras = fit_cameras(cameras, normalize(mesh, config.up, where=where).mesh.vertices)
    return cameras


def _title(config: RenderConfig) -> str:
    """The rig, and what differs from it standing by itself."""
    changes = [f"jitter {config.jitter:g}°"] * (config.jitter > 0) + [f"roll {config.roll:g}°"] * (config.roll > 0)
    return ", ".join([config.rig, *changes, *["fit object"] * (config.fit == "object")])


def _print_cameras(console: Console, config: RenderConfig, cameras: Cameras) -> None:
    views = f"{cameras.num_views} view{'s' * (cameras.num_views > 1)} of {config.image_size} px"
    console.print(f"{escape(_title(config))}: {views}, {config.projection}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("view", "azimuth", "elevation", "roll", "distance", "fx"):
        table.add_column(name, justify="right")
    shown = camera_angles(cameras)[:_SHOWN_CAMERAS]
    for view, (azimuth, elevation, roll, distance) in enumerate(shown):
        angles = [f"{angle:.1f}°" for angle in (azimuth, elevation, roll)]
        table.add_row(str(view), *angles, f"{distance:.3f}", f"{cameras.intrinsics[view, 0, 0]:.1f} px")
    if cameras.num_views > _SHOWN_CAMERAS:
        table.add_row("...")
    console.print(table)
