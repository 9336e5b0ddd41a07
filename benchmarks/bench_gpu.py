"""The pytorch3d backend: one mesh at a time against the batched stage, on a GPU where there is one.

    python benchmarks/bench_gpu.py FOLDER [--num-meshes 200] [--workers 8] [--json OUT]

Two questions, each asked of the same meshes in one run. Drawing: meshes read beforehand, `rasterize_pytorch3d` on each, against
`draw_batch` on 32 at a time; on a GPU also with the naive kernel alone and with the binned one alone, and the CPU rasterizer
beside them. The stage: read, normalise, draw, shade; in one process one mesh after the other, against worker processes that
leave the drawing to a draw server, whose mean batch and idle share are reported. Every kernel, library and process is warm.
The results are compared with the CPU rasterizer's in the same run.

Without a GPU the drawing is pytorch3d's CPU build, which is slow: few small views of small meshes are drawn, and the
figures say nothing but that all of it runs.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import best_seconds, machine, pick_meshes

from render.backends import batch_plan
from render.backends.batch_drawing import DrawBatch
from render.backends.draw_server import MAX_BATCH, DrawServer
from render.backends.rasterize_cpu import rasterize_cpu
from render.camera import Cameras
from render.fragments import Fragments, Rasterizer
from render.mesh import Mesh, read_mesh
from render.normalization import normalize
from render.rasterizers import load_batch_drawing, load_rasterizer
from render.rig import Viewpoint, load_rig
from render.shading.shade import shade
from render.shading.shade_config import ShadeConfig

PATIENCE = 1800.0  # seconds, after which a worker that died is not waited for any longer


def in_batches(draw: DrawBatch, requests: Sequence[tuple[Mesh, Cameras]], size: int) -> list[Fragments]:
    """All requests, ``size`` at a time."""
    return [f for first in range(0, len(requests), size) for f in draw(requests[first : first + size])]


def drawing(meshes: list[Mesh], cameras: Cameras, batch: int, repeats: int) -> dict[str, Any]:
    """Milliseconds a mesh of each way of drawing, and the agreement with the CPU rasterizer."""
    requests = [(mesh, cameras) for mesh in meshes]
    draw, alone = load_batch_drawing("pytorch3d"), load_rasterizer("pytorch3d")
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "one at a time": (lambda: [alone(*request) for request in requests], batch_plan.BINNED_FACES),
        f"batches of {batch}": (lambda: in_batches(draw, requests, batch), batch_plan.BINNED_FACES),
    }
    if torch.cuda.is_available():
        ways["batches, naive kernel"] = ways[f"batches of {batch}"][0], 10**9
        ways["batches, binned kernel"] = ways[f"batches of {batch}"][0], 1
    ways["cpu rasterizer, one thread"] = (lambda: [rasterize_cpu(*request) for request in requests], 1)
    milliseconds, usual = {}, batch_plan.BINNED_FACES
    for name, (call, binned_faces) in ways.items():
        batch_plan.BINNED_FACES = binned_faces
        milliseconds[name] = best_seconds(call, repeats, warm_up=True) / len(meshes) * 1e3
    batch_plan.BINNED_FACES = usual
    return {"ms_per_mesh": milliseconds, "agreement": agreement(in_batches(draw, requests, batch), requests)}


def agreement(results: list[Fragments], requests: list[tuple[Mesh, Cameras]]) -> dict[str, float]:
    """Shares of pixels with equal coverage, and of pixels hit by both within 1e-4 in depth."""
    pixels = equal = both_hit = close = 0
    for ours, request in zip(results, requests, strict=True):
        truth = rasterize_cpu(*request)
        both = (truth.face >= 0) & (ours.face >= 0)
        pixels += truth.face.size
        equal += int(((truth.face >= 0) == (ours.face >= 0)).sum())
        both_hit += int(both.sum())
        close += int((np.abs(truth.depth[both] - ours.depth[both]) <= 1e-4).sum())
    return {"coverage_equal": equal / pixels, "depth_within_1e-4": close / max(both_hit, 1)}


def stage(files: list[Path], up: Any, cameras: Cameras, rasterize: Rasterizer) -> None:
    """Read, normalise, draw and shade each file."""
    for file in files:
        mesh = normalize(read_mesh(file), up).mesh
        shade(mesh, cameras, rasterize(mesh, cameras), ShadeConfig())


def warm_drawing(file: Path, up: Any, cameras: Cameras) -> DrawBatch:
    """What the server draws with, once it has drawn."""
    draw = load_batch_drawing("pytorch3d")
    draw([(normalize(read_mesh(file), up).mesh, cameras)])
    return draw


def work(files: list[Path], warm: Path, up: Any, cameras: Cameras, rasterize: Rasterizer, barrier: Any) -> None:
    """A worker: everything but the drawing server is warm before the barrier."""
    stage([warm], up, cameras, rasterize_cpu)
    barrier.wait(PATIENCE)
    stage(files, up, cameras, rasterize)
    barrier.wait(PATIENCE)


def served_stage(files: list[Path], up: Any, cameras: Cameras, workers: int, batch: int) -> dict[str, Any]:
    """Seconds of the stage in worker processes with a draw server, and how busy that was."""
    context = get_context("spawn")
    barrier = context.Barrier(workers + 1)
    with DrawServer(functools.partial(warm_drawing, files[0], up, cameras), batch) as server:
        processes = [
            context.Process(target=work, args=(files[i::workers], files[0], up, cameras, server.rasterizer, barrier))
            for i in range(workers)
        ]
        for process in processes:
            process.start()
        barrier.wait(PATIENCE)
        begin = time.perf_counter()
        barrier.wait(PATIENCE)
        seconds = time.perf_counter() - begin
        for process in processes:
            process.join()
    statistics = server.statistics
    return {
        "seconds": seconds, "mean_batch": statistics.mean_batch, "idle_share": statistics.idle_share,
        "busy_seconds": statistics.busy_seconds, "idle_seconds": statistics.idle_seconds,
    }  # fmt: skip


def small(files: list[Path], up: Any, num_meshes: int, max_faces: int) -> tuple[list[Path], list[Mesh]]:
    """The first meshes that have no more faces than that."""
    chosen: list[tuple[Path, Mesh]] = []
    for file in files:
        mesh = normalize(read_mesh(file), up).mesh
        if len(mesh.faces) <= max_faces:
            chosen.append((file, mesh))
        if len(chosen) == num_meshes:
            break
    if not chosen:
        raise SystemExit(f"no mesh has {max_faces} faces or fewer")
    return [file for file, _ in chosen], [mesh for _, mesh in chosen]


def main() -> None:
    """Measure, print, and write JSON if asked."""
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num-meshes", type=int, default=200 if on_gpu else 16)
    parser.add_argument("--image-size", type=int, default=224 if on_gpu else 32)
    parser.add_argument("--max-faces", type=int, default=10**9 if on_gpu else 1000)
    parser.add_argument("--workers", type=int, default=8 if on_gpu else 2)
    parser.add_argument("--batch", type=int, default=MAX_BATCH)
    parser.add_argument("--projection", choices=["parallel", "perspective"], default="parallel")
    parser.add_argument("--up", choices=["y", "z"], default="y")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cameras = load_rig("mvcnn12")(Viewpoint(arguments.image_size, arguments.projection))
    picked = pick_meshes([arguments.folder], 10**9 if arguments.max_faces < 10**9 else arguments.num_meshes)
    files, meshes = small(picked, arguments.up, arguments.num_meshes, arguments.max_faces)
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if on_gpu else "CPU build of pytorch3d: says nothing about a GPU",
        "meshes": len(meshes),
        "faces_median": float(np.median([len(mesh.faces) for mesh in meshes])),
        "drawing": drawing(meshes, cameras, arguments.batch, arguments.repeats),
    }
    alone = load_rasterizer("pytorch3d")
    one = best_seconds(lambda: stage(files, arguments.up, cameras, alone), 1, warm_up=True)
    served = served_stage(files, arguments.up, cameras, arguments.workers, arguments.batch)
    report["stage"] = {"one_at_a_time_seconds": one, "served": served, "ratio": one / served["seconds"]}
    report["config"] = {name: str(value) for name, value in vars(arguments).items() if name not in ("json", "folder")}
    report["machine"] = machine() | {"torch": torch.__version__}
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
