"""Every installed backend on the same meshes and cameras: time a mesh, and how far its pictures are from the cpu backend's.

    python benchmarks/bench_backends.py FOLDER [--num-meshes 40] [--max-faces 3000] [--projection parallel] [--json OUT]

Twelve views of 224 px, one thread, best of `--repeats` after warm-up, median over the meshes; what Open3D and pytorch3d need to
set up a mesh is counted in, as a render pays for it. Agreement: share of pixels with equal coverage; of those that both hit,
the share within 1e-4 in depth and within 2/255 in clay grey.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from bench_raster import keep_memory
from machine import best_seconds, machine, pick_meshes

from render import RASTERIZERS, Mesh, RenderError, load_rasterizer, load_rig, normalize, read_mesh
from render.camera import Cameras
from render.fragments import Rasterizer
from render.rasterizers import draws_on_gpu
from render.rig import Viewpoint
from render.shading.shade import shade
from render.shading.shade_config import ShadeConfig


def agreement(mesh: Mesh, cameras: Cameras, backend: Rasterizer) -> list[int]:
    """Pixels, pixels of equal coverage, pixels hit by both, and of these those that agree in depth and in grey."""
    truth, other = load_rasterizer("cpu")(mesh, cameras), backend(mesh, cameras)
    both = (truth.face >= 0) & (other.face >= 0)
    near = np.abs(np.where(both, truth.depth, 0.0) - np.where(both, other.depth, 0.0)) <= 1e-4
    first, second = (shade(mesh, cameras, drawn, ShadeConfig())[..., 0].astype(int) for drawn in (truth, other))
    equal = (truth.face >= 0) == (other.face >= 0)
    grey = np.abs(first - second) <= 2
    return [truth.face.size, int(equal.sum()), int(both.sum()), int((near & both).sum()), int((grey & both).sum())]


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--num-meshes", type=int, default=40)
    parser.add_argument("--max-faces", type=int, default=3000)
    parser.add_argument("--projection", choices=["parallel", "perspective"], default="parallel")
    parser.add_argument("--up", choices=["y", "z"], default="y")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slow-meshes", type=int, default=4, help="meshes for pytorch3d where it has no GPU")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_memory()
    cameras = load_rig("mvcnn12")(Viewpoint(224, arguments.projection))
    read = (
        normalize(read_mesh(path), arguments.up).mesh for path in pick_meshes(arguments.paths, 4 * arguments.num_meshes)
    )
    meshes = [mesh for mesh in read if len(mesh.faces) <= arguments.max_faces][: arguments.num_meshes]
    report: dict[str, Any] = {"backends": {}}
    for name in RASTERIZERS:
        try:
            backend = load_rasterizer(name)
        except RenderError as error:
            print(f"{name}: {error}")
            continue
        is_slow = name == "pytorch3d" and not draws_on_gpu(name)
        chosen = meshes[:: -(-len(meshes) // arguments.slow_meshes)] if is_slow else meshes
        repeats = 1 if is_slow else arguments.repeats
        backend(chosen[0], cameras)
        times = [best_seconds(functools.partial(backend, mesh, cameras), repeats) for mesh in chosen]
        pixels, equal, both, near, grey = np.sum([agreement(mesh, cameras, backend) for mesh in chosen], axis=0)
        report["backends"][name] = {
            "on": "GPU" if draws_on_gpu(name) else "CPU",
            "meshes": len(chosen),
            "milliseconds_median": float(np.median(times)) * 1e3,
            "coverage_equal": float(equal / pixels),
            "depth_within_1e-4": float(near / both),
            "grey_within_2": float(grey / both),
        }
        print(name, json.dumps(report["backends"][name]))
    report["faces_median"] = float(np.median([len(mesh.faces) for mesh in meshes]))
    report["config"] = {name: str(value) for name, value in vars(arguments).items() if name not in ("json", "paths")}
    report["machine"] = machine()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
