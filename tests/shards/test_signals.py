import os
import signal
import subprocess
import sys
import threading

import pytest

from shards.engines.signals import exit_on_terminate, held_back


def test_a_signal_held_back_arrives_at_the_end() -> None:
    steps: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # the point is where in the block it comes
        with held_back(signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(signal.SIGINT)
            steps.append("inside")
        steps.append("behind")
    assert steps == ["inside"]
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_exits_inside_only() -> None:
    with pytest.raises(SystemExit) as caught, exit_on_terminate():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_program_keeps_its_own_handler() -> None:
    arrived: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: arrived.append(number))
    try:
        with exit_on_terminate():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert arrived == [signal.SIGTERM]


def test_other_threads_are_left_alone() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with held_back(signal.SIGINT), exit_on_terminate():
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]


def test_a_held_back_sigterm_still_ends_a_program_without_handler() -> None:
    code = (
        "import os, signal; from shards.engines.signals import held_back\n"
        "with held_back(signal.SIGTERM):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('finished', flush=True)\n"
        "print('never')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "finished\n")


def test_the_first_process_already_starts_with_ctrl_c_blocked() -> None:
    """In a program of its own, since the first start differs from the next ones."""
    child = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)"
    code = (
        "import multiprocessing, signal; from shards.engines.signals import quiet_start\n"
        f"process = multiprocessing.get_context('spawn').Process(target=exec, args=({child!r},))\n"
        "with quiet_start():\n"
        "    process.start()\n"
        "process.join()\n"
        "print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False"]
