"""`tap render` against the script that a user would write, on the same meshes, in one run.

    python benchmarks/bench_render.py FOLDER [--num-meshes 200] [--repeats 3] [--json OUT]
    python benchmarks/bench_render.py FOLDER --backend pytorch3d [options of bench_gpu.py]

The script, one thread: trimesh.load(process=False); the same normalisation; one Open3D RaycastingScene a mesh, one cast for all
views with rays made once; flat shading in numpy; trimesh.sample; Pillow PNG level 1; webdataset.ShardWriter. Ours is the
command itself, as a process of its own, with 1 worker and then with 2: interpreter, imports and compiled code's loading are
counted in. The script is not charged with its imports. Each is run `--repeats` times in turn, the best counts.

With `--backend pytorch3d` the question is another one, of bench_gpu.py: one mesh at a time against the batched stage.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import machine, pick_meshes

from render.backends.rasterize_open3d import depth_rays
from render.rig import Viewpoint, load_rig

NUM_POINTS, IMAGE_SIZE, SAMPLES_PER_SHARD = 8192, 224, 64


def script_render(files: list[Path], out: Path, up: str) -> None:
    """What a user would write without tap."""
    import open3d
    import trimesh
    import webdataset
    from PIL import Image

    cameras = load_rig("mvcnn12")(Viewpoint(IMAGE_SIZE, "parallel"))
    rays = open3d.core.Tensor(depth_rays(cameras))
    forward = cameras.world_to_camera[:, 2, :3]
    with webdataset.ShardWriter(str(out / "train-%06d.tar"), maxcount=SAMPLES_PER_SHARD, verbose=0) as writer:
        for number, file in enumerate(files):
            mesh = trimesh.load(file, process=False, force="mesh")
            if up == "y":
                mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
            mesh.apply_translation(-mesh.centroid)
            mesh.apply_scale(1 / np.linalg.norm(mesh.vertices, axis=1).max())
            scene = open3d.t.geometry.RaycastingScene(nthreads=1)
            scene.add_triangles(
                open3d.core.Tensor(np.asarray(mesh.vertices, np.float32)),
                open3d.core.Tensor(np.asarray(mesh.faces, np.uint32)),
            )
            hits = scene.cast_rays(rays, nthreads=1)
            views = script_shade(hits["primitive_ids"].numpy(), hits["primitive_normals"].numpy(), forward)
            points, face = trimesh.sample.sample_surface(mesh, NUM_POINTS, seed=number)
            sample: dict[str, Any] = {
                "__key__": f"{number:08d}",
                "json": {"source": file.name, "category": file.parts[-3]},
                "points.npy": np.concatenate([points, mesh.face_normals[face]], axis=1).astype(np.float32),
                "world_to_camera.npy": cameras.world_to_camera,
                "intrinsics.npy": cameras.intrinsics,
            }
            for index, view in enumerate(views):
                stream = io.BytesIO()
                Image.fromarray(view).save(stream, "PNG", compress_level=1)
                sample[f"view{index:02d}.png"] = stream.getvalue()
            writer.write(sample)


def script_shade(
    face: npt.NDArray[np.uint32], normals: npt.NDArray[np.float32], forward: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Flat clay under a head light, grey and alpha."""
    hit = face != 0xFFFFFFFF
    cosine = np.abs(np.einsum("vhwc,vc->vhw", normals, forward))
    grey = np.where(hit, np.rint(255 * np.minimum(0.3 + 0.6 * cosine, 1)), 255)
    return np.stack([grey, hit * 255], axis=-1).astype(np.uint8)


def tap_render(folder: Path, out: Path, up: str, workers: int) -> None:
    """The command, as a user starts it."""
    command = [sys.executable, "-m", "cli.main", "render", folder, "--out", out, "--layout", "modelnet", "--up", up]
    command += ["--workers", workers, "--set", f"samples_per_shard={SAMPLES_PER_SHARD}"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def timed(call: Any, out: Path, *arguments: Any) -> float:
    """Seconds of a call that writes into a fresh folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    begin = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begin


def linked(files: list[Path], folder: Path) -> Path:
    """A folder of links in ModelNet's layout to the chosen meshes."""
    for file in files:
        place = folder / Path(*file.parts[-3:])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
    return folder


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    if "pytorch3d" in sys.argv:
        import bench_gpu

        index = sys.argv.index("pytorch3d")
        del sys.argv[index - 1 : index + 1]
        bench_gpu.main()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["cpu", "pytorch3d"], default="cpu")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num-meshes", type=int, default=10**9)
    parser.add_argument("--up", choices=["y", "z"], default="y")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    files = pick_meshes([arguments.folder.resolve()], arguments.num_meshes)
    seconds: dict[str, list[float]] = {"script": [], "tap, 1 worker": [], "tap, 2 workers": []}
    with tempfile.TemporaryDirectory() as place:
        folder, out = linked(files, Path(place) / "meshes"), Path(place) / "out"
        warm = linked(files[:2], Path(place) / "warm")
        tap_render(warm, out, arguments.up, 0)  # compiled code is cached once a machine
        timed(script_render, out, files[:5], out, arguments.up)
        for _ in range(arguments.repeats):
            seconds["script"].append(timed(script_render, out, files, out, arguments.up))
            for workers in (1, 2):
                shutil.rmtree(out, ignore_errors=True)
                name = f"tap, {workers} worker{'s' * (workers > 1)}"
                seconds[name].append(timed(tap_render, out, folder, out, arguments.up, workers))
    best = {name: min(times) for name, times in seconds.items()}
    report: dict[str, Any] = {"meshes": len(files), "seconds": best}
    report["meshes_per_second"] = {name: len(files) / value for name, value in best.items()}
    report["one_worker_over_script"] = best["script"] / best["tap, 1 worker"]
    report["two_workers_over_one"] = best["tap, 1 worker"] / best["tap, 2 workers"]
    report["config"] = {name: str(value) for name, value in vars(arguments).items() if name not in ("json", "folder")}
    report["machine"] = machine()
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
