"""Labelled object families with random proportions, and a data set of them as real files. Nothing here reads a mesh.

A family is a function of a random generator; it lives in the module of its kind (seating, furniture, household,
vehicles, plant) and is built from `render.shapes.solids`. Frame: +z up, metres, standing on z = 0 about the z axis, facing -y.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from render.errors import RenderError
from render.mesh import MESH_SUFFIXES, Mesh
from render.shapes.furniture import bed, bookshelf, table
from render.shapes.household import bottle, guitar, lamp, mug
from render.shapes.placement import grounded, subdivided
from render.shapes.plant import plant
from render.shapes.seating import chair, stool
from render.shapes.vehicles import airplane, car
from render.shapes.write_mesh import write_mesh

FAMILIES: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "airplane": airplane,
    "bed": bed,
    "bookshelf": bookshelf,
    "bottle": bottle,
    "car": car,
    "chair": chair,
    "guitar": guitar,
    "lamp": lamp,
    "mug": mug,
    "plant": plant,
    "stool": stool,
    "table": table,
}
MIN_FACES = 200


def make_shape(family: str, rng: np.random.Generator) -> Mesh:
    """One random object of a family.

    Args:
        family: a key of FAMILIES.
        rng: the only source of chance; the same state gives the same mesh.

    Returns:
        Mesh of 200 to 4000 faces, wound outward, made of closed parts that may overlap; lowest point at z = 0, bounding
        box centred on the z axis, metres.

    Raises:
        RenderError: unknown family.
    """
    mesh = _family(family)(rng)
    while len(mesh.faces) < MIN_FACES:
        mesh = subdivided(mesh)
    return grounded(mesh)


def write_shape_collection(
    folder: Path, num_per_family: int, seed: int, families: Sequence[str] | None = None, test_share: float = 0.25
) -> int:
    """Writes `<class>/<train|test>/<class>_NNNN.<suffix>`, the five formats in turn.

    Numbers start at 1, the last ones are the test objects (as in ModelNet). An object depends on (seed, family, number)
    alone: a larger collection begins with the objects of a smaller one.

    Args:
        folder: made if missing; files of the same names are replaced.
        num_per_family: at least 1.
        seed: not negative.
        families: keys of FAMILIES; None for all.
        test_share: share of each family that goes to test, rounded; 0 to 1.

    Returns:
        The number of files written.

    Raises:
        RenderError: unknown family, a number out of range, or a file that cannot be written.
    """
    names = list(FAMILIES) if families is None else list(families)
    if num_per_family < 1 or seed < 0 or not 0 <= test_share <= 1:
        raise RenderError(
            f"shape collection: got num_per_family {num_per_family}, seed {seed}, test_share {test_share}; "
            "allowed are at least 1, at least 0, and 0 to 1"
        )
    for family in names:
        _family(family)  # a wrong name is told before anything is written
    num_train = num_per_family - round(num_per_family * test_share)
    for place, family in enumerate(names):
        for number in range(1, num_per_family + 1):
            mesh = make_shape(family, np.random.default_rng([seed, zlib.crc32(family.encode()), number]))
            suffix = MESH_SUFFIXES[(place + number) % len(MESH_SUFFIXES)]
            split = folder / family / ("train" if number <= num_train else "test")
            try:
                split.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RenderError(f"{split}: cannot make the folder: {error.strerror}") from error
            write_mesh(mesh, split / f"{family}_{number:04d}{suffix}")
    return len(names) * num_per_family


def _family(name: str) -> Callable[[np.random.Generator], Mesh]:
    if name not in FAMILIES:
        raise RenderError(f"unknown shape family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]
