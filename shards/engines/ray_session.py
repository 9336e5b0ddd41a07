"""A connection to Ray for the time of a run: one that is started here, a cluster that is joined, or the caller's own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from shards.engines.options import EngineOptions
from shards.engines.signals import held_back
from shards.errors import ShardError

OBJECT_STORE_BYTES = 1 << 28
"""Shared memory of a Ray that is started here: plans and records are small, samples never pass through it."""

_CONNECT_SECONDS = 10.0

TOKEN = secrets.token_hex(32)
"""What the parts of a Ray that is started here know one another by; one for the process, since Ray remembers the first."""


def load_ray() -> Any:
    """The package. Raises ShardError where it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise ShardError("engine ray needs ray: pip install 'tap3d[ray]'") from error
    return ray


def check_address(address: str | None) -> None:
    """Whether an address is of a form that can be joined; nobody is asked.

    Raises:
        ShardError: it is of Ray's client protocol, or neither host:port nor auto.
    """
    if address in (None, "auto", "local"):
        return
    if "://" in address:
        raise ShardError(
            f"address {address}: only a machine of the cluster can lead a run; start it there with --address auto (by "
            "`ray job submit`, for instance), or give host:port of the head"
        )
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ShardError(
            f"address {address!r}: name host:port of the cluster's head, or auto on a machine of the cluster"
        )


@contextmanager
def ray_session(options: EngineOptions) -> Iterator[Any]:
    """Ray, connected; afterwards as it was before.

    Args:
        options: the address, and the number of workers, which is the number of CPUs of a Ray that is started here.

    Yields:
        The module `ray`. One that the caller has initialised is used as it is and left running.

    Raises:
        ShardError: it is not installed, or cannot be reached or started.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield ray
        return
    address = options.address or os.environ.get("RAY_ADDRESS") or "local"
    check_address(address)
    try:
        with (
            mock.patch.dict(os.environ),  # Ray sets variables of its own, and would find them again at the next start
            # Of a lost node Ray prints its last hundred lines of log. What they mean for the run is told by the run.
            mock.patch("ray._private.worker.print_to_stdstream", create=True),
        ):
            try:
                _connect(ray, address, options.num_workers)
                yield ray
            finally:
                with held_back(signal.SIGINT, signal.SIGTERM):
                    ray.shutdown()
    finally:
        ray._raylet.Config.initialize("")


def _connect(ray: ModuleType, address: str, num_cpus: int | None) -> None:
    try:
        if address == "local":
            _start(ray, num_cpus)
        else:
            _join(ray, address)
    except SystemExit:  # a SIGTERM that met the handler which Ray sets meanwhile
        signal.raise_signal(signal.SIGTERM)
        raise


def _start(ray: ModuleType, num_cpus: int | None) -> None:
    """Starts Ray on this machine, for this process alone: it ends with it, and listens on loopback only."""
    root = str(Path(__file__).resolve().parents[2])  # of this package, which a script may have on its path by itself
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_TOKEN", TOKEN)  # Ray would make one too, and leave it in the home folder
    with (
        # A Ctrl-C amid the start would leave half of it; and Ray sets a handler of SIGTERM, in place of the one that cleans up.
        held_back(signal.SIGINT, signal.SIGTERM),
        # With this Ray listens on 127.0.0.1, as it does on macOS; on Linux it offers no other way.
        mock.patch("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False, create=True),
    ):
        _initialise(
            ray,
            "Ray cannot be started on this machine",
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            # Where memory runs out, the system takes the process of the source that wants it, and not a Ray worker.
            _system_config={"memory_monitor_refresh_ms": 0},
        )


def _join(ray: ModuleType, address: str) -> None:
    check_listening(address)
    with held_back(signal.SIGTERM):
        _initialise(ray, f"the Ray cluster at {address} cannot be joined", address=address)


def _initialise(ray: ModuleType, failure: str, **options: Any) -> None:
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, its own ones, ...
        raise ShardError(f"{failure}: {first_line(error)}") from error


def check_listening(address: str | None) -> None:
    """Whether something answers at host:port; Ray itself tries for minutes, and speaks of it line by line.

    Raises:
        ShardError: nothing does. For the other forms of an address there is nobody to ask.
    """
    if address in (None, "auto", "local"):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ShardError(
            f"nothing answers at {address} ({error.strerror or error}); name the head's address as `ray status` or "
            "`ray start --head` tells it"
        ) from error


def first_line(error: object) -> str:
    """What a message of Ray's begins with; it goes on for a page."""
    return _lines(error)[0]


def last_line(error: object) -> str:
    """What a message of Ray's ends with: the error itself, where it quotes a worker's traceback."""
    return _lines(error)[-1]


def _lines(error: object) -> list[str]:
    lines = (line.strip().rstrip(".:") for line in str(error).splitlines())
    return [line for line in lines if line] or [type(error).__name__]
