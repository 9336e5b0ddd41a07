"""Asking a store behind a URL through fsspec: opened where it is used, asked again after accidents, refusals in plain words."""

from __future__ import annotations

import difflib
import errno
import time
from collections.abc import Callable
from typing import Any, TypeVar

from render.errors import RenderError

PAUSES_SECONDS = (1.0, 4.0)
"""Waits before the second try and the third; most packages below have retries of their own besides."""

_ANSWERS = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""Errors that say how things are, and not that they could not be found out."""
_MISTAKES = (PermissionError, NotImplementedError, ImportError, ValueError, TypeError, LookupError, AttributeError)
_PASSING_REFUSALS = (408, 425, 429)  # request timeout, too early, too many requests
_EXTRAS = {"s3": "s3fs; pip install 'tap3d[s3]'", "s3a": "s3fs; pip install 'tap3d[s3]'"}

AnswerT = TypeVar("AnswerT")


class StoreError(OSError):
    """A store that could not be asked; `strerror` says why, in words without the URL."""


def asked(url: str, request: Callable[[Any, str], AnswerT]) -> AnswerT:
    """What a request gets from the file system of a URL.

    The file system is made in the process and thread that asks, and kept by fsspec for the next question; its settings are
    those of the environment and of fsspec's configuration.

    Args:
        url: of a file or folder.
        request: called with the file system and the path that the URL has there; called again after an error that may pass.

    Raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: as the store says.
        StoreError: no permission, no network, or whatever else kept the store from answering.
    """
    from fsspec import get_filesystem_class

    for pause in (*PAUSES_SECONDS, None):
        try:
            kind = get_filesystem_class(url.partition("://")[0])
            system = kind(**kind._get_kwargs_from_urls(url))
            return request(system, str(kind._strip_protocol(url)))
        except _ANSWERS:
            raise
        except Exception as error:  # each package has its own, without a common base
            if pause is None or not _may_pass(error):
                tries = "" if pause is not None else f", {len(PAUSES_SECONDS) + 1} times"
                raise StoreError(_number(error), _why(error) + tries) from error
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def check_protocol(protocol: str, where: str) -> None:
    """Raises RenderError where fsspec does not know the protocol, or lacks the package for it."""
    from fsspec import available_protocols, get_filesystem_class

    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        raise RenderError(f"{where}: needs {_EXTRAS.get(protocol) or f'a package ({error})'}") from error
    except ValueError as error:
        near = difflib.get_close_matches(protocol.lower(), available_protocols(), 1)
        meant = f"did you mean {near[0]}://? " if near else ""
        raise RenderError(
            f"{where}: protocol {protocol}:// is unknown; {meant}s3://, gs:// and others of fsspec are read"
        ) from error


def _may_pass(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status >= 500 or status in _PASSING_REFUSALS
    return not isinstance(error, _MISTAKES) and not _lacks_credentials(error)


def _number(error: Exception) -> int:
    """`errno.EACCES` where permission is what lacks."""
    is_refused = isinstance(error, PermissionError) or _status(error) in (401, 403) or _lacks_credentials(error)
    return errno.EACCES if is_refused else errno.EIO


def _why(error: Exception) -> str:
    """The reason in words; of the error's text nothing, for it may hold bucket, address and more."""
    code = _code(error) or type(error.__cause__ or error).__name__
    if _lacks_credentials(error):
        return f"the store wants credentials, and there are none ({code})"
    if _number(error) == errno.EACCES:
        return f"no permission, or credentials that do not hold ({code})"
    status = _status(error)
    if status is not None:
        return f"the store answers {status}" if code == str(status) else f"the store answers {status} ({code})"
    if isinstance(error, _MISTAKES):
        return f"the store takes no such request ({code})"
    return f"the store cannot be reached ({code})"


def _lacks_credentials(error: Exception) -> bool:
    return "CredentialsError" in type(error).__name__


def _status(error: Exception) -> int | None:
    """The status of an HTTP answer, where the package below tells it."""
    statuses = [getattr(error, "status", None), getattr(error, "code", None)]
    # Of a cause, no other field: aiohttp marks a body that is cut short with 400.
    answers = (_response(one).get("ResponseMetadata", {}) for one in (error, error.__cause__))
    statuses += [answer.get("HTTPStatusCode") for answer in answers]
    return next((status for status in statuses if isinstance(status, int) and status >= 400), None)


def _code(error: Exception) -> str | None:
    """The short name that S3 gives to an error, such as ``SlowDown``."""
    for one in (error, error.__cause__):
        code = _response(one).get("Error", {}).get("Code")
        if isinstance(code, str) and code:
            return code
    return None


def _response(error: BaseException | None) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}
