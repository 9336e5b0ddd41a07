"""Pickles of others, read as arrays and plain containers alone: whatever else one names is refused and never runs."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tap.errors import TapError
from tap.interchange.untrusted import ALLOWED


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """The bytes of an array as old pickles write them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


def _arrays() -> dict[str, Callable[..., Any]]:
    """Names in a pickle to what is built for them."""
    names = {name: found for name, found in ALLOWED.items() if name.startswith("numpy.")}
    flat: Any = np.zeros(1).__reduce_ex__(5)[0]  # how protocol 5 writes arrays
    names |= {"numpy.core.numeric._frombuffer": flat, "numpy._core.numeric._frombuffer": flat}
    return names | {"_codecs.encode": _latin1}


_NAMES = _arrays()


class _Reader(pickle.Unpickler):
    """Builds nothing but what `_NAMES` holds."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _NAMES:
            raise TapError(f"names {full}; only arrays and plain data are read, so nothing of it was run")
        return _NAMES[full]


def read_plain_pickle(path: Path) -> Any:
    """What a pickle holds: numpy arrays of numbers, dicts, lists, tuples, strings and numbers.

    Raises:
        TapError: it cannot be read, is damaged, or names anything else, which has not run then.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TapError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return _Reader(io.BytesIO(content)).load()
    except TapError as error:
        raise TapError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise TapError(f"{path}: cannot be read as a pickle: {reason}; it may be cut off") from error
