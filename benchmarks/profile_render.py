"""Where the time of one mesh goes in `tap render`, stage by stage, and how far each stage is from its floor.

    python benchmarks/profile_render.py FOLDER [--num-meshes 200] [--json OUT]

One thread, warm caches, median over the meshes of the best of `--repeats`. A floor is the least that the same work could take
here with the libraries at hand: for reading, taking the bytes and splitting them at white space; for rasterizing, clearing and
writing the buffers (a mesh of one invisible face); for shading, copying the views; for sampling, drawing the random numbers;
for encoding, zlib alone on the same bytes; for the tar, that and SHA-256 of what is written.
"""

import argparse
import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_raster import keep_memory
from machine import best_seconds, machine, pick_meshes

from cli.render_job import RenderJob
from render.config import RenderConfig
from render.mesh import read_mesh
from render.normalization import normalize
from render.quality import measure_quality
from render.randomness import generator_for
from render.rasterizers import load_rasterizer
from render.rendering import cameras_of
from render.rig import load_rig
from render.sample import area_points, points_with_normals
from render.shading.shade import shade
from shards import Source, pack_sample
from shards.png import COMPRESS_LEVEL
from shards.tar import TarWriter


class _Nowhere:
    """A stream that forgets."""

    def write(self, data: bytes, /) -> None:
        pass


def stages(file: Path, config: RenderConfig) -> dict[str, tuple[Callable[[], Any], Callable[[], Any] | None]]:
    """By stage: the work on one mesh, and its floor."""
    rig, rasterize, content = load_rig(config.rig), load_rasterizer(config.backend), file.read_bytes()
    raw = read_mesh(file, content)
    normalized = normalize(raw, config.up)
    mesh, cameras = normalized.mesh, cameras_of(normalized.mesh, config, "k", rig)
    invisible = dataclasses.replace(mesh, vertices=mesh.vertices[:3], faces=np.zeros((1, 3), np.int64))
    fragments = rasterize(mesh, cameras)
    views = shade(mesh, cameras, fragments, config.shade)
    places = area_points(mesh, normalized.face_areas, config.num_points, generator_for(0, "k"))
    points = points_with_normals(mesh, places)
    source = Source(str(file), file.name, "class", "train", "k")
    job = RenderJob(config, rig)
    sample = job(source)
    packed = pack_sample(sample)

    def draw_points() -> Any:
        drawn = area_points(mesh, normalized.face_areas, config.num_points, generator_for(0, "k"))
        return points_with_normals(mesh, drawn)

    def quality() -> Any:
        return measure_quality(views[..., -1], fragments.depth, points, cameras, config.min_silhouette)

    def encode_floor() -> Any:
        return [zlib.compress(view[..., 0].tobytes(), COMPRESS_LEVEL) for view in views]

    def tar() -> Any:
        writer = TarWriter(_Nowhere())
        writer.add(packed)
        return writer

    whole = b"".join(data for _, data in packed.members)
    return {
        "read": (lambda: read_mesh(file), lambda: file.read_bytes().split()),
        "hash of the file": (lambda: hashlib.sha256(content).hexdigest(), lambda: hashlib.sha256(content).hexdigest()),
        "normalize": (lambda: normalize(raw, config.up), None),
        "cameras": (lambda: cameras_of(mesh, config, "k", rig), None),
        "rasterize": (lambda: rasterize(mesh, cameras), lambda: rasterize(invisible, cameras)),
        "shade": (lambda: shade(mesh, cameras, fragments, config.shade), views.copy),
        "sample": (draw_points, lambda: generator_for(0, "k").random((config.num_points, 3))),
        "quality": (quality, None),
        "encode": (lambda: pack_sample(sample), encode_floor),
        "tar": (tar, lambda: hashlib.sha256(whole).hexdigest()),
        "whole mesh": (lambda: pack_sample(job(source)), None),
    }


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--num-meshes", type=int, default=200)
    parser.add_argument("--up", choices=["y", "z"], default="y")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_memory()
    config = RenderConfig(up=arguments.up)
    took: dict[str, list[float]] = {}
    floors: dict[str, list[float]] = {}
    for file in pick_meshes(arguments.paths, arguments.num_meshes):
        for name, (work, floor) in stages(file, config).items():
            took.setdefault(name, []).append(best_seconds(work, arguments.repeats) * 1e3)
            if floor is not None:
                floors.setdefault(name, []).append(best_seconds(floor, arguments.repeats) * 1e3)
    report: dict[str, Any] = {"milliseconds_median": {}}
    print(f"{'stage':18} {'ms':>8} {'floor':>8} {'times':>6}")
    for name, times in took.items():
        median = float(np.median(times))
        least = float(np.median(floors[name])) if name in floors else None
        report["milliseconds_median"][name] = {"took": median, "floor": least}
        print(f"{name:18} {median:8.3f} " + ("" if least is None else f"{least:8.3f} {median / least:6.1f}"))
    report |= {"meshes": len(took["read"]), "machine": machine()}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
