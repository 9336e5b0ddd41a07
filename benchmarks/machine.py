"""What the benchmarks share: the meshes they take, how they time, and the machine they ran on."""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from render.mesh import MESH_SUFFIXES


def pick_meshes(paths: list[Path], num_meshes: int) -> list[Path]:
    """Evenly spaced meshes of the sorted list below the paths."""
    files = [
        file
        for path in paths
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.suffix.lower() in MESH_SUFFIXES
    ]
    if not files:
        raise SystemExit(f"no mesh below {', '.join(map(str, paths))}")
    return [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(num_meshes, len(files))).astype(int))]


def best_seconds(call: Callable[[], Any], repeats: int, warm_up: bool = False) -> float:
    """The shortest of several timings in seconds, after a call that does not count if asked."""
    if warm_up:
        call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "commit": commit.stdout.strip(), "cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(),
        "python": platform.python_version(), "numpy": np.__version__,
    }  # fmt: skip


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
