"""What a user brings along as ``package.module:function``: imported, called, and its mistakes told as such."""

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from render.errors import RenderError

Result = TypeVar("Result")


def imported(kind: str, spec: str, duty: str) -> Any:
    """The function that ``spec`` names.

    Args:
        kind: what it is to be, such as ``rig``, for messages.
        spec: ``package.module:function``.
        duty: what it must do, for messages.

    Raises:
        RenderError: no such module, one that fails, no such function in it, or something that cannot be called.
    """
    module_name, _, name = spec.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # importing runs a user's code, which may fail in any way
        raise RenderError(
            f"{kind} {spec!r}: {type(error).__name__}: {error}; it must be importable as package.module:function "
            "(the folder of the module belongs on PYTHONPATH)"
        ) from error
    if not callable(found):
        raise RenderError(f"{kind} {spec!r}: not callable; {duty}")
    return found


def called(
    kind: str, spec: str, duty: str, result: type[Result], function: Callable[..., object], *given: Any
) -> Result:
    """What the function returns for these arguments.

    Args:
        kind: what it is, for messages.
        spec: how it was named, for messages.
        duty: what it must do, for messages.
        result: what it must return.
        function: a user's or ours.
        given: its arguments.

    Raises:
        RenderError: its own, or whatever else it raises told as such; or it returns something else.
        MemoryError: as it is, since it tells of the machine.
    """
    try:
        found = function(*given)
    except (RenderError, MemoryError):
        raise
    except Exception as error:  # a user's code may fail in any way
        raise RenderError(f"{kind} {spec!r}: fails with {type(error).__name__}: {error}") from error
    if not isinstance(found, result):
        raise RenderError(f"{kind} {spec!r}: returns {type(found).__name__}; {duty}")
    return found
