"""Does pre-training help? Frozen linear probes and fine-tuning with and without it, on one labelled set.

    python benchmarks/transfer.py SHARDS --out RUNS --jobs 2 --json benchmarks/results/transfer.json

SHARDS is a labelled set with the splits train and test, rendered by `tap render`. Backbones are pre-trained on train without
its labels; nothing is selected there, the last checkpoint counts. Then, with labels of train:

- a linear SVM on frozen features (`tap probe`), of random weights with calibrated batch norms and of pre-trained ones;
- fine-tuning of all weights (`tap finetune classification`) from scratch and from the pre-trained ones, with all labels and
  with a tenth of them, the last epoch's checkpoint counting, so that nothing is selected on labels that were not given.

Test is read once a run. Settings were chosen on cuts of train (see SETTINGS). Every run is a folder under --out and a finished
one is not run again, so the study can be stopped and goes on.
"""

import argparse
import dataclasses
import json
import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from machine import machine

from tap.ablations import apply_ablation
from tap.config import apply_overrides
from tap.probing.probe import ProbeConfig, probe
from tap.tasks import CLASSIFICATION_PRESETS, PRETRAIN_PRESETS, finetune_classification, pretrain
from tap.training.machine import keep_freed_memory

FINETUNE_SEEDS, PROBE_SEEDS = (0, 1, 2), (0, 1, 2, 3, 4)
SHARES = {"100 %": 1.0, "10 %": 0.1}


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        preset: size of the presets, ``PRESET/BACKBONE``.
        pretraining: overrides of the pre-training preset.
        finetuning: overrides of the classification preset, by share of the labels.
    """

    preset: str
    pretraining: tuple[str, ...]
    finetuning: dict[str, tuple[str, ...]]


SETTINGS = {
    "small": Size(
        "small",
        ("train.precision=bf16-mixed",),
        {
            "100 %": ("train.epochs=60", "pooling=max_mean", "train.precision=bf16-mixed"),
            "10 %": ("train.epochs=150", "pooling=max_mean", "train.precision=bf16-mixed"),
        },
    ),
    "full": Size(
        "reference",
        ("train.precision=bf16-mixed", "train.num_workers=8"),
        {"100 %": ("train.epochs=300",), "10 %": ("train.epochs=300",)},
    ),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        name: of its folder.
        kind: ``pretrain``, ``probe`` or ``finetune``.
        backbone: name.
        weights: ``random``, ``tap``, or an ablation's name.
        share: key of `SHARES`.
        seed: of the run.
    """

    name: str
    kind: str
    backbone: str
    weights: str
    share: str = "100 %"
    seed: int = 0


def jobs(backbones: Sequence[str], ablation: str | None) -> tuple[list[Job], list[Job]]:
    """What can run at once, and what needs a pre-trained backbone first, the quick ones first.

    The ablation, of the first backbone, is probed and fine-tuned with few labels.
    """
    trained = [(backbone, "tap") for backbone in backbones]
    if ablation is not None:
        trained.append((backbones[0], ablation))
    now = [Job(f"pretrain-{backbone}-{weights}", "pretrain", backbone, weights) for backbone, weights in trained]
    quick: list[Job] = []
    long: list[Job] = []
    for backbone, weights in [*((backbone, "random") for backbone in backbones), *trained]:
        quick += [
            Job(f"probe-{backbone}-{weights}-{seed}", "probe", backbone, weights, seed=seed) for seed in PROBE_SEEDS
        ]
        for share, runs in (("10 %", quick), ("100 %", long)):
            if share == "10 %" or weights in ("random", "tap"):
                runs += [
                    Job(
                        f"finetune-{backbone}-{weights}-{share.split()[0]}-{seed}",
                        "finetune",
                        backbone,
                        weights,
                        share,
                        seed,
                    )
                    for seed in FINETUNE_SEEDS
                ]
    now += [job for job in quick if job.weights == "random"]
    return now, [job for job in quick if job.weights != "random"] + sorted(long, key=lambda job: job.seed)


def run(job: Job, shards: str, out: Path, size: Size) -> dict[str, Any]:
    """The numbers of a run, which is not run again where it has finished."""
    folder, done = out / job.name, out / job.name / "study.json"
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    torch.set_num_threads(1)
    keep_freed_memory()
    init = None if job.weights == "random" or job.kind == "pretrain" else out / f"pretrain-{job.backbone}-{job.weights}"
    numbers = {"pretrain": _pretrain, "probe": _probe, "finetune": _finetune}[job.kind](job, shards, folder, init, size)
    done.write_text(json.dumps(numbers, indent=2) + "\n")
    return numbers


