"""torch.compile as one flag: a compiled model, and one clear line where a machine or a model cannot be compiled."""

import contextlib
from collections.abc import Iterator
from typing import cast

import torch
from torch import nn

from tap.errors import TapError

ADVICE = "set train.compile=false, or leave --compile off"


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """The model, compiled when it first runs. It shares the parameters of the given one, which keeps its plain names.

    Raises:
        TapError: this machine compiles nothing, as a first try with one addition shows.
    """
    try:
        torch.compile(_add_one)(torch.zeros(8, device=device))
    except Exception as error:
        if not _is_of_the_compiler(error):
            raise
        raise TapError(
            f"train.compile: this machine cannot compile for {device.type}: {_told(error)}; {ADVICE}"
        ) from None
    return cast(nn.Module, torch.compile(model))


@contextlib.contextmanager
def plain_compiler_errors(enabled: bool) -> Iterator[None]:
    """Errors of the compiler, which come when the model first runs, as one line."""
    try:
        yield
    except Exception as error:
        if not enabled or not _is_of_the_compiler(error):
            raise
        raise TapError(f"train.compile: the model cannot be compiled: {_told(error)}; {ADVICE}") from error


def _add_one(values: torch.Tensor) -> torch.Tensor:
    return values + 1.0


def _is_of_the_compiler(error: Exception) -> bool:
    # By the module and not by the class: importing those takes seconds.
    return any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__)


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
