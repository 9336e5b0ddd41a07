"""Encodings of views and channels, on real ones: bytes, time to write and to read, and which other programs read them right.

    python benchmarks/bench_encoding.py SHARDS... [--num-images 2000] [--repeats 3] [--json OUT]

The images of the given sets are decoded, and encoded anew in each way; a way that does not
give back every pixel is left out. One thread. The
ways take turns every 50 images, the best of `--repeats` counts, then the median over all images; bytes are means. The first
way is how sets of schema 1.1 were written and read: two channels as they are, zlib level 3, decoded by Pillow. "inflate"
rows stand for no file: they are the same bytes through zlib and through other libraries, where installed (isal, deflate,
zlib-ng), to tell what a dependency would gain.
"""

import argparse
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from image_encodings import GREY, KINDS, Array, libraries, read_right, ways
from machine import machine

from shards.engines.environment import ALLOCATOR_VARIABLES
from shards.png import decode_png
from shards.png_chunks import PngFile, read_chunks

BLOCK = 50  # images of one way before the next way's turn


def best_seconds(call: Callable[[Any], Any], arguments: list[Any], best: Array) -> None:
    """Lowers `best`, (N,) seconds, to the time of one call for each argument, one after the other as a loader has them."""
    for index, argument in enumerate(arguments):
        begin = time.perf_counter()
        call(argument)
        best[index] = min(best[index], time.perf_counter() - begin)


def measure(images: list[Array], repeats: int) -> list[dict[str, Any]]:
    """One row a way."""
    num_channels = images[0].shape[2] if images[0].ndim == 3 else 0
    table = ways(num_channels)
    files = {name: [way.encode(image) for image in images] for name, way in table.items()}
    for name, way in list(table.items()):
        if not all(np.array_equal(way.decode(data), image) for data, image in zip(files[name], images, strict=True)):
            print(f"{name}: left out, it does not give back every pixel of these images")
            del table[name]
    best = {name: np.full((2, len(images)), np.inf) for name in table}
    for _ in range(repeats):
        for start in range(0, len(images), BLOCK):
            block = slice(start, start + BLOCK)
            for name, way in table.items():
                best_seconds(way.encode, images[block], best[name][0, block])
                best_seconds(way.decode, files[name][block], best[name][1, block])
    rows: list[dict[str, Any]] = []
    for name in table:
        encode_ms, decode_ms = 1e3 * np.median(best[name], axis=1)
        num_bytes = float(np.mean([len(data) for data in files[name]]))
        verdicts = [set(read_right(*pair)) for pair in zip(files[name][:BLOCK], images, strict=False)]
        readers = sorted(set.intersection(*verdicts))
        rows.append(
            {"way": name, "bytes": num_bytes, "encode_ms": encode_ms, "decode_ms": decode_ms, "readers": readers}
        )
    if num_channels == 2:
        chosen = [read_chunks(data) for data in files["chosen"]]
        rows += measure_libraries([file for file in chosen if file.kind == GREY], repeats)
    return rows


def measure_libraries(chosen: list[PngFile], repeats: int) -> list[dict[str, Any]]:
    """One row a library that inflates: the pixels of views of one byte a pixel, nothing else."""
    if not chosen:
        return []
    streams = [bytes(file.parts[0]) for file in chosen]
    num_bytes = chosen[0].height * (1 + chosen[0].width)
    rows = []
    for name, library in libraries().items():
        best = np.full(len(streams), np.inf)
        call = partial(library, num_bytes)
        for _ in range(repeats):
            best_seconds(call, streams, best)
        rows.append({"way": f"inflate: {name}", "decode_ms": 1e3 * float(np.median(best))})
    return rows


def images_of(folders: list[Path], num_images: int) -> dict[str, list[Array]]:
    """Kind and channels to images, evenly spread over all that the folders hold."""
    places: dict[str, list[tuple[Path, int, int]]] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                kind = member.name.split(".")[1].rstrip("0123456789")
                if member.name.endswith(".png"):
                    places.setdefault(kind, []).append((path, member.offset_data, member.size))
    groups: dict[str, list[Array]] = {}
    for kind, found in sorted(places.items(), reverse=True):
        for index in np.unique(np.linspace(0, len(found) - 1, min(num_images, len(found))).astype(int)):
            path, offset, size = found[index]
            with path.open("rb") as file:
                file.seek(offset)
                image = decode_png(file.read(size))
            mode = KINDS[image.shape[2] if image.ndim == 3 else 0][1]
            groups.setdefault(f"{kind} {mode} {image.shape[1]}x{image.shape[0]}", []).append(image)
    return groups


def main() -> None:
    """Measure, print the tables, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--num-images", type=int, default=2000, help="of each kind: view, depth, normal, part")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_memory()
    report: dict[str, Any] = {}
    for name, images in images_of(arguments.folders, arguments.num_images).items():
        rows = measure(images, arguments.repeats)
        report[name] = {"images": len(images), "ways": rows}
        print(
            f"\n{name}, {len(images)} images\n{'way':36} {'bytes':>8} {'encode ms':>10} {'decode ms':>10}  read right by"
        )
        for row in rows:
            figures = f"{row['bytes']:8.0f} {row['encode_ms']:10.3f}" if "bytes" in row else " " * 19
            print(f"{row['way']:36} {figures} {row['decode_ms']:10.3f}  {', '.join(row.get('readers', []))}")
    report["config"] = {"num_images": arguments.num_images, "repeats": arguments.repeats, "pillow": PIL.__version__}
    report["machine"] = machine()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def keep_memory() -> None:
    """Start over with an allocator that keeps what is freed, as a worker has; it reads its settings when a process begins."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR_VARIABLES.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR_VARIABLES)


if __name__ == "__main__":
    main()
