"""The table of rasterizers, and the choice of one by name."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence

import numpy as np

from render.backends.batch_drawing import DrawBatch
from render.camera import Cameras
from render.errors import RenderError
from render.fragments import Fragments, Rasterizer
from render.mesh import Mesh, check_finite
from render.plugin import called, imported


def _cpu() -> Rasterizer:
    from render.backends.rasterize_cpu import rasterize_cpu

    return rasterize_cpu


def _open3d() -> Rasterizer:
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a system library is missing
        raise RenderError(
            f"backend open3d: {error}; see the README on system libraries, or use --backend cpu"
        ) from error
    from render.backends.rasterize_open3d import rasterize_open3d

    return rasterize_open3d


def _pytorch3d() -> Rasterizer:
    _check_pytorch3d()
    from render.backends.rasterize_pytorch3d import rasterize_pytorch3d

    return rasterize_pytorch3d


_DUTY = "it must take a Mesh and Cameras and return Fragments"
# Each entry imports its library only when it is chosen.
RASTERIZERS: dict[str, Callable[[], Rasterizer]] = {"cpu": _cpu, "open3d": _open3d, "pytorch3d": _pytorch3d}


def resolve_backend(name: str) -> str:
    """The backend that a name stands for: ``auto`` is pytorch3d where the package and a GPU are there, else cpu.

    Args:
        name: ``auto``, a name in `RASTERIZERS`, or ``package.module:function``.

    Returns:
        A name for `load_rasterizer`; any but ``auto`` as it is. Nothing but ``auto`` imports anything, and that imports
        torch only where pytorch3d is installed.

    Raises:
        RenderError: an unknown name.
    """
    if name == "auto":
        return "pytorch3d" if draws_on_gpu("pytorch3d") else "cpu"
    if name not in RASTERIZERS and ":" not in name:
        raise RenderError(
            f"backend {name!r} is unknown; name one of auto, {', '.join(sorted(RASTERIZERS))}, or package.module:function"
        )
    return name


def draws_on_gpu(name: str) -> bool:
    """Whether a backend draws on a GPU here, which one process should then own (`render.backends.draw_server`).

    Args:
        name: as `resolve_backend` returns it.
    """
    if name != "pytorch3d" or importlib.util.find_spec("pytorch3d") is None:
        return False
    import torch

    return torch.cuda.is_available()


def load_rasterizer(name: str) -> Rasterizer:
    """The rasterizer of that name.

    Args:
        name: ``auto``, a name in `RASTERIZERS`, or ``package.module:function``.

    Returns:
        A rasterizer; one of a user's own is wrapped so that its mistakes are told as such.

    Raises:
        RenderError: an unknown name, a library that is not installed, or a module without that function.
    """
    name = resolve_backend(name)
    if name in RASTERIZERS:
        return RASTERIZERS[name]()
    return _CheckedRasterizer(name, imported("backend", name, _DUTY))


def load_batch_drawing(name: str) -> DrawBatch:
    """What draws many meshes with a backend: pytorch3d in batches, every other one mesh by mesh.

    Raises:
        RenderError: as `load_rasterizer`.
    """
    name = resolve_backend(name)
    if name == "pytorch3d":
        _check_pytorch3d()
        from render.backends.rasterize_pytorch3d import draw_batch

        return draw_batch
    return _OneByOne(load_rasterizer(name))


def _check_pytorch3d() -> None:
    if importlib.util.find_spec("pytorch3d") is None:
        raise RenderError(
            "backend pytorch3d: the package pytorch3d is not installed; install it (conda-forge, or from source by its "
            "own INSTALL guide) or use --backend cpu"
        )
    try:
        import torch  # noqa: F401  # first: its libraries are what the next line links to
        from pytorch3d import _C  # noqa: F401
    except (ImportError, OSError) as error:  # its compiled part fits one version of torch only
        raise RenderError(
            f"backend pytorch3d: installed, but it does not import: {error}; build it for the torch that is installed, "
            "or use --backend cpu"
        ) from error


@dataclasses.dataclass(frozen=True)
class _OneByOne:
    rasterize: Rasterizer

    def __call__(self, requests: Sequence[tuple[Mesh, Cameras]], /) -> list[Fragments]:
        return [self.rasterize(mesh, cameras) for mesh, cameras in requests]


@dataclasses.dataclass(frozen=True)
class _CheckedRasterizer:
    """A user's rasterizer: what it is given, raises and returns is checked on each call."""

    name: str
    rasterize: Rasterizer

    def __call__(self, mesh: Mesh, cameras: Cameras, /) -> Fragments:
        check_finite(mesh, "rasterize")
        fragments = called("backend", self.name, _DUTY, Fragments, self.rasterize, mesh, cameras)
        self._check(fragments, mesh, cameras)
        return fragments

    def _check(self, fragments: Fragments, mesh: Mesh, cameras: Cameras) -> None:
        """Compiled loops look up faces without a look at bounds."""
        shape = (cameras.num_views, cameras.image_size, cameras.image_size)
        for part, array, dtype in (("face", fragments.face, np.int32), ("depth", fragments.depth, np.float32)):
            is_array = isinstance(array, np.ndarray)
            if not is_array or array.shape != shape or array.dtype != dtype:
                found = f"{array.dtype} {array.shape}" if is_array else type(array).__name__
                raise RenderError(f"backend {self.name!r}: {part} is {found}; it must be {np.dtype(dtype)} {shape}")
        lowest, highest = int(fragments.face.min()), int(fragments.face.max())
        if lowest < -1 or highest >= len(mesh.faces):
            wrong = lowest if lowest < -1 else highest
            raise RenderError(
                f"backend {self.name!r}: face {wrong} of {len(mesh.faces)}; where nothing is it must be -1"
            )
        if not ((fragments.face >= 0) == np.isfinite(fragments.depth)).all():
            raise RenderError(f"backend {self.name!r}: depth must be finite where a face is, and inf where none is")
