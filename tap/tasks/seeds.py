"""Several runs of one kind, and the mean and standard deviation of their numbers.

Runs over seeds differ in everything that ``train.seed`` draws: initial weights of what is not pre-trained, order, points,
augmentation, dropout. The samples that are cut for validation, or kept by a share of the labels, are the same in all.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tap.errors import TapError
from tap.training.checkpoint import has_checkpoint, write_json
from tap.training.ranks import is_first_process

SUMMARY = "summary.json"
SPLITS = ("validation", "test")
SHARED = ("selected_on", "init", "shards", "num_used", "num_votes", "protocol", "part_names", "classes")
Config = TypeVar("Config", bound=BaseModel)


def over_seeds(
    run: Callable[[Path, Config], Mapping[str, Any]], out: Path, config: Config, num_seeds: int
) -> dict[str, Any]:
    """Runs a config with the seeds ``train.seed``, ``train.seed`` + 1 and so on.

    Args:
        run: does one run in a folder, or returns the result of a finished one that it is to go on with; returns what
            ``result.json`` holds.
        out: each run gets the folder ``seed0``, ... in it.
        config: has ``train.seed``; where it has a ``split_seed`` that is None, all runs get the first seed for it.
        num_seeds: at least 1.

    Returns:
        What ``summary.json`` holds, see `summarise`; ``seeds`` are those of the runs.

    Raises:
        TapError: ``out`` holds a run itself, or a run fails.
    """
    if num_seeds < 1:
        raise TapError(f"--seeds {num_seeds}: at least 1 is needed")
    _check_free(out)
    train: Any = config.train  # type: ignore[attr-defined]
    changes: dict[str, Any] = {}
    if "split_seed" in type(config).model_fields and getattr(config, "split_seed", None) is None:
        changes["split_seed"] = train.seed
    seeds = [train.seed + number for number in range(num_seeds)]
    results = {}
    for seed in seeds:
        seeded = config.model_copy(update={**changes, "train": train.model_copy(update={"seed": seed})})
        results[f"seed{seed}"] = run(out / f"seed{seed}", seeded)
    return write_summary(out, results, {"seeds": seeds})


def write_summary(out: Path, results: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Writes ``summary.json`` of several runs.

    Args:
        out: the folder of their folders.
        results: folder name to what its ``result.json`` holds.
        facts: what else it says.

    Returns:
        What it holds: the facts, ``runs``, what all results agree on of what they say of themselves, and of each split the
        numbers as `spread` has them.
    """
    found = list(results.values())
    shared = {
        name: found[0][name]
        for name in SHARED
        if name in found[0] and all(result.get(name) == found[0][name] for result in found)
    }
    numbers = {split: spread([result.get(split) for result in found]) for split in SPLITS}
    summary = {**shared, **facts, "runs": list(results), **numbers}
    if is_first_process():
        try:
            write_json(out / SUMMARY, summary)
        except OSError as error:
            raise TapError(f"{out / SUMMARY}: cannot be written: {error}; free space or change --out") from error
    return summary


def spread(values: Sequence[Any]) -> Any:
    """Mean and standard deviation of numbers that stand in the same place of several results.

    Args:
        values: numbers, or mappings of them however deep; None where a result has none.

    Returns:
        Of numbers ``mean``, ``std`` (of a sample: n - 1; None of one number) and the ``values``; of mappings the same of
        each key that all have; None of anything else.
    """
    if all(isinstance(value, Mapping) for value in values):
        common = [key for key in values[0] if all(key in value for value in values)]
        return {key: spread([value[key] for value in values]) for key in common}
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None
    return {"mean": mean, "std": deviation, "values": list(values)}


def _check_free(out: Path) -> None:
    if has_checkpoint(out):
        raise TapError(f"{out}: holds a run itself, and several were to go into it; choose another --out")
