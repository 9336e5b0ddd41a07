"""Checkpoints as others write them: their names and shapes, weights drawn from each name."""

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

DATA = Path(__file__).parent / "data"
Case = dict[str, npt.NDArray[Any]]


def drawn_weights(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Tensors of these names and shapes, each drawn from its own name, so that signals neither die nor grow."""
    drawn: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        uniform = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(shape) * 2 - 1
        if name.endswith("num_batches_tracked"):
            drawn[name] = torch.tensor(7)
            continue
        if name.endswith("running_var"):
            values = 1.25 + 0.75 * uniform
        elif name.endswith(("running_mean", "bias", "affine_beta")):
            values = 0.2 * uniform
        elif len(shape) == 1 or name.endswith("affine_alpha"):
            values = np.where(uniform > -0.7, 1 + 0.5 * uniform, uniform)
        else:
            values = uniform * (2 / np.prod(shape[1:])) ** 0.5
        drawn[name] = torch.from_numpy(np.asarray(values, np.float32))
    return drawn


@pytest.fixture(scope="session")
def load_case() -> Callable[[str], tuple[dict[str, Tensor], Case]]:
    """Of a name: their weights, and the arrays that their modules took and gave."""

    def load(name: str) -> tuple[dict[str, Tensor], Case]:
        shapes = json.loads((DATA / "shapes.json").read_text(encoding="utf-8"))[name]
        with np.load(DATA / f"{name}.npz") as arrays:
            return drawn_weights(shapes), dict(arrays)

    return load
