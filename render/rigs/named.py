"""The named rigs: fixed ones by name alone, and families that take arguments, as in ``orbit:12,30``."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from render.camera import Cameras, FloatArray
from render.errors import RenderError
from render.randomness import generator_for
from render.viewpoint import Rig, Viewpoint, cameras_around

MAX_VIEWS = 1000
_GOLDEN_RATIO = (1 + 5**0.5) / 2


def mvcnn12(viewpoint: Viewpoint) -> Cameras:
    """Twelve cameras: azimuth every 30 degrees, elevation 30.

    Source: MVCNN, first camera setup; Take-A-Photo, section 4.1.
    """
    azimuths = np.arange(0.0, 360.0, 30.0)
    return cameras_around(azimuths, np.full(len(azimuths), 30.0), viewpoint)


def mvcnn80(viewpoint: Viewpoint) -> Cameras:
    """The cameras of dodecahedron20, each rolled by 0, 90, 180, 270 degrees.

    View 4 k + r is vertex k with roll 90 r.

    Source: MVCNN, second camera setup; its text says icosahedron, which has 12 vertices, not the 20 that it counts.
    """
    azimuths, elevations = _dodecahedron_angles()
    rolls = np.tile([0.0, 90.0, 180.0, 270.0], len(azimuths))
    return cameras_around(np.repeat(azimuths, 4), np.repeat(elevations, 4), viewpoint, rolls)


def dodecahedron20(viewpoint: Viewpoint) -> Cameras:
    """Level cameras at the vertices of a dodecahedron, from top to bottom.

    Source: RotationNet, and MVCNN's second camera setup without its rotations.
    """
    return cameras_around(*_dodecahedron_angles(), viewpoint)


def axes6(viewpoint: Viewpoint) -> Cameras:
    """Cameras on +x, -x, +y, -y, +z, -z; for the last two, +y is up."""
    azimuths = np.array([0.0, 180.0, 90.0, 270.0, 0.0, 0.0])
    return cameras_around(azimuths, np.array([0.0, 0.0, 0.0, 0.0, 90.0, -90.0]), viewpoint)


def orbit(num_views: int, elevation: float, viewpoint: Viewpoint) -> Cameras:
    """Azimuths evenly around from +x, all at one elevation in degrees."""
    return cameras_around(np.arange(num_views) * (360.0 / num_views), np.full(num_views, elevation), viewpoint)


def fibonacci(num_views: int, viewpoint: Viewpoint) -> Cameras:
    """Directions spread evenly over the sphere, from top to bottom."""
    index = np.arange(num_views)
    heights = 1 - (2 * index + 1) / num_views
    azimuths = index * (360.0 / _GOLDEN_RATIO**2) % 360.0
    return cameras_around(azimuths, np.rad2deg(np.arcsin(heights)), viewpoint)


def random(num_views: int, viewpoint: Viewpoint) -> Cameras:
    """Directions uniform on the sphere, drawn anew for each sample."""
    # A stream of its own: cameras must not depend on how many points are drawn.
    generator = generator_for(viewpoint.seed, f"{viewpoint.key}/rig")
    # One row a view: the first of many views are those of a rig with fewer.
    draws = generator.random((num_views, 2))
    return cameras_around(360.0 * draws[:, 0], np.rad2deg(np.arcsin(2 * draws[:, 1] - 1)), viewpoint)


def _dodecahedron_angles() -> tuple[FloatArray, FloatArray]:
    """Azimuths and elevations of the vertices in degrees, (20,) each, highest first, then by azimuth."""
    signs = [(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    ratio, inverse = _GOLDEN_RATIO, 1 / _GOLDEN_RATIO
    corners = np.array(
        [(a, b, c) for a, b in signs for c in (-1.0, 1.0)]
        + [(0.0, a * inverse, b * ratio) for a, b in signs]
        + [(a * inverse, b * ratio, 0.0) for a, b in signs]
        + [(a * ratio, 0.0, b * inverse) for a, b in signs]
    )
    azimuths = np.rad2deg(np.arctan2(corners[:, 1], corners[:, 0])) % 360.0
    elevations = np.rad2deg(np.arcsin(corners[:, 2] / 3**0.5))
    order = np.lexsort((np.round(azimuths, 6), -np.round(elevations, 6)))
    return azimuths[order], elevations[order]


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a family of rigs: its name in help and errors, its type, and its bounds (both allowed)."""

    name: str
    kind: type[int] | type[float]
    low: float
    high: float

    def parsed(self, text: str) -> int | float:
        """The value that ``text`` stands for; ValueError with the bounds if it is none."""
        try:
            value = self.kind(text)
        except ValueError:
            value = float("nan")
        if not self.low <= value <= self.high:
            kind = "a whole number" if self.kind is int else "a number"
            raise ValueError(f"{self.name} is {text!r}, not {kind} from {self.low:g} to {self.high:g}")
        return value


@dataclasses.dataclass(frozen=True)
class RigFamily:
    """Rigs that differ by their arguments.

    Attributes:
        build: takes the arguments in order, then a Viewpoint, and returns Cameras; a function of a module, so that the
            rig can be pickled.
        arguments: at least one.
        example: arguments as they are written after the colon.
    """

    build: Callable[..., Cameras]
    arguments: tuple[Argument, ...]
    example: str

    @property
    def form(self) -> str:
        """How the arguments are written, as in ``N,ELEVATION``."""
        return ",".join(argument.name for argument in self.arguments)

    @property
    def bounds(self) -> str:
        """What the arguments may be, as in ``N 1 to 1000``."""
        return ", ".join(f"{argument.name} {argument.low:g} to {argument.high:g}" for argument in self.arguments)

    def rig(self, spec: str) -> Rig:
        """The rig of ``spec``, ``name:arguments``; RenderError with the expected form if the arguments do not fit."""
        name, _, text = spec.partition(":")
        values = text.split(",")
        problem = ""
        if len(values) == len(self.arguments):
            try:
                return functools.partial(
                    self.build,
                    *(argument.parsed(value) for argument, value in zip(self.arguments, values, strict=True)),
                )
            except ValueError as error:
                problem = f" ({error})"
        raise RenderError(f"rig {spec!r}: wants {name}:{self.form}, e.g. {name}:{self.example}{problem}")


_NUM_VIEWS = Argument("N", int, 1, MAX_VIEWS)
# At +-90 all azimuths would be one camera; axes6 looks from there.
_ELEVATION = Argument("ELEVATION", float, -89, 89)

RIGS: dict[str, Rig] = {"mvcnn12": mvcnn12, "mvcnn80": mvcnn80, "dodecahedron20": dodecahedron20, "axes6": axes6}
RIG_FAMILIES: dict[str, RigFamily] = {
    "orbit": RigFamily(orbit, (_NUM_VIEWS, _ELEVATION), "12,30"),
    "fibonacci": RigFamily(fibonacci, (_NUM_VIEWS,), "24"),
    "random": RigFamily(random, (_NUM_VIEWS,), "8"),
}
