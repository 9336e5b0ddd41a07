"""The file system behind a URL: opened in the process that asks, asked again after accidents, and given up in time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import fsspec

from shards.errors import ShardError

NUM_TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
"""Pauses between tries double from here."""

REQUEST_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 1 << 16
"""A try may take that long, and a second more for so many bytes; after twice that time no other try is begun."""

NUM_REQUEST_TRIES = 3
"""Times that botocore sends one request of a try; AWS_MAX_ATTEMPTS overrules it."""

NUM_CONNECTIONS = 32
"""Requests to S3 at a time, of one process."""

S3 = ("s3", "s3a")
WITH_BUCKETS = (*S3, "gs", "gcs")
"""Stores whose folders are but names, in buckets that somebody made; an upload appears there as a whole."""

_PASSWORD = re.compile(r"[^/@:]+://[^/@]*:[^/@]*@")
_MISTAKES = (
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    NotImplementedError,
    ImportError,
    ValueError,
    TypeError,
    AttributeError,
)
"""What a second try would not change."""
_PASSING_REFUSALS = (408, 409, 425, 429)  # request timeout, at work elsewhere, too early, too many requests
_PASSING_CODES = ("RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch")  # come as 400

_KEPT: dict[int, Any] = {}
"""File systems in use, by id. A forked child that let go of its parent's would close them: s3fs waits a second for each, and
takes the parent's connections out of the epoll set that both share."""

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class RemoteSystem:
    """A file system for the time of one try.

    Attributes:
        system: of fsspec; methods that send nothing may be called on it.
        path: the URL's path in it.
        protocol: of the URL.
        seconds: how long one call may take.
    """

    system: Any
    path: str
    protocol: str
    seconds: float

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """What a method of the file system answers; where it can be held to a time, it is."""
        if getattr(self.system, "async_impl", False):
            kwargs["timeout"] = self.seconds
        return getattr(self.system, method)(*args, **kwargs)


def asked(url: str, request: Callable[[RemoteSystem], AnswerT], num_bytes: int = 0) -> AnswerT:
    """What a request gets, tried again after errors that may pass.

    A request that fails at once is given up after `NUM_TRIES` tries; one that gets no answer, after about twice the time
    that a try may take. Below that, botocore repeats single requests of S3 (`NUM_REQUEST_TRIES`); retries of s3fs itself
    are switched off, since the three would multiply into half an hour.

    Args:
        url: of a file or folder.
        request: called with the file system, again for each try.
        num_bytes: how much is moved, for the time that a try may take.

    Raises:
        FileNotFoundError: as the store says.
        ConnectionError: anything else that went wrong; the message is one line without the URL.
        ShardError: the protocol is unknown, or its package is not installed.
    """
    seconds = REQUEST_SECONDS + num_bytes / SLOWEST_BYTES_PER_SECOND
    began_at = time.monotonic()
    for number in range(1, NUM_TRIES + 1):
        system = open_system(url, seconds)
        try:
            return request(system)
        except Exception as error:  # each package has errors of its own, without a common base
            if isinstance(error, FileNotFoundError):
                raise
            if not _may_pass(error):
                raise ConnectionError(_why(error, seconds)) from error
            if number == NUM_TRIES or time.monotonic() - began_at > 2 * seconds:
                raise ConnectionError(f"{_why(error, seconds)} ({number} tries)") from error
            time.sleep(FIRST_PAUSE_SECONDS * 2 ** (number - 1))
    raise AssertionError("the last try returns or raises")


def open_system(url: str, seconds: float = REQUEST_SECONDS) -> RemoteSystem:
    """The file system of a URL; fsspec makes one in each process that asks, also after a fork, and keeps it.

    Settings and credentials are those of the environment and of fsspec's config files.

    Raises:
        ShardError: the URL holds a password or no bucket, its protocol is unknown, or its package is not installed.
    """
    protocol = url.partition("://")[0].lower()
    if _PASSWORD.match(url):
        raise ShardError(
            f"{protocol}://...: a password in a URL would end up in messages; set it in the environment or in fsspec's config"
        )
    try:
        system, path = fsspec.core.url_to_fs(url, **_options(protocol))
    except (ImportError, ValueError) as error:
        extra = "pip install 'tap3d[s3]'" if protocol in S3 else "s3://, gs:// and others of fsspec are known"
        raise ShardError(f"{url}: no way to open {protocol}:// here ({error}); {extra}") from error
    if protocol in WITH_BUCKETS and not path.strip("/"):
        raise ShardError(f"{url}: names no bucket; expected {protocol}://BUCKET/FOLDER")
    if protocol in S3:
        system.retries = 1
    _KEPT[id(system)] = system
    return RemoteSystem(system, str(path).rstrip("/"), protocol, seconds)


def code_of(error: BaseException) -> str | None:
    """The short name that S3 gives to an error, such as `SlowDown`; None where there is none."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code")
            return str(code) if code else None
    return None


def _options(protocol: str) -> dict[str, Any]:
    """What an S3 file system is made with; as no other code asks for the same, fsspec shares it with none."""
    if protocol not in S3:
        return {}
    chosen: dict[str, Any] = {"max_pool_connections": NUM_CONNECTIONS}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        chosen["retries"] = {"mode": "standard", "total_max_attempts": NUM_REQUEST_TRIES}
    chosen |= fsspec.config.conf.get("s3", {}).get("config_kwargs") or {}
    # A remembered listing would hide what other processes have written.
    return {"use_listings_cache": False, "config_kwargs": chosen}


def _may_pass(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status >= 500 or status in _PASSING_REFUSALS or code_of(error) in _PASSING_CODES
    return not isinstance(error, _MISTAKES) and "CredentialsError" not in type(error).__name__


def _status(error: Exception) -> int | None:
    """The status of an HTTP answer, where the package below tells it."""
    statuses = [getattr(error, "status", None), getattr(error, "code", None)]
    for one in (error, error.__cause__):  # of a cause, no other field: aiohttp marks a body that is cut short with 400
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            statuses.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((status for status in statuses if isinstance(status, int) and status >= 400), None)


def _why(error: Exception, seconds: float) -> str:
    """The reason, as one line."""
    if type(error).__name__ == "FSTimeoutError":
        return f"no answer within {seconds:.0f} seconds"
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    name = code_of(error)
    return f"{text} ({name})" if name and name not in text else text
