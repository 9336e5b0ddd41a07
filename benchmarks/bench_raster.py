"""Our CPU rasterizer against Open3D's ray caster: same meshes, same cameras, one thread, one run.

    python benchmarks/bench_raster.py FOLDER_OR_FILES... [--num-meshes 200] [--projection parallel] [--json OUT]

A mesh counts as: ours, one call for all views (face and depth), and once more with barycentrics. Open3D: one scene a mesh, one
cast for all views with rays made beforehand (barycentrics come with the cast). Best of `--repeats` for each, after warm-up.
Memory is kept between calls, as it is in a worker (see shards/environment.py): else each call would fault its pages in anew.
Coverage and depth are compared in the same run. Last comes a made mesh of 300,000 faces, with its faces in order (neighbours
share cache lines, as exporters write them) and in random order.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import best_seconds, machine, pick_meshes

from render.backends.rasterize_cpu import rasterize_cpu
from render.backends.rasterize_open3d import depth_rays, rasterize_open3d
from render.camera import Cameras
from render.mesh import Mesh, read_mesh
from render.normalization import normalize
from render.rig import Viewpoint, load_rig
from render.shading.barycentrics import barycentrics
from render.shapes.solids import sphere
from shards.engines.environment import ALLOCATOR_VARIABLES


def open3d_cast(mesh: Mesh, rays: Any) -> Any:
    """What a user of Open3D would time: build the scene, cast all views at once."""
    import open3d

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        open3d.core.Tensor(mesh.vertices.astype(np.float32)), open3d.core.Tensor(mesh.faces.astype(np.uint32))
    )
    return scene.cast_rays(rays, nthreads=1)


def fine_mesh(is_shuffled: bool) -> Mesh:
    """A bumpy sphere of 300,000 faces."""
    ball = sphere(1.0, sides=388, stacks=388)
    x, y, z = ball.vertices.T
    bumpy = ball.vertices * (1 + 0.1 * np.sin(9 * x) * np.cos(7 * y) * np.sin(5 * z))[:, None]
    order = np.random.default_rng(0).permutation(len(ball.faces)) if is_shuffled else np.arange(len(ball.faces))
    return normalize(Mesh(bumpy, ball.faces[order]), "z").mesh


def with_barycentrics(mesh: Mesh, cameras: Cameras) -> Any:
    """All that the ray caster gives."""
    fragments = rasterize_cpu(mesh, cameras)
    return fragments, barycentrics(mesh, cameras, fragments)


def compare(mesh: Mesh, cameras: Cameras) -> dict[str, float]:
    """Pixels, differing coverage, and differing depth of one mesh."""
    ours, theirs = rasterize_cpu(mesh, cameras), rasterize_open3d(mesh, cameras)
    both = (ours.face >= 0) & (theirs.face >= 0)
    differs = both & (np.abs(np.where(both, ours.depth, 0.0) - np.where(both, theirs.depth, 0.0)) > 1e-4)
    return {
        "pixels": ours.face.size,
        "coverage_differs": int(((ours.face >= 0) != (theirs.face >= 0)).sum()),
        "hit_by_both": int(both.sum()),
        "depth_differs": int(differs.sum()),
        "depth_differs_off_edges": sum(not on_depth_edge(ours.depth, *place) for place in np.argwhere(differs)),
    }


def on_depth_edge(depth: npt.NDArray[np.float32], view: int, row: int, column: int) -> bool:
    """Whether depth jumps, or the object ends, within a pixel of this one."""
    around = depth[view, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return bool(np.isinf(around).any() or around.max() - around.min() > 0.02)


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--num-meshes", type=int, default=200)
    parser.add_argument("--projection", choices=["parallel", "perspective"], default="parallel")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--up", choices=["y", "z"], default="y")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_memory()
    import open3d

    cameras = load_rig("mvcnn12")(Viewpoint(arguments.image_size, arguments.projection))
    rays = open3d.core.Tensor(depth_rays(cameras))
    rows: list[dict[str, Any]] = []
    for path in pick_meshes(arguments.paths, arguments.num_meshes):
        mesh = normalize(read_mesh(path), arguments.up).mesh
        rasterize_cpu(mesh, cameras)
        ours = best_seconds(lambda mesh=mesh: rasterize_cpu(mesh, cameras), arguments.repeats)
        full = best_seconds(lambda mesh=mesh: with_barycentrics(mesh, cameras), arguments.repeats)
        theirs = best_seconds(lambda mesh=mesh: open3d_cast(mesh, rays), arguments.repeats)
        milliseconds = {"ours_ms": ours * 1e3, "ours_with_barycentrics_ms": full * 1e3, "open3d_ms": theirs * 1e3}
        rows.append({"faces": len(mesh.faces), **milliseconds, **compare(mesh, cameras)})
    fine = {}
    for name in ("ordered", "shuffled"):
        mesh = fine_mesh(name == "shuffled")
        ours = best_seconds(lambda mesh=mesh: rasterize_cpu(mesh, cameras), arguments.repeats)
        theirs = best_seconds(lambda mesh=mesh: open3d_cast(mesh, rays), arguments.repeats)
        fine[name] = {
            "faces": len(mesh.faces),
            "ours_ms": ours * 1e3,
            "open3d_ms": theirs * 1e3,
            "ratio": theirs / ours,
        }
    report = summarize(rows) | {
        "fine": fine,
        "config": {k: str(v) for k, v in vars(arguments).items() if k not in ("json", "paths")},
    }
    report["machine"] = machine()
    for name, value in report.items():
        print(f"{name:24} {value:.9g}" if isinstance(value, float) else f"{name:24} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def keep_memory() -> None:
    """Start over with an allocator that keeps what is freed; it reads its settings only when a process begins."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR_VARIABLES.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR_VARIABLES)


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, the ratio, and the agreement over all meshes."""
    column = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    ratio = column["open3d_ms"] / column["ours_ms"]
    full = column["open3d_ms"] / column["ours_with_barycentrics_ms"]
    return {
        "meshes": len(rows),
        "faces_median": float(np.median(column["faces"])),
        "ours_ms_median": float(np.median(column["ours_ms"])),
        "open3d_ms_median": float(np.median(column["open3d_ms"])),
        "ratio_median": float(np.median(ratio)),
        "ratio_p10": float(np.percentile(ratio, 10)),
        "ratio_p90": float(np.percentile(ratio, 90)),
        "ours_with_barycentrics_ms_median": float(np.median(column["ours_with_barycentrics_ms"])),
        "ratio_with_barycentrics_median": float(np.median(full)),
        "coverage_equal": 1 - float(column["coverage_differs"].sum() / column["pixels"].sum()),
        "depth_differs_off_edges": int(column["depth_differs_off_edges"].sum()),
        "depth_within_1e-4": 1 - float(column["depth_differs"].sum() / column["hit_by_both"].sum()),
    }


if __name__ == "__main__":
    main()