def _pretrain(job: Job, shards: str, folder: Path, init: Path | None, size: Size) -> dict[str, Any]:
    config = PRETRAIN_PRESETS[f"{size.preset}/{job.backbone}"]()
    if job.weights != "tap":
        config = apply_ablation(config, job.weights)
    config = apply_overrides(config, size.pretraining)
    return {"metrics": pretrain(shards, folder, config, resume=True)["metrics"]}


def _probe(job: Job, shards: str, folder: Path, init: Path | None, size: Size) -> dict[str, Any]:
    backbone = CLASSIFICATION_PRESETS[f"{size.preset}/{job.backbone}"]().backbone
    config = apply_overrides(ProbeConfig(backbone=backbone), [f"train.seed={job.seed}", "penalties=[1e-3,1e-2,1e-1]"])
    result = probe(shards, folder, config, init)
    return {"accuracy": result["test"]["accuracy"], "validation": result["validation"]["accuracy"]}


def _finetune(job: Job, shards: str, folder: Path, init: Path | None, size: Size) -> dict[str, Any]:
    config = CLASSIFICATION_PRESETS[f"{size.preset}/{job.backbone}"]()
    changes = (
        f"train.seed={job.seed}",
        "split_seed=0",
        f"label_share={SHARES[job.share]}",
        "train.eval_every=30",
        "figures=false",
    )
    config = apply_overrides(config, [*size.finetuning[job.share], *changes])
    result = finetune_classification(shards, folder, config, init, resume=True)
    return {"accuracy": result["test"]["last"]["accuracy"], "validation": result["validation"]["last"]["accuracy"]}


def rows(results: dict[Job, dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over the seeds of each cell of the table."""
    cells: dict[tuple[str, str, str, str], list[float]] = {}
    for job, numbers in results.items():
        if job.kind != "pretrain":
            key = (job.kind, job.backbone, job.share, job.weights)
            cells.setdefault(key, []).append(100 * numbers["accuracy"])
    return [
        {
            **dict(zip(("task", "backbone", "labels", "weights"), key, strict=True)),
            "mean": statistics.mean(found),
            "std": statistics.stdev(found) if len(found) > 1 else None,
            "seeds": len(found),
        }
        for key, found in sorted(cells.items())
    ]


def print_table(table: Sequence[dict[str, Any]]) -> None:
    """The table as text."""
    print(f"{'task':10s}{'backbone':16s}{'labels':8s}{'weights':10s}{'test accuracy':>18s}  seeds")
    for row in table:
        spread = "" if row["std"] is None else f" ± {row['std']:.1f}"
        number = f"{row['mean']:.1f}{spread}"
        print(
            f"{row['task']:10s}{row['backbone']:16s}{row['labels']:8s}{row['weights']:10s}{number:>18s}  {row['seeds']}"
        )


def finish(todo: Sequence[Job], num_jobs: int, work: Callable[..., dict[str, Any]], *given: Any) -> dict[Job, Any]:
    """The numbers of all jobs, of which some run at once."""
    results = {}
    with ProcessPoolExecutor(num_jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(work, job, *given): job for job in todo}
        for future in as_completed(waiting):
            job = waiting[future]
            results[job] = future.result()
            print(f"{len(results)} of {len(todo)}: {job.name} {json.dumps(results[job])}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--size", choices=SETTINGS, default="small")
    parser.add_argument("--backbones", nargs="+", default=["pointnet2", "pointmlp"])
    parser.add_argument("--epochs", type=int, help="of pre-training, in place of the preset's")
    parser.add_argument("--ablation", default="F1", help="of the first backbone; empty for none")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--report", action="store_true", help="run nothing, tell what has finished")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    size = SETTINGS[options.size]
    if options.epochs:
        size = dataclasses.replace(size, pretraining=(*size.pretraining, f"train.epochs={options.epochs}"))
    results: dict[Job, Any] = {}
    for todo in jobs(options.backbones, options.ablation or None):
        if options.report:
            todo = [job for job in todo if (options.out / job.name / "study.json").is_file()]
        results |= finish(todo, options.jobs, run, options.shards, options.out, size)
    table = rows(results)
    print_table(table)
    if options.json:
        pretraining = {job.name: numbers["metrics"] for job, numbers in results.items() if job.kind == "pretrain"}
        content = {
            "machine": machine(),
            "settings": dataclasses.asdict(size),
            "table": table,
            "pretraining": pretraining,
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
