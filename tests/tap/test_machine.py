import subprocess
import sys

import pytest

from tap.errors import TapError
from tap.training.machine import prepare_machine
from tap.training.train_config import TrainConfig

FAULTS = """
import resource, sys
import torch
from tap.training.machine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(1 << 24).fill_(1.0)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
told = keep_freed_memory()
kept = faults()
print(int(told), given_back, kept)
"""


def test_freed_memory_is_kept_where_the_allocator_is_glibc() -> None:
    answer = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=300)
    told, given_back, kept = map(int, answer.stdout.split())
    if not told:
        pytest.skip("another allocator than glibc's")
    assert kept < given_back / 4


def test_a_setting_of_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    answer = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=300)
    told, given_back, kept = map(int, answer.stdout.split())
    if not told:
        pytest.skip("another allocator than glibc's")
    assert kept > given_back / 2


def test_what_the_machine_lacks_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TapError, match="wandb"):
        prepare_machine(TrainConfig(trackers=("wandb",)))
