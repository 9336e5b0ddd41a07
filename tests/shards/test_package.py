import subprocess
import sys

import pytest

import shards


def test_every_public_name_loads() -> None:
    assert all(getattr(shards, name) is not None for name in shards.__all__)
    assert set(shards.__all__) == {*shards._HOMES, "ShardError"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        shards.nothing  # noqa: B018


def test_importing_is_light_and_never_needs_torch() -> None:
    code = (
        "import sys, shards; assert 'numpy' not in sys.modules; from shards import *; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
