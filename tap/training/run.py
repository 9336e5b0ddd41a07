"""A run folder: opened once for a new run or for its continuation, with a record of what the run is."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tap.config import differing_keys
from tap.errors import TapError
from tap.training.checkpoint import (
    CONFIG,
    FORMAT_VERSION,
    find_checkpoint,
    has_checkpoint,
    load_record,
    write_json,
)
from tap.training.environment import package_version, write_environment
from tap.training.ranks import is_first_process

# What may change between a run and its continuation, because no number of a run on an undamaged set depends on it (but for
# rounding, where another device, compiler or point operation computes it).
OPERATIONAL = frozenset(
    {
        "train.num_workers",
        "train.save_every",
        "train.log_every",
        "train.accelerator",
        "train.compile",
        "train.ops",
        "train.trackers",
        "figures",
        "data.on_error",
        "data.cache",
        "data.cache_gb",
    }
)


@dataclasses.dataclass(frozen=True)
class Run:
    """An open run folder.

    Attributes:
        out: the folder.
        record: what the run is: task, config, data, versions; stored in every checkpoint.
        resumed: the checkpoint to go on from, or None at the beginning.
    """

    out: Path
    record: Mapping[str, Any]
    resumed: Path | None = None


def open_run(
    out: Path, task: str, config: BaseModel, data: Mapping[str, Any], resume: bool, extra: Mapping[str, Any]
) -> Run:
    """Makes the run folder, or checks that the one that stands there is of the same run.

    Args:
        out: the folder.
        task: name of the task.
        config: resolved config.
        data: the account of the data, which a continuation must find again.
        resume: go on from the last checkpoint, if there is one.
        extra: further facts for the record; a continuation must start from the same ``init`` and use as many samples
            (``num_used``), if these are among them.

    Raises:
        TapError: the folder holds a run and ``resume`` is off, holds another run, or cannot be written.
    """
    record = {
        "format_version": FORMAT_VERSION,
        "package_version": package_version(),
        "task": task,
        "config": config.model_dump(mode="json"),
        "data": dict(data),
        **extra,
    }
    resumed = find_checkpoint(out) if has_checkpoint(out) else None
    if resumed is not None and not resume:
        raise TapError(f"{out}: holds a run already; go on with --resume, or choose another --out")
    if resumed is not None:
        stored = load_record(resumed)
        _check_same(out, {**stored, "config": _with_defaults(stored.get("config"), type(config))}, record)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if is_first_process():
            write_json(out / CONFIG, record)
            write_environment(out)
    except OSError as error:
        raise TapError(f"{out}: cannot be written: {error}; choose another --out") from error
    return Run(out, record, resumed)


def _check_same(out: Path, stored: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    first, wanted = (facts.get("init") or "scratch" for facts in (stored, record))
    if first != wanted:  # before the configs, which differ where the two have other backbones
        raise TapError(
            f"{out}: this run started from {first}, not from {wanted}; resume with the same --init, or choose another --out"
        )
    keys = ("task", "config", "data")
    pairs = differing_keys({key: stored.get(key) for key in keys}, {key: record[key] for key in keys})
    differences = [pair for pair in pairs if pair.split(" ", 1)[0].removeprefix("config.") not in OPERATIONAL]
    if differences:
        raise TapError(
            f"{out}: this run was started otherwise (stored and wanted): {', '.join(differences[:3])}"
            f"{', and more' if len(differences) > 3 else ''}; resume with the same settings, or choose another --out"
        )
    used, found = stored.get("num_used"), record.get("num_used")
    if used and found and used != found:  # another cut of the samples: some would be trained on and validated on
        raise TapError(
            f"{out}: this run used {_told(used)} samples, now {_told(found)} can be used: the set was damaged or mended "
            "since; repair it (tap shards verify names what is damaged), or choose another --out"
        )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


def _with_defaults(stored: Any, kind: type[BaseModel]) -> Any:
    """A stored config with the fields that came after it, whose defaults are what was done before them."""
    try:
        return kind.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored
