"""A real S3 server on this machine for the tests of object stores, and Ctrl-C that works wherever the tests are started."""

import itertools
import signal
from collections.abc import Iterator

import pytest

_NUMBERS = itertools.count()


def pytest_configure() -> None:
    """A shell's background jobs, and all that they start, ignore SIGINT; many tests send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 server that answers on loopback alone, for the whole session; its store is empty at first."""
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    pytest.importorskip("s3fs", reason="needs s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment, which child processes inherit, in which every client of S3 talks to the server of `s3_endpoint`."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    # An open file system keeps the environment in which it was made, and remembers what it has listed.
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def s3_url(s3_environment: None) -> str:
    """URL of a fresh, empty bucket, such as ``s3://bucket-7``."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    name = f"bucket-{next(_NUMBERS)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
