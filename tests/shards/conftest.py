"""A small set and copies of it to be damaged; a store that fails by a plan, for the tests of sets behind URLs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.stores import remote_system
from tests.shards.damage import build_small
from tests.shards.flaky import Proxy, flaky_proxy


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that nobody may change."""
    return build_small(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "set"))


@pytest.fixture
def proxy(s3_endpoint: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Stands between all clients of S3 and the server; answers everything at first. Each request is sent once by botocore."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    with flaky_proxy(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(remote_system, "FIRST_PAUSE_SECONDS", 0.01)
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
