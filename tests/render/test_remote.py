"""A store that stumbles is asked again, one that refuses is not, and what it said is told without its words."""

import errno
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from render import remote as remote_module
from render.errors import RenderError, UnreachableError
from render.location import as_location
from render.mesh import file_content, read_mesh
from render.reading.companions import read_companion
from render.remote import StoreError, asked
from tests.render.files import obj_text, off_text


class Flaky(MemoryFileSystem):  # type: ignore[misc]
    """A store in memory that raises what the test put into `errors` before it answers."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    errors: ClassVar[list[Exception]] = []
    num_asked: ClassVar[int] = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("flaky://", "memory://")))

    def info(self, path: str, **_: Any) -> Any:
        Flaky.num_asked += 1
        if Flaky.errors:
            raise Flaky.errors.pop(0)
        return super().info(path)


class ClientError(Exception):
    """An error with an HTTP answer, as the package below s3fs has it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"refused at http://host/bucket/key ({code})")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class PayloadError(Exception):
    """What aiohttp raises where a body is cut short: a 400 that no server has sent."""

    code = 400


class NoCredentialsError(Exception):
    """The name under which credentials are missed."""


@pytest.fixture(autouse=True)
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Flaky]]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(remote_module, "PAUSES_SECONDS", (0.0, 0.0))
    Flaky.num_asked = 0
    Flaky.errors.clear()
    Flaky.store.clear()
    Flaky().pipe_file("/bucket/a.off", off_text().encode())
    yield Flaky
    Flaky.errors.clear()


PASSING = [
    ConnectionResetError("http://host/bucket/key"),
    TimeoutError(),
    caused(OSError(errno.EIO, "http://host/bucket"), ClientError(503, "SlowDown")),
    ClientError(500, "InternalError"),
    ClientError(429, "TooManyRequests"),
    caused(OSError(errno.EIO, "cut short"), PayloadError()),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_accidents_are_tried_again(flaky: type[Flaky], error: Exception) -> None:
    flaky.errors[:] = [error, error]
    assert len(read_mesh("flaky://bucket/a.off").faces) == 2
    assert flaky.num_asked == 3


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PASSING[0], r"cannot be reached \(ConnectionResetError\), 3 times"),
        (PASSING[2], r"the store answers 503 \(SlowDown\), 3 times"),
        (PASSING[3], r"the store answers 500 \(InternalError\), 3 times"),
    ],
)
def test_after_three_tries_the_mesh_fails_with_the_cause(flaky: type[Flaky], error: Exception, why: str) -> None:
    flaky.errors[:] = [error] * 9
    with pytest.raises(RenderError, match=f"^flaky://bucket/a.off: cannot read: .*{why}$"):
        file_content(as_location("flaky://bucket/a.off"))
    assert flaky.num_asked == 3


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError("Forbidden bucket"), r"no permission, or credentials that do not hold \(PermissionError\)"),
        (caused(PermissionError(), ClientError(403, "AccessDenied")), r"no permission.* \(AccessDenied\)"),
        (NoCredentialsError("key"), r"wants credentials, and there are none \(NoCredentialsError\)"),
        (ClientError(400, "ExpiredToken"), r"the store answers 400 \(ExpiredToken\)"),
        (ValueError("bad name bucket"), r"takes no such request \(ValueError\)"),
    ],
)
def test_refusals_are_final(flaky: type[Flaky], error: Exception, why: str) -> None:
    flaky.errors[:] = [error] * 9
    with pytest.raises(StoreError, match=f"{why}$") as raised:
        as_location("flaky://bucket/a.off").exists()
    assert flaky.num_asked == 1
    assert "bucket" not in str(raised.value)


def test_what_is_not_there_is_an_answer(flaky: type[Flaky]) -> None:
    with pytest.raises(FileNotFoundError):
        asked("flaky://bucket/none.off", lambda system, path: system.info(path))
    assert flaky.num_asked == 1
    with pytest.raises(RenderError, match=r"^flaky://bucket/none\.off: cannot read: No such file or directory$"):
        read_mesh("flaky://bucket/none.off")


def test_a_cut_answer_is_no_answer(flaky: type[Flaky], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = flaky.cat_file
    answers = [b"OFF\n4", b"OFF\n"]

    def cut(self: Flaky, path: str, **keywords: Any) -> bytes:
        return answers.pop() if answers else bytes(whole(self, path, **keywords))

    monkeypatch.setattr(flaky, "cat_file", cut)
    assert file_content(as_location("flaky://bucket/a.off")) == off_text().encode()


def test_a_picture_that_nobody_could_ask_for_is_not_taken_for_missing(flaky: type[Flaky]) -> None:
    """Else a mesh would be drawn without its picture because of the network, and nobody would know."""
    store = flaky()
    store.pipe_file("/bucket/square.obj", obj_text().encode())
    store.pipe_file("/bucket/square.mtl", b"newmtl painted\nmap_Kd none.png\n")
    look = read_mesh("flaky://bucket/square.obj", appearance=True).appearance
    assert look is not None
    assert look.missing_textures == ("none.png",)
    content = obj_text().encode()
    for failing in (ConnectionResetError(), PermissionError()):  # S3 says so of missing names to who may not list
        flaky.errors[:] = [failing] * 3
        with pytest.raises(RenderError, match=r"'square\.mtl': cannot read: "):
            read_mesh("flaky://bucket/square.obj", content, appearance=True)
    flaky.errors[:] = [ConnectionResetError()] * 3
    with pytest.raises(UnreachableError, match=r"^'none\.png': cannot read: the store cannot be reached"):
        read_companion(as_location("flaky://bucket/square.obj"), "none.png")
