"""A store that fails by a plan, for the tests of sets behind URLs."""

from collections.abc import Iterator

import pytest

from shards.stores import remote_system
from tests.shards.flaky import Proxy, flaky_proxy


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
