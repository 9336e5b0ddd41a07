"""Meshes and cameras for the tests of rendering."""

import numpy as np
import pytest

from render.mesh import Mesh
from render.normalization import normalize
from render.shapes.families import FAMILIES, make_shape


def random_soup(seed: int, num_faces: int) -> Mesh:
    """Triangles of all sizes and directions that cut through each other."""
    generator = np.random.default_rng(seed)
    corners = generator.uniform(-0.5, 0.5, (num_faces, 1, 3))
    corners = corners + generator.normal(size=(num_faces, 3, 3)) * generator.uniform(0.001, 0.3, (num_faces, 1, 1))
    return Mesh(corners.reshape(-1, 3), np.arange(3 * num_faces, dtype=np.int64).reshape(-1, 3))


@pytest.fixture(scope="session")
def shapes() -> list[Mesh]:
    """One normalised object of each family, and a soup."""
    made = [normalize(make_shape(family, np.random.default_rng(7))).mesh for family in sorted(FAMILIES)]
    return [*made, normalize(random_soup(0, 300)).mesh]
