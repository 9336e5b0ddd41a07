"""Each point operation of `tap.ops` against its plain torch reference, and pytorch3d where installed, in one run.

    python benchmarks/bench_ops.py [--device cpu] [--threads N] [--batch 32] [--repeats 5] [--scale 1] [--json OUT]

Sizes are those of the backbones at 1,024 and 2,048 points, on random points of a sphere. `tap` is what `auto` takes on the
device: compiled loops on the CPU, Triton on CUDA. For neighbours a second peer is `torch.cdist` with `topk`, which is what
one writes without the reference's promise on ties. `group` is timed forward, and forward with backward; its peer in
pytorch3d is `knn_gather`. Interpolation has none there. Best of `--repeats` after a warm-up, the ways in turn; the results
of all are compared before. `--scale 8` divides the batch and the reference sizes, for a trial.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from machine import best_seconds, machine
from torch import Tensor

from tap.ops import (
    ball_query,
    farthest_point_sampling,
    gather,
    group,
    interpolate,
    nearest_neighbors,
    three_nearest,
    use,
)


@dataclass(frozen=True)
class Case:
    """One operation at one size; `others` are peers that are no backend of ours, `in_pytorch3d` says if it is there."""

    name: str
    call: Callable[[], Any]
    in_pytorch3d: bool
    others: dict[str, Callable[[], Any]]


def sphere(batch: int, number: int, device: str) -> Tensor:
    points = torch.randn(batch, number, 3, generator=torch.Generator().manual_seed(number))
    return torch.nn.functional.normalize(points, dim=-1).to(device)


def forward_and_backward(call: Callable[[Tensor, Tensor], Tensor], features: Tensor, index: Tensor) -> Tensor:
    """The gradient of the features, for a gradient of ones."""
    rows = call(features, index)
    gradient: Tensor = torch.autograd.grad(rows, features, torch.ones_like(rows))[0]
    return gradient


def search_cases(batch: int, scale: int, device: str) -> Iterator[Case]:
    """Sampling and neighbours."""
    for number in (1024 // scale, 2048 // scale):
        sample = partial(farthest_point_sampling, sphere(batch, number, device), number // 2)
        yield Case(f"farthest points {number}->{number // 2}", sample, True, {})
    points = sphere(batch, 1024 // scale, device)
    centers = gather(points, farthest_point_sampling(points, 512 // scale))
    yield Case(
        f"nearest 24 of {points.shape[1]} for {centers.shape[1]}",
        lambda: nearest_neighbors(points, centers, 24),
        True,
        {"cdist+topk": lambda: torch.cdist(centers, points).topk(24, largest=False).indices},
    )
    features = torch.randn(batch, 1024 // scale, 64, generator=torch.Generator().manual_seed(0)).to(device)
    yield Case(
        f"nearest 20 of {features.shape[1]} features of 64",
        lambda: nearest_neighbors(features, features, 20),
        True,
        {"cdist+topk": lambda: torch.cdist(features, features).topk(20, largest=False).indices},
    )
    yield Case(
        f"ball .2/32 of {points.shape[1]} for {centers.shape[1]}",
        lambda: ball_query(points, centers, 0.2, 32),
        True,
        {},
    )


def row_cases(batch: int, scale: int, device: str) -> Iterator[Case]:
    """Moving features."""
    points = sphere(batch, 1024 // scale, device)
    centers = gather(points, farthest_point_sampling(points, 512 // scale))
    around = nearest_neighbors(points, centers, 24)
    features = torch.randn(batch, points.shape[1], 64, generator=torch.Generator().manual_seed(0)).to(device)
    features.requires_grad_()
    size = f"{centers.shape[1]} x 24 of 64 channels"
    others: list[dict[str, Callable[[], Any]]] = [{}, {}]
    if find_spec("pytorch3d"):
        from pytorch3d.ops import knn_gather

        others = [
            {"pytorch3d": lambda: knn_gather(features, around)},
            {"pytorch3d": lambda: forward_and_backward(knn_gather, features, around)},
        ]
    yield Case(f"group {size}", lambda: group(features, around), False, others[0])
    yield Case(f"group {size}, backward", lambda: forward_and_backward(group, features, around), False, others[1])
    index, weight = three_nearest(points, centers)
    known = features[:, : centers.shape[1]].repeat(1, 1, 4)
    yield Case(
        f"interpolate {points.shape[1]} from {centers.shape[1]}, 256 channels",
        lambda: interpolate(known, index, weight),
        False,
        {},
    )
    yield Case(f"three nearest of {centers.shape[1]}", lambda: three_nearest(points, centers), True, {})


def ways_of(case: Case) -> dict[str, Callable[[], Any]]:
    """The case by each implementation."""

    def by(name: str) -> Callable[[], Any]:
        def call() -> Any:
            with use(name):
                return case.call()

        return call

    names = {"tap": "auto", "reference": "reference"}
    if case.in_pytorch3d and find_spec("pytorch3d"):
        names["pytorch3d"] = "pytorch3d"
    return {label: by(name) for label, name in names.items()} | case.others


def agreement(ways: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """For each way the share of numbers that are those of the reference."""
    results = {label: call() for label, call in ways.items()}
    firsts = {label: value[0] if isinstance(value, tuple) else value for label, value in results.items()}
    expected = firsts["reference"]
    return {label: float(torch.isclose(value, expected).float().mean()) for label, value in firsts.items()}


def timed(case: Case, device: str, repeats: int) -> dict[str, Any]:
    """Milliseconds and agreement of each way."""
    ways = ways_of(case)

    def finished(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            call()
            if device == "cuda":
                torch.cuda.synchronize()

        return run

    equal = agreement(ways)
    milliseconds: dict[str, float] = {}
    for _ in range(repeats):
        for label, call in ways.items():
            taken = 1e3 * best_seconds(finished(call), 1)
            milliseconds[label] = min(taken, milliseconds.get(label, taken))
    return {"milliseconds": milliseconds, "equal_to_reference": equal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = {}
    batch = max(1, options.batch // options.scale)
    for cases in (search_cases, row_cases):
        for case in cases(batch, options.scale, options.device):
            figures[case.name] = timed(case, options.device, options.repeats)
            tell(case.name, figures[case.name])
    if options.json:
        device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
        setting = {"device": device, "threads": options.threads, "batch": batch, "torch": torch.__version__}
        text = json.dumps({"machine": machine(), "setting": setting, "operations": figures}, indent=1)
        options.json.write_text(text + "\n")


def tell(name: str, figures: dict[str, Any]) -> None:
    """Prints one line: milliseconds, and how many times as long as tap each other way takes."""
    taken = figures["milliseconds"]
    others = [
        f"{label} {value:.1f} ms ({value / taken['tap']:.1f}x, {100 * figures['equal_to_reference'][label]:.1f} % equal)"
        for label, value in taken.items()
        if label != "tap"
    ]
    print(f"{name:44} tap {taken['tap']:7.2f} ms   {'   '.join(others)}", flush=True)


if __name__ == "__main__":
    main()
