"""The training loader against loose files, plain webdataset and bare decoding, on the same samples, in one run.

    python benchmarks/bench_loader.py SHARDS [--num-samples 1024] [--repeats 3] [--json OUT]

SHARDS is a local set with 12 views and 8,192 points a sample, as `tap render` writes it. Each way delivers batches of 32
samples with 6 of 12 views and 1,024 of 8,192 points, as uint8 pictures and float32 points, from one loader process to this:

- tap: `SampleData` and its loader, as `tap pretrain` reads; every byte is compared with its CRC-32.
- loose files: one .ply read by Open3D and one .jpg a view opened by Pillow, the authors' layout and readers, in random
  order; only what is asked for is opened. (The authors store 1,024 points; here 8,192 are read, as in the others.)
- webdataset: the shards by `webdataset.WebDataset(...).decode("pilrgba")`, which decodes all that a sample holds; then the
  same choice. Its shuffle buffer is off.
- bare: the PNGs of 6 views decoded from memory, nothing else, in this process: by tap's decoder, and by Pillow.

Files are in the page cache for all, and the second epoch is timed. The best of `--repeats` counts, taken in turn. Memory:
resident size of the loader process and of this one after each of 10 epochs.
"""

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from shards import ShardReader
from shards.png import decode_png
from shards.stream import Address
from tap.loading.collate import collate
from tap.loading.data import DataConfig, SampleData
from tap.loading.sampling import make_loader

BATCH, NUM_VIEWS, STORED_VIEWS, NUM_POINTS = 32, 6, 12, 1024

Drawn = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


class LooseFiles(Dataset[Drawn]):
    """The authors' layout: `clouds/K.ply` and `views/K_001.jpg` to `K_012.jpg`."""

    def __init__(self, folder: Path) -> None:
        self.clouds = sorted((folder / "clouds").glob("*.ply"))
        self.views = folder / "views"

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, index: int) -> Drawn:
        import open3d

        path = self.clouds[index]
        points = np.asarray(open3d.io.read_point_cloud(str(path)).points).astype(np.float32)
        rng = np.random.default_rng(index)
        views = rng.choice(STORED_VIEWS, NUM_VIEWS, replace=False)
        names = (self.views / f"{path.stem}_{view + 1:03d}.jpg" for view in views)
        images = np.stack([np.asarray(Image.open(name).convert("L")) for name in names])
        return points[rng.choice(len(points), NUM_POINTS, replace=False)], images


class Plain(IterableDataset[Drawn]):
    """The shards as `webdataset` reads them, without tap."""

    def __init__(self, urls: list[str], num_samples: int) -> None:
        self.urls, self.num_samples = urls, num_samples

    def __iter__(self) -> Iterator[Drawn]:
        import webdataset

        samples = webdataset.WebDataset(self.urls, shardshuffle=False).decode("pilrgba")
        for sample in islice(samples, self.num_samples):
            rng = np.random.default_rng(0)
            views = rng.choice(STORED_VIEWS, NUM_VIEWS, replace=False)
            images = np.stack([np.asarray(sample[f"view{view:02d}.png"].convert("LA")) for view in views])
            points = sample["points.npy"][:, :3]
            yield points[rng.choice(len(points), NUM_POINTS, replace=False)], images


def write_loose(reader: ShardReader, num_samples: int, folder: Path) -> None:
    """The set's first samples in the authors' layout."""
    import open3d

    (folder / "clouds").mkdir()
    (folder / "views").mkdir()
    for index in range(num_samples):
        sample = reader.read(index)
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(sample.arrays["points"][:, :3].astype(float)))
        open3d.io.write_point_cloud(str(folder / "clouds" / f"{sample.key}.ply"), cloud)
        for number in range(STORED_VIEWS):
            picture = Image.fromarray(sample.images[f"view{number:02d}"][..., 0])
            picture.save(folder / "views" / f"{sample.key}_{number + 1:03d}.jpg", quality=95)


def stacked(items: list[Drawn]) -> tuple[torch.Tensor, torch.Tensor]:
    points, images = zip(*items, strict=True)
    return torch.from_numpy(np.stack(points)), torch.from_numpy(np.stack(images))


