"""A training step of each backbone, split into waiting for data, forward, backward and optimizer; and its peak memory.

    python benchmarks/bench_train.py SHARDS [--task pretrain] [--size reference] [--backbones pointmlp ...]
        [--batch-size 32] [--steps 3] [--device auto] [--precision 32-true] [--compile] [--workers 1] [--threads N]
        [--peer FILE] [--json OUT]

SHARDS is a set as `tap render` writes it, 224 px and 12 views. Batches come from the trainer's own loader in one process
of its own, models and rates from the presets. The first steps warm up and do not count; each part is the median over the
steps, synchronised on a GPU. `waiting` is the time from the end of a step to the next batch's arrival, over the whole. Each
backbone is measured in a process of its own; its peak memory is that process's resident memory, or what torch allocated on
the GPU.

--task is pretrain, classification (all weights train) or partseg (as many parts as ShapeNetPart; the labels are made up, for
what they are costs nothing).

--peer is, for pretrain, a Python file with a function `build(backbone: str) -> nn.Module` whose module takes (PointBatch,
ViewBatch) to images, such as a wrapper around other code's modules; each is timed in turn with ours, same batches, same
optimizer.
"""

import argparse
import importlib.util
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from machine import machine
from torch import Tensor, nn
from torch.nn import functional as F

from shards import ShardReader
from tap.loading.collate import Batch, collate
from tap.loading.data import SampleData, Views
from tap.loading.sampling import EpochBatches, make_loader
from tap.losses import RegionLoss
from tap.network.model import build_model
from tap.tasks import CLASSIFICATION_PRESETS, PARTSEG_PRESETS, PRETRAIN_PRESETS
from tap.tasks.classes.classifier import build_classifier
from tap.tasks.parts.part_segmentation import build_segmenter
from tap.training.machine import keep_freed_memory

WARM_UP = 1
NUM_PARTS, NUM_CATEGORIES = 50, 16  # of ShapeNetPart
PRESETS: dict[str, Any] = {
    "pretrain": PRETRAIN_PRESETS,
    "classification": CLASSIFICATION_PRESETS,
    "partseg": PARTSEG_PRESETS,
}
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

    def __init__(self, model: nn.Module, config: Any, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        model = model.to(self.device).train()
        self.model: Any = torch.compile(model) if options.compile else model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate)
        self.config, self.autocast = config, options.precision == "bf16-mixed"
        losses: dict[str, Callable[[Batch], Tensor]]
        losses = {"pretrain": self._drawing, "classification": self._naming, "partseg": self._parting}
        self.loss = losses[options.task]
        self.times: dict[str, list[float]] = {name: [] for name in PARTS}
        self.parameters = sum(parameter.numel() for parameter in model.parameters())

    def step(self, batch: Batch) -> None:
        """One training step."""
        marks = [self._now()]
        loss = self.loss(batch.to(self.device))
        marks.append(self._now())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        marks.append(self._now())
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
        self.optimizer.step()
        marks.append(self._now())
        for name, (first, last) in zip(PARTS[1:], pairwise(marks), strict=True):
            self.times[name].append(last - first)

    def _drawing(self, batch: Batch) -> Tensor:
        views, weights = batch.view_batch(self.config.model.image_size), self.config.loss
        with self._precision():
            images = self.model(batch.point_batch(), views)
        total: Tensor = RegionLoss(weights.foreground_weight, weights.background_weight)(images, views)["total"]
        return total

    def _naming(self, batch: Batch) -> Tensor:
        with self._precision():
            scores = self.model(batch.point_batch())
        return F.cross_entropy(scores.float(), batch.labels, label_smoothing=self.config.label_smoothing)

    def _parting(self, batch: Batch) -> Tensor:
        parts = torch.arange(batch.points.shape[1], device=self.device) % NUM_PARTS
        with self._precision():
            scores = self.model(batch.point_batch(), batch.labels % NUM_CATEGORIES)  # (B, N, P)
        return F.cross_entropy(scores.float().transpose(1, 2), parts.expand(len(scores), -1))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def figures(self, batch_size: int) -> dict[str, float]:
        """Seconds of each part, samples a second, and the share of waiting."""
        parts = {name: statistics.median(values) for name, values in self.times.items() if values}
        total = sum(parts.values())
        return {**parts, "samples_per_second": batch_size / total, "data_wait": parts.get("waiting", 0.0) / total}


def build(task: str, config: Any, data: SampleData) -> nn.Module:
    """The model of a task's config."""
    if task == "pretrain":
        return build_model(config.model)
    if task == "classification":
        return build_classifier(config, len(data.classes))
    return build_segmenter(config, NUM_PARTS, NUM_CATEGORIES)


def measure(backbone: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one backbone, and of the peer where there is one; run in a process of its own."""
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    peer = load_peer(options.peer)
    config = PRESETS[options.task][f"{options.size}/{backbone}"]()
    if backbone == "transformer" and options.size == "small" and options.task != "pretrain":  # takes that of its --init
        config = config.model_copy(update={"backbone": PRETRAIN_PRESETS["small/transformer"]().model.backbone})
    batch_size = options.batch_size or config.train.batch_size
    views: Views = "some" if options.task == "pretrain" else "none"
    data = SampleData(ShardReader(options.shards, "train"), config.data, 0, views, config.augment)
    torch.manual_seed(0)
    models = {"tap": build(options.task, config, data)}
    if peer is not None:
        models["peer"] = peer.build(backbone)
    timed = {name: Timed(model, config, options) for name, model in models.items()}
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
    found: dict[str, Any] = {"batch_size": batch_size, "num_points": config.data.num_points, "peak_gb": peak(options)}
    if options.task == "pretrain":
        found["views"] = config.data.num_views
    for name, one in timed.items():
        figures = one.figures(batch_size)
        found[name] = {"parameters": one.parameters, **figures}
        parts = "  ".join(f"{part} {figures[part]:7.3f}" for part in PARTS)
        print(
            f"{backbone:15} {name:5} batch {batch_size:3}  {figures['samples_per_second']:8.2f} samples/s  s: {parts}  "
            f"waiting {figures['data_wait']:.1%}  peak {found['peak_gb']:.2f} GB",
            flush=True,
        )
    if peer is not None:
        found["ratio"] = found["tap"]["samples_per_second"] / found["peer"]["samples_per_second"]
        print(f"{backbone:15} tap is {found['ratio']:.2f}x the peer", flush=True)
    return found


def peak(options: argparse.Namespace) -> float:
    """Gigabytes: the process's largest resident memory on a CPU, what torch allocated on a GPU."""
    if options.device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


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
    parser.add_argument("--task", choices=PRESETS, default="pretrain")
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
    if options.peer is not None and options.task != "pretrain":
        raise SystemExit("--peer is for --task pretrain")
    found = {}
    for backbone in options.backbones:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found[backbone] = pool.submit(measure, backbone, options).result()
    if options.json is not None:
        device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
        kept = {name: getattr(options, name) for name in ("task", "size", "steps", "precision", "compile", "workers")}
        content = {"machine": machine(), "torch": torch.__version__, "device": device, **kept, "backbones": found}
        content["threads"] = options.threads or torch.get_num_threads()
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
