"""What a run asks of the machine that it runs on, settled before any work: trackers, point operations, memory."""

import ctypes
import os
import platform

from tap.ops import set_backend
from tap.training.trackers import check_trackers
from tap.training.train_config import TrainConfig

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_KEPT = 1 << 30  # bytes; activations of a step are smaller


def prepare_machine(config: TrainConfig) -> None:
    """Sets this process up for the config; a second call changes nothing.

    Raises:
        TapError: a tracker or backend of point operations that is not installed here.
    """
    check_trackers(config.trackers)
    set_backend(config.ops)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed for the next allocation, as long as the process lives.

    By default arrays of megabytes go back to the system, and the pages of the next ones are faulted in anew: a third of the
    time of a training step on the CPU. A setting that the environment makes (``MALLOC_MMAP_THRESHOLD_``,
    ``MALLOC_TRIM_THRESHOLD_``) stays.

    Returns:
        Whether it was told; other allocators are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    told = True
    for name, option in (("MALLOC_TRIM_THRESHOLD_", _TRIM_THRESHOLD), ("MALLOC_MMAP_THRESHOLD_", _MMAP_THRESHOLD)):
        if name not in os.environ:
            told = bool(mallopt(option, _KEPT)) and told
    return told
