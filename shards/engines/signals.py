"""Signals while a set is written: none of them may leave a process or half a file behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

from shards.engines.environment import worker_variables


@contextmanager
def held_back(*numbers: int) -> Iterator[None]:
    """Inside, these signals wait; at the end they arrive.

    The handlers are exchanged, not only this thread's mask: Python runs handlers in the main thread even where another
    thread took the signal. In any other thread than the main one this does nothing, since no handler ever runs there.
    """
    waiting: set[int] = set()
    before = {number: signal.getsignal(number) for number in numbers if _may_handle(number)}
    for number in before:
        signal.signal(number, lambda arrived, _: waiting.add(arrived))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in sorted(waiting):
            signal.raise_signal(number)


@contextmanager
def exit_on_terminate() -> Iterator[None]:
    """Inside, SIGTERM raises SystemExit(143) in the main thread, so that what Ctrl-C cleans up this cleans up too.

    A handler that the program has set itself stays.
    """
    if not _may_handle(signal.SIGTERM) or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def quiet_start() -> Iterator[None]:
    """While processes are spawned: their environment, and Ctrl-C blocked, which they inherit; here it comes afterwards.

    Without the second, a Ctrl-C in their first moments would print a traceback from each of them, and one in ours could
    leave a process that nobody knows of.
    """
    variables = worker_variables(dict(os.environ))
    before = {name: os.environ.get(name) for name in variables}
    with held_back(signal.SIGINT, signal.SIGTERM):
        resource_tracker.ensure_running()  # it comes with the first process, and starting it would undo the mask
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _may_handle(number: int) -> bool:
    """Only the main thread sets handlers, and one that was not set from Python could not be put back."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) is not None


def _exit(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
