"""The table of rasterizers, and the choice of one by name."""

import importlib.util
from collections.abc import Callable

from render.errors import RenderError
from render.fragments import Rasterizer


def _cpu() -> Rasterizer:
    from render.rasterize_cpu import rasterize_cpu

    return rasterize_cpu


def _open3d() -> Rasterizer:
    try:
        import open3d  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a system library is missing
        raise RenderError(
            f"backend open3d: {error}; see the README on system libraries, or use --backend cpu"
        ) from error
    from render.rasterize_open3d import rasterize_open3d

    return rasterize_open3d


def _pytorch3d() -> Rasterizer:
    if importlib.util.find_spec("pytorch3d") is None:
        raise RenderError(
            "backend pytorch3d: the package pytorch3d is not installed; install it (conda-forge, or from source by its "
            "own INSTALL guide) or use --backend cpu"
        )
    from render.rasterize_pytorch3d import rasterize_pytorch3d

    return rasterize_pytorch3d


# Each entry imports its library only when it is chosen.
RASTERIZERS: dict[str, Callable[[], Rasterizer]] = {"cpu": _cpu, "open3d": _open3d, "pytorch3d": _pytorch3d}


def load_rasterizer(name: str) -> Rasterizer:
    """The rasterizer of that name.

    Raises:
        RenderError: an unknown name, or its library is not installed.
    """
    if name not in RASTERIZERS:
        raise RenderError(f"backend {name!r} is unknown; name one of {', '.join(sorted(RASTERIZERS))}")
    return RASTERIZERS[name]()
