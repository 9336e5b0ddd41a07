"""Time of a training loop: how fast it goes, how long it waits for data, and when Ctrl-C or SIGTERM may interrupt it."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any


class Clock:
    """Speed, share of the time spent waiting for data, and time left.

    Args:
        num_steps: steps of the whole run.
        step: steps done before this process started.
    """

    def __init__(self, num_steps: int, step: int) -> None:
        self.num_steps, self.first_step = num_steps, step
        self.began = time.perf_counter()
        self.restart()

    def restart(self) -> None:
        """A new window for speed and waiting."""
        self.window_began = time.perf_counter()
        self.waited, self.samples = 0.0, 0

    def timed(self, loader: Iterable[Any]) -> Iterator[Any]:
        """The loader's batches; the time that each takes to arrive is counted as waiting."""
        iterator = iter(loader)
        while True:
            asked = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.waited += time.perf_counter() - asked
            yield batch

    def stepped(self, step: int, num_samples: int) -> dict[str, float]:
        """Notes a step; returns samples_per_second, data_wait (0 to 1), steps and seconds_left."""
        now = time.perf_counter()
        self.samples += num_samples
        spent = max(now - self.window_began, 1e-9)
        pace = (now - self.began) / max(1, step - self.first_step)
        return {
            "samples_per_second": self.samples / spent,
            "data_wait": self.waited / spent,
            "steps": float(self.num_steps),
            "seconds_left": pace * (self.num_steps - step),
        }


class Interrupts:
    """Ctrl-C in a run of several processes, which must all end after the same step.

    Attributes:
        noted: it has met this process.
        agreed: all processes have learned of it, and end.
    """

    def __init__(self) -> None:
        self.noted = self.agreed = False


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C would, and what is interrupted ends as SystemExit(143).

    A cluster's scheduler sends it when time is up. A handler that the program has set itself stays.
    """
    on_main = threading.current_thread() is threading.main_thread()
    if not on_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    arrived: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        handler = signal.getsignal(signal.SIGINT)  # of the moment: it may hold back
        if callable(handler):
            handler(signal.SIGINT, frame)
        else:  # ignored, as in a job in the background
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if arrived:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def noted_interrupts(together: bool) -> Iterator[Interrupts]:
    """Notes Ctrl-C instead of raising it, if ``together``; a second one is raised at once, for a run that hangs."""
    interrupts = Interrupts()
    if not together or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interrupts.noted:
            raise KeyboardInterrupt
        interrupts.noted = True

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Holds Ctrl-C back until the block ends, so that what is saved is a whole step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        noted.append(number)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if noted:
        raise KeyboardInterrupt
