"""A checkpoint is a folder: the run's config and counters as JSON, weights and optimizer state as safetensors.

Nothing in it is a pickle, so a checkpoint from elsewhere cannot run code. It is written under a temporary name, flushed to
disk and renamed, so a reader never meets half of one.
"""

import contextlib
import glob
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tap.errors import TapError, some

FORMAT_VERSION = 1
CONFIG, STATE, MODEL, OPTIMIZER = "config.json", "state.json", "model.safetensors", "optimizer.safetensors"
logger = logging.getLogger(__name__)


def save_checkpoint(
    folder: Path,
    record: Mapping[str, Any],
    state: Mapping[str, Any],
    model: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Writes a checkpoint folder in place of the one that may stand there.

    Only one process may save to a folder at a time.

    Args:
        folder: for example ``run/last``.
        record: what the run is (config, versions, data), JSON.
        state: counters and metrics, JSON.
        model: parameter and buffer names to tensors.
        optimizer: flat optimizer state, or None for weights only.

    Raises:
        TapError: the disk is full or the folder cannot be written; the checkpoint that stood there is still whole.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    try:
        for stale in folder.parent.glob(f".{glob.escape(folder.name)}.tmp-*"):  # of saves that were killed
            shutil.rmtree(stale, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_json(temporary / CONFIG, record)
        write_json(temporary / STATE, state)
        save_file(savable(model), temporary / MODEL)
        if optimizer is not None:
            save_file(savable(optimizer), temporary / OPTIMIZER)
        for file in sorted(temporary.iterdir()):
            flush(file)
        flush(temporary)
        _replace(temporary, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise TapError(f"{folder}: the checkpoint cannot be written: {error}; free space or change --out") from error


def find_checkpoint(path: Path, name: str = "last") -> Path:
    """The checkpoint folder that ``path`` means: itself, or ``name`` inside a run folder.

    Raises:
        TapError: there is none.
    """
    if (path / MODEL).is_file() and (path / CONFIG).is_file():
        return path
    for folder in (path / name, _previous(path / name)):  # a kill between the two renames leaves only the previous one
        if (folder / MODEL).is_file() and (folder / CONFIG).is_file():
            return folder
    reason = "no such folder" if not path.exists() else f"neither a checkpoint nor a run with {name}/{MODEL}"
    runs = sorted({file.parts[-3] for file in path.glob(f"*/*/{MODEL}")})  # of several seeds or folds
    if runs:
        raise TapError(f"{path}: holds {len(runs)} runs; name one of them, such as {path / runs[0]}")
    other = "last" if name == "best" else "best"
    if (path / other / MODEL).is_file():
        raise TapError(f"{path}: has only the checkpoint {other!r}; name that one, or let the run go on with --resume")
    raise TapError(f"{path}: {reason}; give the --out folder of a run that has saved a checkpoint")


def has_checkpoint(run: Path, name: str = "last") -> bool:
    """Whether a run folder holds the named checkpoint."""
    with contextlib.suppress(TapError):
        find_checkpoint(run, name)
        return True
    return False


def load_record(checkpoint: Path) -> dict[str, Any]:
    """The run record of a checkpoint folder.

    Raises:
        TapError: unreadable, or written by another format version.
    """
    record = read_json(checkpoint / CONFIG)
    if record.get("format_version") != FORMAT_VERSION:
        raise TapError(
            f"{checkpoint / CONFIG}: format version {record.get('format_version')!r}, this release reads {FORMAT_VERSION}"
        )
    return record


def load_state(checkpoint: Path) -> dict[str, Any]:
    """The counters of a checkpoint folder; `TapError` if unreadable."""
    return read_json(checkpoint / STATE)


def load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, on the CPU; `TapError` if it is missing or damaged."""
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise TapError(f"{file}: cannot be read: {error}") from error


def load_weights(module: nn.Module, path: Path, prefix: str = "") -> list[str]:
    """Loads weights strictly: every tensor of the module, each of the right shape, must be in the checkpoint.

    Args:
        module: takes the weights in place.
        path: checkpoint or run folder (then its ``last``).
        prefix: takes only names that start so, without it; for example ``backbone.``.

    Returns:
        The names in the checkpoint that were left out because they do not start with the prefix (logged as well).

    Raises:
        TapError: names the tensors that are missing, not wanted, or of another shape; the module is then untouched.
    """
    file = find_checkpoint(path) / MODEL
    stored = load_tensors(file)
    taken = {name[len(prefix) :]: tensor for name, tensor in stored.items() if name.startswith(prefix)}
    left_out = sorted(name for name in stored if not name.startswith(prefix))
    found = differences(
        {name: tensor for name, tensor in stored.items() if name.startswith(prefix)},
        {f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()},
    )
    if any(found):
        raise TapError(f"{file}: does not fit the model: {some(*found)}; use the config of that run")
    module.load_state_dict(taken, strict=True)
    if prefix:
        account = ", ".join(f"{count} {part}" for part, count in _count_parts(left_out).items()) or "nothing"
        logger.info("%s: took %d tensors of %r, left out %s", file, len(taken), prefix, account)
    return left_out


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON with sorted keys and two spaces, NaN refused."""
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read_json(file: Path) -> dict[str, Any]:
    """Reads a JSON object; `TapError` if it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TapError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise TapError(f"{file}: holds a {type(content).__name__}, a JSON object is expected")
    return content


def savable(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies on the CPU that share no memory, which safetensors refuses."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def differences(
    stored: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], ignore_ones: bool = False
) -> list[list[str]]:
    """Why stored tensors do not fit a model, in words.

    Args:
        stored: by name.
        wanted: by name, of the model.
        ignore_ones: axes of length 1 are not compared.

    Returns:
        Those that are missing, those that have no place in the model, and those of another shape.
    """

    def shape(tensor: torch.Tensor) -> list[int]:
        return [length for length in tensor.shape if length != 1 or not ignore_ones]

    missing = [f"{name} is missing" for name in wanted if name not in stored]
    surplus = [f"{name} has no place in the model" for name in stored if name not in wanted]
    reshaped = [
        f"{name} is {tuple(stored[name].shape)} where the model has {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in stored and shape(stored[name]) != shape(tensor)
    ]
    return [missing, surplus, reshaped]


def flush(path: Path) -> None:
    """Keeps a file, or the names in a folder, through a power cut."""
    with _descriptor(path) as descriptor:
        os.fsync(descriptor)


def _count_parts(names: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name.split(".")[0]] = counts.get(name.split(".")[0], 0) + 1
    return counts


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _replace(temporary: Path, folder: Path) -> None:
    """Puts a folder in the place of another; at every moment one whole checkpoint stands under one of the two names."""
    previous = _previous(folder)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    temporary.rename(folder)
    flush(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


@contextlib.contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
