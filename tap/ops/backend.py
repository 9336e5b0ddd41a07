"""Which implementation of the point operations runs: chosen by name, or by where the tensors are."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from tap.errors import TapError
from tap.ops import cpu, pytorch3d_ops, reference, triton_ops

BackendName = Literal["auto", "reference", "cpu", "triton", "pytorch3d"]


class PointOps(Protocol):
    """What a module must have to be one of `BACKENDS`; points are detached float32, arguments checked."""

    def farthest_point_sampling(self, points: Tensor, num_samples: int, mask: Tensor | None) -> Tensor:
        """(B, N, 3) to (B, S) int64."""

    def ball_query(
        self, points: Tensor, centers: Tensor, radius: float, num_neighbors: int, mask: Tensor | None
    ) -> Tensor:
        """(B, N, 3), (B, G, 3) to (B, G, K) int64."""

    def nearest_neighbors(self, points: Tensor, centers: Tensor, num_neighbors: int, mask: Tensor | None) -> Tensor:
        """(B, N, C), (B, G, C) to (B, G, K) int64."""

    def gather(self, features: Tensor, index: Tensor) -> Tensor:
        """(B, N, C), (B, ...) to (B, ..., C)."""

    def interpolate(self, features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        """(B, G, C), (B, N, K), (B, N, K) to (B, N, C)."""

    def group_add(self, features: Tensor, index: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, N, C), (B, G, K), (B, G, C) to (B, G, K, C) of ``dtype``."""

    def group_max(self, rows: Tensor) -> Tensor:
        """(R, K, C) to (R, C)."""

    def offset_variance(self, features: Tensor, index: Tensor, own: Tensor, kept: Tensor | None) -> Tensor:
        """(B, N, C), (B, G, K), (B, G, C), (B, G) or None to (B,)."""


BACKENDS: dict[str, PointOps] = {
    "reference": reference,
    "cpu": cpu,
    "triton": triton_ops,
    "pytorch3d": pytorch3d_ops,
}
_choice: str = "auto"


def available() -> tuple[str, ...]:
    """The names that `set_backend` takes on this machine, `auto` first."""
    return tuple(name for name in get_args(BackendName) if not _missing(name))


def set_backend(name: str) -> None:
    """Choose who computes the point operations from now on, in this process.

    Args:
        name: `auto` takes the compiled loops for tensors on the CPU, Triton for those on CUDA where it is installed, and
            the plain reference elsewhere; the other names of `BACKENDS` are taken as they are, wherever the tensors are.

    Raises:
        TapError: the name is unknown, or what it needs is not here.
    """
    global _choice
    if name not in get_args(BackendName):
        raise TapError(f"ops: unknown backend {name!r}; known are {', '.join(get_args(BackendName))}")
    if missing := _missing(name):
        raise TapError(f"ops: backend {name!r} needs {missing}; here are {', '.join(available())}")
    _choice = name


@contextmanager
def use(name: str) -> Iterator[None]:
    """`set_backend` for the time of a ``with`` block."""
    before = _choice
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def backend_for(device: torch.device) -> PointOps:
    """The implementation that serves tensors of a device.

    Raises:
        TapError: the chosen one does not.
    """
    name = _choice
    if name == "auto":
        name = {"cpu": "cpu", "cuda": "triton" if _TRITON else "reference"}.get(device.type, "reference")
    elif device.type != "cpu" and name == "cpu":
        raise TapError(f"ops: backend 'cpu' got tensors on {device}; choose auto")
    elif device.type != "cuda" and name == "triton" and not _interpreted():
        raise TapError(f"ops: backend 'triton' got tensors on {device}; choose auto")
    return BACKENDS[name]


def _missing(name: str) -> str:
    """What a backend lacks on this machine, in words; empty if nothing."""
    if name == "pytorch3d" and find_spec("pytorch3d") is None:
        return "the package pytorch3d (from conda-forge or its source)"
    if name == "triton" and not _TRITON:
        return "the package triton (pip install triton, Linux only)"
    if name == "triton" and not (torch.cuda.is_available() or _interpreted()):
        return "a CUDA device"
    return ""


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


_TRITON = find_spec("triton") is not None
