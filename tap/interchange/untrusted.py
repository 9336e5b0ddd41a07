"""Checkpoints of others, read through one allow-list: what a pickle names beside tensors and plain data never runs.

A ``.pth`` file is a pickle, and a pickle may name any function of this machine. `torch.load` with ``weights_only`` builds
tensors and plain containers alone; `ALLOWED` adds the few harmless names that public checkpoints hold beside them.
"""

import argparse
import collections
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tap.errors import TapError
from tap.training.checkpoint import load_tensors


def _allowed() -> dict[str, Callable[..., Any]]:
    """Names in a pickle to what is built for them; numpy moved its own between two modules."""
    rebuild, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    names: dict[str, Callable[..., Any]] = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names |= {f"{module}._reconstruct": rebuild, f"{module}.scalar": scalar}  # type: ignore[dict-item]
    for kind in "?bhilqBHILQefd":  # never objects, which may be anything
        names[f"numpy.dtypes.{type(np.dtype(kind)).__name__}"] = type(np.dtype(kind))
    names["argparse.Namespace"] = argparse.Namespace
    # A dict whose items are also its attributes. Of it only the items matter, so it need not be installed.
    names["easydict.EasyDict"] = collections.OrderedDict
    return names


ALLOWED: Mapping[str, Callable[..., Any]] = _allowed()


def load_checkpoint(file: Path) -> dict[str, Any]:
    """What a ``.pth``, ``.pt`` or ``.safetensors`` file of others holds, on the CPU.

    Args:
        file: written by `torch.save` in either of its formats, or safetensors.

    Returns:
        Its outermost dict: tensors, or containers of tensors and plain data.

    Raises:
        TapError: not such a file, damaged, without a dict of tensors, or it names something outside the allow-list;
            nothing of it has run then.
    """
    if file.is_dir():
        raise TapError(f"{file}: is a folder; give the checkpoint file in it")
    if file.suffix == ".safetensors":
        return dict(load_tensors(file))
    try:
        allowed = torch.serialization.safe_globals([(found, name) for name, found in ALLOWED.items()])
        with warnings.catch_warnings(), allowed:
            warnings.simplefilter("ignore", UserWarning)  # of an unusual pickle protocol: what matters is raised
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TapError(f"{file}: cannot be read: {error}") from error
    except Exception as error:  # a damaged pickle may fail in any way
        raise TapError(f"{file}: {_explain(error)}") from error
    if not isinstance(content, Mapping) or not _holds_tensor(content):
        raise TapError(f"{file}: holds a {type(content).__name__} without tensors; a dict of tensors is expected")
    return dict(content)


def _explain(error: Exception) -> str:
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        return (
            f"names {named[1]}, which is not on the list of what may be built, so nothing of it was run; "
            "it is cut off there, or its owner should save the state_dict alone"
        )
    # Around what went wrong torch puts advice: how to switch the allow-list off, and whom to tell of its own errors.
    own = re.search(r"WeightsUnpickler error:\s*(.*)", str(error))
    lines = (own[1] if own else str(error)).partition(". This is an internal")[0].splitlines()
    reason = lines[0][:160].strip() if lines and lines[0].strip() else type(error).__name__
    return f"cannot be read as a checkpoint of torch: {reason}; it may be cut off, or no checkpoint"


def _holds_tensor(content: Mapping[Any, Any]) -> bool:
    values = content.values()
    return any(
        isinstance(value, torch.Tensor) or (isinstance(value, Mapping) and _holds_tensor(value)) for value in values
    )
