"""A Ray cluster of two nodes on this machine, reachable on loopback alone, for the tests of the engine ray."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from shards.engines.ray_session import TOKEN
from shards.engines.signals import held_back


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` of a head and a second node with one CPU each; nobody has joined it.

    Runs in this process and in child processes of it can join `cluster.address`.
    """
    pytest.importorskip("ray", reason="needs ray")
    utils = pytest.importorskip("ray.cluster_utils")
    environment = {
        "PYTHONPATH": str(Path(__file__).parents[2]),  # as if it were installed on the nodes
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,  # a process can use but one, and this is the one of a Ray that it starts for a run
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # off means 127.0.0.1, on Linux as well
    }
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False),
    ):
        importlib.import_module("ray._raylet").Config.initialize("")  # has the variables read
        with held_back(signal.SIGTERM):  # Ray sets a handler and leaves it
            cluster = utils.Cluster(
                initialize_head=True,
                head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 1 << 27},
            )
        try:
            add_node(cluster)
            yield cluster
        finally:
            cluster.shutdown()


def add_node(cluster: Any) -> Any:
    """One more node with one CPU."""
    with held_back(signal.SIGTERM):
        return cluster.add_node(num_cpus=1, object_store_memory=1 << 27)


def raylet_of(node: Any) -> str:
    """The number of a node's main process, which its workers know as RAY_RAYLET_PID."""
    return str(node.all_processes["raylet"][0].process.pid)
