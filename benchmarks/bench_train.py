"""A pre-training step of each backbone, split into waiting for data, forward, backward and optimizer.

    python benchmarks/bench_train.py SHARDS [--size reference] [--backbones pointmlp ...] [--batch-size 32] [--steps 3]
        [--device auto] [--precision 32-true] [--compile] [--workers 1] [--threads N] [--peer FILE] [--json OUT]

SHARDS is a set as `tap render` writes it, 224 px and 12 views. Batches come from the trainer's own loader in one process
of its own, models and rates from the presets. The first steps warm up and do not count; each part is the median over the
steps, synchronised on a GPU. `waiting` is the time from the end of a step to the next batch's arrival, over the whole.

--peer is a Python file with a function `build(backbone: str) -> nn.Module` whose module takes (PointBatch, ViewBatch) to
images, such as a wrapper around other code's modules; each is timed in turn with ours, same batches, same optimizer.
"""

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from machine import machine
from torch import nn

from shards import ShardReader
from tap.loading.collate import Batch, collate
from tap.loading.data import SampleData
from tap.loading.sampling import EpochBatches, make_loader
from tap.losses import RegionLoss
from tap.network.model import build_model
from tap.tasks.pretrain_config import PretrainConfig
from tap.tasks.pretrain_presets import PRETRAIN_PRESETS

WARM_UP = 1
PARTS = ("waiting", "forward", "backward", "optimizer")


def endless(data: SampleData, batch_size: int, workers: int, pin: bool) -> Iterator[Batch]:
    """Training batches without end, as the trainer takes them."""
    batches = EpochBatches(lambda epoch: data.reader.order(0, epoch), len(data), batch_size)
    loader = make_loader(data, batches, collate, workers, pin)
    epoch = 0
    while True:
        batches.set_position(epoch)
        yield from loader
        epoch += 1


class Timed:
    """One model with its optimizer, stepped on batches and timed by part."""

    def __init__(self, model: nn.Module, config: PretrainConfig, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        model = model.to(self.device).train()
        self.model: Any = torch.compile(model) if options.compile else model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate)
        self.config, self.autocast = config, options.precision == "bf16-mixed"
        self.loss = RegionLoss(config.loss.foreground_weight, config.loss.background_weight)
        self.times: dict[str, list[float]] = {name: [] for name in PARTS}
        self.parameters = sum(parameter.numel() for parameter in model.parameters())

    def step(self, batch: Batch) -> None:
        """One training step."""
        marks = [self._now()]
        batch = batch.to(self.device)
        views = batch.view_batch(self.config.model.image_size)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            images = self.model(batch.point_batch(), views)
        loss = self.loss(images, views)["total"]
        marks.append(self._now())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(self._now())
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        self.optimizer.step()
        marks.append(self._now())
        for name, (first, last) in zip(PARTS[1:], pairwise(marks), strict=True):
            self.times[name].append(last - first)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def figures(self, batch_size: int) -> dict[str, float]:
        """Seconds of each part, samples a second, and the share of waiting."""
        parts = {name: statistics.median(values) for name, values in self.times.items() if values}
        total = sum(parts.values())
        return {**parts, "samples_per_second": batch_size / total, "data_wait": parts.get("waiting", 0.0) / total}


def measure(backbone: str, options: argparse.Namespace, reader: ShardReader, peer: Any) -> dict[str, Any]:
    """The figures of one backbone, and of the peer where there is one."""
    config = PRETRAIN_PRESETS[f"{options.size}/{backbone}"]()
    batch_size = options.batch_size or config.train.batch_size
    torch.manual_seed(0)
    models = {"tap": build_model(config.model)}
    if peer is not None:
        models["peer"] = peer.build(backbone)
    timed = {name: Timed(model, config, options) for name, model in models.items()}
    data = SampleData(reader, config.data, 0, "some", config.augment)
    batches = endless(data, batch_size, options.workers, options.device == "cuda")
    for number in range(WARM_UP + options.steps):
        for one in timed.values():
            asked_at = time.perf_counter()
            batch = next(batches)
            one.times["waiting"].append(time.perf_counter() - asked_at)
            one.step(batch)
            if number < WARM_UP:
                one.times = {name: [] for name in PARTS}
    del batches
    found: dict[str, Any] = {"batch_size": batch_size, "views": config.data.num_views}
    for name, one in timed.items():
        figures = one.figures(batch_size)
        found[name] = {"parameters": one.parameters, **figures}
        parts = "  ".join(f"{part} {figures[part]:7.3f}" for part in PARTS)
        print(
            f"{backbone:15} {name:5} batch {batch_size:3}  {figures['samples_per_second']:8.2f} samples/s  s: {parts}  "
            f"waiting {figures['data_wait']:.1%}",
            flush=True,
        )
    if peer is not None:
        found["ratio"] = found["tap"]["samples_per_second"] / found["peer"]["samples_per_second"]
        print(f"{backbone:15} tap is {found['ratio']:.2f}x the peer", flush=True)
    return found


def load_peer(file: Path | None) -> Any:
    if file is None:
        return None
    spec = importlib.util.spec_from_file_location("peer", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted({name.partition("/")[2] for name in PRETRAIN_PRESETS})
    parser.add_argument("shards", type=Path)
    parser.add_argument("--size", choices=("reference", "paper", "small"), default="reference")
    parser.add_argument("--backbones", nargs="+", choices=names, default=names)
    parser.add_argument("--batch-size", type=int, help="the preset's where it is left out")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--threads", type=int, help="of the training process on a CPU; torch's own number where left out"
    )
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    reader, peer = ShardReader(options.shards), load_peer(options.peer)
    found = {backbone: measure(backbone, options, reader, peer) for backbone in options.backbones}
    if options.json is not None:
        device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
        kept = {name: getattr(options, name) for name in ("size", "steps", "precision", "compile", "workers")}
        content = {"machine": machine(), "torch": torch.__version__, "device": device, **kept, "backbones": found}
        content["threads"] = torch.get_num_threads()
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
