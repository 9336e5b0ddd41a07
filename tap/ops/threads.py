"""A piece of work shared out over as many threads as torch has in this process."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch


def share_out(count: int, work: Callable[[slice], None]) -> None:
    """Do ``work`` on slices that cover ``range(count)``, one for each of torch's threads.

    Not numba's own parallel loops: their OpenMP layer ends a process that is forked after it, as loaders' workers are, and
    their other layer a process in which two threads call. The kernels release the interpreter instead.

    Args:
        count: how many independent pieces there are.
        work: is given a slice of them; whatever it raises is raised here.
    """
    num_threads = min(torch.get_num_threads(), count)
    if num_threads <= 1:
        work(slice(0, count))
        return
    bounds = [count * place // num_threads for place in range(num_threads + 1)]
    parts = [slice(begin, end) for begin, end in pairwise(bounds)]
    others = _threads(os.getpid(), num_threads - 1)
    pending = [others.submit(work, part) for part in parts[1:]]
    work(parts[0])
    for task in pending:
        task.result()


@cache
def _threads(process_id: int, num_threads: int) -> ThreadPoolExecutor:
    """The waiting threads of this process; a fork has none of its parent's, so each process asks by its own number."""
    return ThreadPoolExecutor(num_threads, "tap-ops")