def rate(loader: DataLoader[Any], num_samples: int) -> float:
    """Samples a second of the second epoch, which the processes of the first begin with all they have opened."""
    for _ in loader:
        pass
    began_at = time.perf_counter()
    count = sum(1 for _ in loader)
    assert count * BATCH == num_samples
    return num_samples / (time.perf_counter() - began_at)


def bare_milliseconds(pictures: list[list[bytes]], decode: Callable[[bytes], Any]) -> float:
    """Milliseconds to decode six views of a sample, from memory."""
    began_at = time.perf_counter()
    for views in pictures:
        for data in views[:NUM_VIEWS]:
            decode(data)
    return (time.perf_counter() - began_at) / len(pictures) * 1e3


def by_pillow(data: bytes) -> Any:
    return np.array(Image.open(io.BytesIO(data)))


def resident_mb(process_id: int) -> float:
    pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_over_epochs(loader: DataLoader[Any], epochs: int) -> list[tuple[float, float]]:
    """Resident MB of the loader process and of this one after each epoch."""
    taken = []
    for _ in range(epochs):
        batches = iter(loader)
        for _ in batches:
            pass
        worker = batches._workers[0].pid  # type: ignore[attr-defined]
        taken.append((resident_mb(worker), resident_mb(os.getpid())))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--num-samples", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reader = ShardReader(options.shards)
    number = min(options.num_samples, len(reader)) // BATCH * BATCH
    order = reader.order(0, 0)[:number]
    data = SampleData(reader, DataConfig(num_points=NUM_POINTS, num_views=NUM_VIEWS), 0)
    plan = [[Address(0, int(index)) for index in order[at : at + BATCH]] for at in range(0, number, BATCH)]
    urls = [str(options.shards / f"{entry.name}.tar") for entry in reader.entries]
    pictures = [[reader.raw(int(index), f"view{view:02d}.png") for view in range(NUM_VIEWS)] for index in order]
    rates: dict[str, list[float]] = {}
    bare: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_loose(reader, number, Path(folder))
        ways: dict[str, Callable[[], DataLoader[Any]]] = {
            "tap": lambda: make_loader(data, plan, collate, 1),
            "loose files": lambda: DataLoader(
                LooseFiles(Path(folder)), BATCH, True, num_workers=1, collate_fn=stacked, persistent_workers=True
            ),
            "webdataset": lambda: DataLoader(
                Plain(urls, number), BATCH, num_workers=1, collate_fn=stacked, persistent_workers=True
            ),
        }
        for _ in range(options.repeats):
            for name, make in ways.items():
                rates.setdefault(name, []).append(rate(make(), number))
            for name, decode in {"tap": decode_png, "Pillow": by_pillow}.items():
                bare.setdefault(name, []).append(bare_milliseconds(pictures, decode))
            in_process = make_loader(data, plan, collate, 0)
            rates.setdefault("tap, in this process", []).append(rate(in_process, number))
    memory = memory_over_epochs(make_loader(data, plan, collate, 1), 10)
    tell(options, {name: max(values) for name, values in rates.items()}, {k: min(v) for k, v in bare.items()}, memory)


def tell(
    options: argparse.Namespace, rates: dict[str, float], bare: dict[str, float], memory: list[tuple[float, float]]
) -> None:
    """Prints the table and writes the figures."""
    for name, value in rates.items():
        print(f"{name:24} {value:8.0f} samples/s  {1e3 / value:6.2f} ms a sample  tap is {rates['tap'] / value:5.2f}x")
    for name, value in bare.items():
        print(
            f"bare decoding, {name:9} {value:6.2f} ms a sample; tap's loader adds {1e3 / rates['tap'] - value:5.2f} ms"
        )
    first, last = memory[0], memory[-1]
    print(
        f"memory after epoch 1 and 10: loader {first[0]:.0f} and {last[0]:.0f} MB, parent {first[1]:.0f} and {last[1]:.0f} MB"
    )
    if options.json:
        figures = {"samples_per_second": rates, "bare_milliseconds": bare, "memory_mb": memory}
        options.json.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
